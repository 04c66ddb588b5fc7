"""A pack that was published runs on, whatever a later release refuses to publish; one that cannot be run at all holds."""

from pathlib import Path

import pytest

from services.decision.core.athlete import Athlete
from services.decision.core.protocol import Protocol
from services.decision.core.verdict import Judge
from services.decision.engines import durable_pack
from services.decision.engines.reference import ReferenceEngine
from services.decision.rules.faults import FaultyPack
from services.decision.rules.library import SHIPPED, load_recorded, load_text
from services.decision.rules.recorded import UNREAD, at_hand, held
from tests.property.histories import receive_all, session, started, two_clean_sessions

TEXT = (SHIPPED / "mil-knee-overuse.yaml").read_text()
FLOOR = (SHIPPED / "floor.yaml").read_bytes()
REFUSED_SINCE = {
    "a consequence that its kind of rule does not have": (
        "  - rule: mil.advance\n",
        "  - rule: mil.advance\n    then: {urgency: review}\n",
    ),
    "a tissue that there is not": ("tissues: [joint", "tissues: [sinew, joint"),
    "a site that there is not": ("  sites: [", "  sites: [elbow, "),
    "a source that nobody says when they read": ("    checked_on: 2026-11-22\n", ""),
    "a number beyond what the fact is known to be": ("value: 4 nrs", "value: 40 nrs"),
    "a number without a citation": (None, None),
    "a story of an event that there is not": ("  usual:\n", "  usual:\n    session.complete: {kind: run}\n"),
}


class Only:
    """A library of one pack."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self._judge = Judge(protocol, ReferenceEngine())

    def resolve(self, reference: str) -> Protocol | None:
        return self.protocol if reference in (self.protocol.hash, self.protocol.id) else None

    def names(self) -> list[str]:
        return [self.protocol.id]

    def judge(self, protocol: Protocol) -> Judge:
        return self._judge


def changed(name: str) -> str:
    old, new = REFUSED_SINCE[name]
    if old is None or new is None:
        lines = TEXT.splitlines(keepends=True)
        n = next(n for n, line in enumerate(lines) if "value: 4 nrs" in line and "cite: [" in line)
        lines[n] = lines[n].partition(", cite: [")[0] + "}\n"
        return "".join(lines)
    assert old in TEXT, name
    return TEXT.replace(old, new, 1)


@pytest.mark.parametrize("name", REFUSED_SINCE)
def test_what_was_published_runs_though_it_may_not_be_published_any_more(name: str) -> None:
    raw = changed(name).encode()
    with pytest.raises(FaultyPack):
        load_text("pack.yaml", raw)
    hash = load_recorded("pack", raw, [FLOOR]).protocol.hash
    protocol, fault = at_hand("mil-knee-overuse", raw, [FLOOR], hash)
    assert not fault and protocol.hash == hash
    athlete, made = receive_all([started(protocol.id, start_step="P2"), *session(10, 1)], Athlete(Only(protocol)))
    assert made[-1].body["from_step"] == "P2" and UNREAD not in str(athlete.content("c1"))


@pytest.mark.parametrize(
    "raw",
    [
        TEXT.replace("format: 1", "format: 2", 1),
        TEXT.replace("fact: pain.now", "fact: pain.of_old"),
        TEXT.replace("4 nrs", "4 vas"),
        TEXT.replace("version:", "ladder: [{step: entry}]\nversion:", 1),
        "",
        "\t",
        "- a list",
        "pack: 1\nladder: 7\nversion: 1.0",
        "ladder:\n" + "".join(f"  - step: W{n}\n" for n in range(99)),
    ],
)
def test_what_cannot_be_run_holds_under_its_own_hash_with_the_reason_told(raw: str) -> None:
    protocol, fault = at_hand("mil-knee-overuse", raw.encode(), [FLOOR], "sha256:of-old")
    assert fault and protocol.hash == "sha256:of-old" and protocol.id == "mil-knee-overuse"
    assert durable_pack.compile_pack(protocol)
    athlete, made = receive_all([started(protocol.id), *two_clean_sessions()[1:]], Athlete(Only(protocol)))
    assert "cannot be run" in made[0].body["summary"]
    told = athlete.content("c1")
    assert (told["action"], told["running"], told["urgency"]) == ("hold", "withheld", "review")
    assert UNREAD in [reason["rule"] for reason in told["reasons"]]


def test_a_course_on_a_pack_that_cannot_be_run_keeps_its_steps_and_still_refers() -> None:
    protocol = held("mil-knee-overuse", TEXT.replace("fact: pain.now", "fact: pain.of_old").encode(), "sha256:of-old")
    assert [step.id for step in protocol.ladder] == ["P1", "P2", "P3", "P4", "P5", "P6"] and protocol.version == "1.0.0"
    raws = [started(protocol.id, start_step="P3"), *session(10, 1, step="P3")]
    flag = dict(raws[-1], id="flag", data={"when": "daily", "flags": ["chest_pain_or_syncope"]})
    athlete, _ = receive_all([*raws, flag], Athlete(Only(protocol)))
    told = athlete.content("c1")
    assert (told["from_step"], told["action"], told["urgency"]) == ("P3", "hold", "stop_and_refer")


def test_content_that_reads_as_other_content_holds() -> None:
    protocol, fault = at_hand("mil-knee-overuse", TEXT.encode(), [FLOOR], "sha256:another")
    assert "its content is sha256:" in fault and UNREAD in [rule.id for rule in protocol.rules]


def test_what_the_second_engine_cannot_hold_any_more_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    hash = load_recorded("pack", TEXT.encode(), [FLOOR]).protocol.hash
    monkeypatch.setattr(durable_pack, "BOUND", 3)
    protocol, fault = at_hand("mil-knee-overuse", TEXT.encode(), [FLOOR], hash)
    assert "second engine" in fault and protocol.hash == hash


def test_every_golden_pack_of_earlier_releases_runs() -> None:
    folder = Path(__file__).parents[2] / "golden" / "packs"
    for path in folder.glob("*.yaml"):
        if path.stem != "floor":
            load_recorded(path.stem, path.read_bytes(), [(folder / "floor.yaml").read_bytes()])
