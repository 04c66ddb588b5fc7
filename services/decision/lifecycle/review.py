"""What a pack is put through before anybody approves it: checks, tests, and the regions where it says something else than what is live.

Every function takes and gives plain data, so that it can run in another process.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from services.decision.core.conditions import flat
from services.decision.core.protocol import TISSUES, Protocol
from services.decision.core.question import Question
from services.decision.engines.durable import EngineFault, PackRefused, SecondEngine
from services.decision.engines.reference import ReferenceEngine
from services.decision.lifecycle.compare import Job, decide_again
from services.decision.lifecycle.states import Region
from services.decision.lifecycle.store import Source
from services.decision.rules.check import Lived, check_pack
from services.decision.rules.check.dead import looked_at
from services.decision.rules.difference import difference
from services.decision.rules.faults import FaultyPack, PackFault
from services.decision.rules.library import Pack, load_recorded, load_text
from services.decision.rules.prove import Unproved
from services.decision.rules.testing.cases import cases_of, replayed
from services.decision.rules.testing.stories import tell_all

FAULTS_KEPT: Final = 200
FIRST: Final = Region("first", "everywhere: nothing is live under this id, so whatever this pack advances is new", True)
UNCOMPARED: Final = Region("not-compared", "where the two differ could not be computed: taken as more permissive everywhere", True)


def read(name: str, raw: bytes) -> dict[str, Any]:
    """Identity of a pack as written, with the floors as they are now. Raises `FaultyPack` with every fault."""
    pack = load_text(name, raw)
    return {
        "id": pack.protocol.id,
        "version": pack.protocol.version,
        "hash": pack.protocol.hash,
        "floors": [floor.raw for floor in pack.floors],
    }


def check(name: str, raw: bytes, past: Job | None = None, athletes: int = 0) -> dict[str, Any]:
    """`{ok, content, faults, warnings, history}`: whether nothing forbids to publish it; `content` is its hash with the floors as they are
    now. `past` are some of so many `athletes` whose stored decisions are looked at; `history` says how many that were.
    """
    try:
        pack = load_text(name, raw)
    except FaultyPack as faulty:
        return {"ok": False, "content": None, "faults": told(faulty.faults), "warnings": []}
    lived = None if past is None else _lived(past, athletes)
    found = [finding.as_json() for finding in check_pack(pack, datetime.now(UTC).date(), lived)]
    faults = [one for one in found if one["severity"] == "error"]
    if not faults:
        faults = _limits(pack)
    both = {"faults": faults[:FAULTS_KEPT], "warnings": [one for one in found if one["severity"] != "error"][:FAULTS_KEPT]}
    return {"ok": not faults, "content": pack.protocol.hash, "history": looked_at(lived), **both}


def _lived(past: Job, athletes: int) -> Lived:
    found = Lived()
    for outcome in decide_again(past):
        if outcome.lived is not None:
            found.add(outcome.lived)
    found.of_athletes = athletes
    return found


def test(name: str, raw: bytes, cases: str | None = None) -> dict[str, Any]:
    """`{ok, stories, faults}`: whether every story of the pack ends as it says, and every recorded case as it was, at this moment."""
    try:
        pack = load_text(name, raw)
        recorded = None if cases is None else cases_of(pack.protocol, "cases", cases)
    except FaultyPack as faulty:
        return {"ok": False, "stories": 0, "faults": told(faulty.faults)}
    stories, faults = tell_all(pack, ReferenceEngine())
    faults += [] if recorded is None else replayed(pack.protocol, recorded)
    return {"ok": not faults, "stories": len(stories), "faults": told(faults)}


def regions(old: Source | None, new: Source) -> list[Region]:
    """Where the two do not say the same. Where nothing was live, nobody was advanced: every advance is new."""
    if old is None:
        return [FIRST]
    try:
        before, after = load_recorded("live", *old).protocol, load_recorded("draft", *new).protocol
    except FaultyPack:
        return [UNCOMPARED]
    if _same_rules(before, after):
        return []
    try:
        found = difference(before, after)
    except Unproved:
        return [UNCOMPARED]
    changed = [Region(one.id, one.words, one.more_permissive) for one in found.changes]
    return changed + ([] if found.complete else [UNCOMPARED])


def more_conservative(now: Source, other: Source) -> bool:
    """Whether the other is nowhere more permissive than what is live now."""
    return not any(region.more_permissive for region in regions(now, other))


def _limits(pack: Pack) -> list[dict[str, Any]]:
    """What the engines cannot hold or answer would else be found when an athlete waits: the second is loaded, in its process, and asked."""
    try:
        with SecondEngine({pack.protocol.hash: pack.protocol}) as second:
            questions = list(_questions(pack.protocol))
            for question, told in zip(questions, second.judge_now(questions), strict=True):
                if isinstance(told, EngineFault):
                    return [_limit(pack, f"the second engine gives no answer: {told.detail}")]
                if not question.agrees(told):
                    return [_limit(pack, f"the second engine answers {told.action} where the reference answers {question.answer.action}")]
    except (PackRefused, RuntimeError) as refused:
        return [_limit(pack, f"the second engine cannot hold this pack: {refused}")]
    return []


def _limit(pack: Pack, sentence: str) -> dict[str, Any]:
    return _shown("ENGINE", pack.source.fault("rules", f"{sentence}; write it with fewer or smaller conditions, or as two packs"))


def _questions(protocol: Protocol) -> Iterator[Question]:
    """Every step, with nothing known, and with every fact on, just below and just above a threshold it is compared with."""
    reference = ReferenceEngine()
    edges: dict[int, tuple[int, ...]] = {}
    for condition in flat([one for rule in protocol.rules for one in rule.when]):
        edges[condition.slot] = condition.encoded if isinstance(condition.encoded, tuple) else (condition.encoded,)
    for rung in range(-1, len(protocol.ladder) + 1):
        for off in (None, -1, 0, 1):
            values = tuple(None if off is None or slot not in edges else edges[slot][0] + off for slot in range(len(protocol.slots)))
            for tissue in range(len(TISSUES)) if rung < 1 else (0,):
                yield Question(protocol.hash, values, rung, tissue, reference.judge(protocol, values, rung, tissue))


def _same_rules(one: Protocol, other: Protocol) -> bool:
    names = ("ladder", "slots", "rules", "clean", "population", "progress", "rates", "deload", "second_setback")
    same = all(getattr(one, name) == getattr(other, name) for name in names)
    return same and one.expires == other.expires and dict(one.rest_days) == dict(other.rest_days)


def told(faults: Sequence[PackFault]) -> list[dict[str, Any]]:
    """Faults as reports keep them, the first of many."""
    return [_shown("PACK", fault) for fault in faults[:FAULTS_KEPT]]


def _shown(code: str, fault: PackFault) -> dict[str, Any]:
    return {"code": code, "severity": "error", "line": fault.line, "column": fault.column, "path": fault.path, "sentence": fault.sentence}
