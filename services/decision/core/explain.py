"""Why: the rules that decided, those that block and those that could not be judged, with the facts they read."""

from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter, is_
from typing import TypeVar

from services.decision.core.citing import LASTING, cited, event_ids, plain, prescribed, prescribed_on
from services.decision.core.conditions import holds
from services.decision.core.facts.registry import CATALOGUE, find, of_session
from services.decision.core.facts.sources import COURSE, source
from services.decision.core.outline import Point
from services.decision.core.protocol import AnyOf, Rule
from services.decision.core.sessions import Evidence, Fact, Session
from services.decision.core.telling import Head, Record, Telling, Told
from services.decision.core.trivalent import MET, NOT_MET, UNKNOWN, Tri, Unknown, any_of
from services.decision.core.verdict import Judge, Verdict
from shared.events.canonical import canonical_record

N = TypeVar("N")

CLEAN_SHORT = "step.clean_sessions_short"
SESSIONS_TOLD = 2
"""Of the sessions at a step, so many are explained."""
LACKING = 64
"""So much is kept of what sessions lack before it is looked whether they are still told of; it is more than two can lack."""
ALWAYS = (MET, NOT_MET, UNKNOWN)
OPEN = (NOT_MET, UNKNOWN)
VOTING = (MET, UNKNOWN)
_NO_EVIDENCE = b'"evidence":[]'
_order = attrgetter("order")


def reasons(judge: Judge, verdict: Verdict) -> Telling:
    """The rules that decided, block, or have unknown conditions, by id."""
    scope, recall = verdict.scope, verdict.recall
    # Where the line has looked again since, what it tells is of other facts.
    telling = recall.telling if recall.facts is verdict.facts else Telling(dict.fromkeys(range(len(scope.rules))))
    advancing = verdict.standing.action == "advance"
    sessions = verdict.view.course.at_step[-SESSIONS_TOLD:]
    if advancing is not telling.advancing or not _alike(sessions, telling.sessions):
        if len(telling.prescribed) > SESSIONS_TOLD or len(telling.lacking) > LACKING:
            telling.forget_all_but(sessions)
        telling.advancing, telling.sessions = advancing, sessions
        telling.stale.update(dict.fromkeys(scope.advancing))
    if telling.stale:
        _tell_anew(judge, verdict, telling, advancing)
    return telling


def _tell_anew(judge: Judge, verdict: Verdict, telling: Telling, advancing: bool) -> None:
    rules, verdicts, of_rule, unknown = verdict.scope.rules, verdict.question.answer.verdicts, telling.of_rule, UNKNOWN
    for n in telling.stale:
        place, rule = rules[n]
        tri = verdicts[place]
        wanted: Sequence[Tri] = ()
        if rule.kind == "advance":
            wanted = ALWAYS if advancing else () if tri is MET else OPEN
        elif tri is MET or (tri is unknown and rule.unknown == "hold"):
            wanted = VOTING
        if wanted:
            told = _of_nothing_known(judge, rule, verdict.facts) if tri is unknown else None
            of_rule[rule.id] = told or _told(judge, verdict, rule, tri, wanted, telling)
        elif rule.id in of_rule:
            del of_rule[rule.id]
    telling.stale = {}
    telling.told = [of_rule[id] for id in sorted(of_rule)]


def _alike(one: Sequence[Session], other: Sequence[Session]) -> bool:
    return len(one) == len(other) and all(map(is_, one, other))


def _read(judge: Judge, verdict: Verdict, rule: Rule, wanted: Sequence[Tri], telling: Telling) -> list[Evidence]:
    """The conditions of a rule whose verdict is one of `wanted`; of an `AnyOf` every branch that shares its verdict."""
    values, facts, unknown = verdict.question.values, verdict.facts, UNKNOWN
    found: list[Evidence] = []
    for point in judge.outlines[rule.id]:
        condition = point.condition
        tri = unknown if values[condition.slot] is None else holds(condition, values)
        if tri in wanted and (not point.alternative or tri is _of_all(rule, point, values)):
            found.append(_kept(telling.evidence, point, point, facts[condition.slot], tri))
    return found


def _of_all(rule: Rule, point: Point, values: Sequence[int | None]) -> Tri:
    """The verdict of the alternatives that a condition is one of."""
    entry = rule.when[point.entry]
    assert isinstance(entry, AnyOf)
    return any_of([holds(one, values) for one in entry.conditions])


def _kept(kept: dict[N, tuple[Fact, Tri, Evidence]], name: N, point: Point, fact: Fact, tri: Tri) -> Evidence:
    """The evidence as it was told last, where it is of the same fact."""
    value = fact.value
    if isinstance(value, Unknown) and not fact.keys:
        return point.unknown.get(value.reason) or cited(point, fact, tri)
    known = kept.get(name)
    if known is None or known[0] is not fact or known[1] is not tri:
        known = kept[name] = (fact, tri, cited(point, fact, tri))
    return known[2]


def _add_sessions(judge: Judge, found: list[Evidence], telling: Telling) -> None:
    """Adds what the last sessions at the step lacked to count, each once, but of what is not known already."""
    known = [one.fact for one in found if one.verdict is UNKNOWN]
    told = {one.encoded: one for one in found}
    own = len(told)
    for session in telling.sessions:
        told.update(session.lacks or lacks(judge, session, telling))
    found += [one for one in list(told.values())[own:] if one.fact not in known]
    found.sort(key=_order)


def _of_nothing_known(judge: Judge, rule: Rule, facts: Sequence[Fact]) -> Told | None:
    """The reason of a rule of which nothing at all is known, where there is no event to name: it rests on why that is alone, and is kept
    for every course. None where anything is known.
    """
    whys = []
    points = judge.outlines[rule.id]
    for point in points:
        fact = facts[point.condition.slot]
        value = fact.value
        if fact.keys or not isinstance(value, Unknown):
            return None
        whys.append(value.reason)
    head, name = _head(judge, rule, UNKNOWN), tuple(whys)
    told = head.told.get(name)
    if told is None:
        told = _reason(head, [cited(point, facts[point.condition.slot], UNKNOWN) for point in points])
        if len(head.told) < LASTING:
            head.told[name] = told
    return told


def _told(judge: Judge, verdict: Verdict, rule: Rule, tri: Tri, wanted: Sequence[Tri], telling: Telling) -> Told:
    found = _read(judge, verdict, rule, wanted, telling)
    if rule.kind == "advance" and CLEAN_SHORT in [one.fact for one in found if one.verdict is NOT_MET]:
        _add_sessions(judge, found, telling)
    return _reason(_head(judge, rule, tri), found)


def _reason(head: Head, found: Sequence[Evidence]) -> Told:
    written: list[bytes] = []
    met: list[str] = []
    short: list[tuple[str, str]] = []
    unknown: dict[str, None] = {}
    for one in found:
        written.append(one.encoded)
        if one.verdict is UNKNOWN:
            unknown[one.said] = None
        elif one.verdict is NOT_MET:
            short.append((one.fact, one.said))
        else:
            met.append(one.fact)
    if short:
        if not head.open_still:
            short = []
        elif not all(_for_whom(one.fact) for one in found):
            short = [one for one in short if not _for_whom(one[0])]
    encoded = head.before + b",".join(written) + head.behind
    return Told(head.outcome, encoded, head.way, tuple(met) if head.way is not None else (), tuple(short), unknown)


def _head(judge: Judge, rule: Rule, tri: Tri) -> Head:
    heads = judge.heads.get(rule.id)
    if heads is None:
        heads = judge.heads[rule.id] = [_headed(rule, one) for one in Tri]
    return heads[tri]


def _headed(rule: Rule, tri: Tri) -> Head:
    reason = headed(rule, tri, [])
    outcome = reason["outcome"]
    before, _, behind = canonical_record(reason).partition(_NO_EVIDENCE)
    way = rule.text if outcome in ("hold", "regress", "refer") else None
    return Head(outcome, outcome in ("not_met", "unknown"), way, before + _NO_EVIDENCE[:-1], b"]" + behind)


def reasoned(found: Sequence[Record]) -> Sequence[Record]:
    """The evidence without what only says for whom a rule asks something else, as the side or the site of the injury; all of it where
    there is nothing else. That not both sides are injured is no reason why somebody does not advance.
    """
    return [one for one in found if not _for_whom(one["fact"])] or found


@lru_cache(maxsize=4096)
def _for_whom(fact: str) -> bool:
    kind = CATALOGUE.get(fact)
    return kind is not None and source(fact, kind.family).who == COURSE


def headed(rule: Rule, tri: Tri, found: list[Record]) -> Record:
    """A rule with its words, its source and the evidence. `outcome` is the kind of a rule that is met, else `not_met` or `unknown`."""
    return {
        "rule": rule.id,
        "outcome": rule.kind if tri is MET else tri.word,
        "text": rule.text,
        "citation": sorted(rule.cite),
        "grade": rule.grade,
        "evidence": found,
    }


def lacks(judge: Judge, session: Session, telling: Telling) -> dict[bytes, Evidence]:
    """What a session lacks to count, by how it is written. Noted in the session, which is told of in many decisions."""
    found: dict[bytes, Evidence] = session.lacks
    if session.prescribed.value is not True:
        one = _prescribed(session, telling)
        found[one.encoded] = one
    if session.clean is not MET:
        values, memo = judge.session_values(session), session.memo
        for point in judge.clean_outline:
            condition = point.condition
            tri = UNKNOWN if values[condition.slot] is None else holds(condition, values)
            if tri is not MET:
                fact = memo.get(point.fact) or of_session(point.fact, session)
                one = _kept(telling.lacking, (session.id, point), point, fact, tri)
                found[one.encoded] = one
    return found


def _prescribed(session: Session, telling: Telling) -> Evidence:
    """Kept while reports of the session come, which leave alone what it rests on."""
    on = prescribed_on(session)
    known = telling.prescribed.get(session.id)
    if known is None or not all(map(is_, known[0], on)):
        known = telling.prescribed[session.id] = (on, prescribed(session))
    return known[1]


def blocking(verdict: Verdict, told: Sequence[Told]) -> list[str]:
    """What is known and still stands in the way: protective rules that are met, and advance conditions that are not.

    A fact of which a protective rule has spoken is not told again.
    """
    if verdict.standing.action == "advance":
        return []
    ways: dict[str, None] = {}
    spoken: dict[str, None] = {}
    for one in told:
        if one.way is not None:
            ways[one.way] = None
            spoken.update(dict.fromkeys(one.spoken))
    for one in told:
        for fact, said in one.short:
            if fact not in spoken:
                ways[said] = None
    return sorted(ways)


def missing(verdict: Verdict, told: Sequence[Told]) -> list[str]:
    """What is not known and would be needed to advance, each in a sentence and once."""
    if verdict.standing.action == "advance":
        return []
    lacking: dict[str, None] = {}
    for one in told:
        lacking.update(one.unknown)
    return sorted(lacking)


def facts_of(judge: Judge, verdict: Verdict) -> list[Record]:
    """Every fact the protocol reads, as the course state shows it."""
    names = sorted({slot.fact: None for slot in judge.protocol.slots})
    shown: list[Record] = []
    for name in names:
        fact, kind = find(name, verdict.view), judge.protocol.facts[name]
        unknown = isinstance(fact.value, Unknown)
        shown.append(
            {
                "fact": name,
                "meaning": kind.meaning,
                "value": None if unknown else plain(fact.value),
                "unit": kind.unit,
                "why_unknown": fact.value.reason if isinstance(fact.value, Unknown) else None,
                "events": event_ids(fact),
            }
        )
    return shown
