"""The histories: real shapes of a course, each as CloudEvents in the order of arrival, folded as `milepost simulate` folds them."""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from services.decision.audit.packs import OnlyThese, Pinned
from services.decision.core.athlete import Athlete
from services.decision.core.decision import Decision
from services.decision.core.protocol import Protocol
from services.decision.rules.library import load_recorded
from shared.events import content_digest, parse
from tests.bench.histories import SOURCE
from tests.property.histories import two_clean_sessions

HERE = Path(__file__).parent
RECORDED = "2026-04-01T00:00:00Z"

Raw = dict[str, Any]


def started(course: str, protocol: str, injury: Raw, **more: Any) -> Raw:
    data = {"course": course, "protocol": protocol, "injury": injury, "timezone": "Europe/Zurich", "birth_year": 1990, **more}
    return raw(0, "course.started", "2026-03-02T07:00:00Z", data)


def raw(number: int, kind: str, time: str, data: Raw) -> Raw:
    return {
        "specversion": "1.0",
        "id": str(number),
        "source": SOURCE,
        "type": f"milepost.{kind}",
        "subject": "a",
        "time": time,
        "data": data,
    }


def symptom(number: int, day: int, hour: int = 12, **data: Any) -> Raw:
    return raw(number, "symptom.reported", f"2026-03-{day:02}T{hour:02}:00:00Z", {"when": "daily", **data})


KNEE = {"tissue": "joint", "site": "knee", "side": "left"}
TIBIA = {"tissue": "bone", "site": "tibia_posteromedial", "side": "right", "high_risk": False}
TENDON = {"tissue": "tendon", "site": "achilles_midportion", "side": "left"}


def histories() -> dict[str, list[Raw]]:
    """Name to events in the order of arrival."""
    late = symptom(7, 3, pain_nrs=8)
    return {
        "clean-sessions": two_clean_sessions(),
        "late-corrected-retracted": [
            started("c", "mil-knee-overuse", KNEE),
            symptom(1, 4, pain_nrs=1),
            symptom(2, 5, pain_nrs=0),
            late,
            raw(8, "event.corrected", "2026-03-06T12:00:00Z", {"corrects": "7", "data": {"when": "daily", "pain_nrs": 2}}),
            raw(9, "event.retracted", "2026-03-07T12:00:00Z", {"retracts": "1", "reason": "entered twice"}),
        ],
        "red-flag-and-review": [
            started("c", "progressive-return", TIBIA),
            symptom(1, 4, flags=["night_pain"]),
            symptom(2, 5, pain_nrs=0),
            raw(
                3,
                "clearance.recorded",
                "2026-03-08T12:00:00Z",
                {"gate": "red_flag_review", "granted": True, "by": {"id": "k", "role": "clinician"}},
            ),
        ],
        "parked-until-started": [
            symptom(1, 4, pain_nrs=3),
            started("c", "progressive-return", TENDON, start_step="W2"),
            symptom(2, 5, pain_nrs=1, stiffness_min=20),
        ],
    }


@cache
def packs() -> dict[str, Protocol]:
    """The packs as they were when the histories were recorded: what is shipped may go on."""
    folder = HERE / "packs"
    floor = (folder / "floor.yaml").read_bytes()
    found = [
        load_recorded(path.name, path.read_bytes(), [floor]).protocol for path in sorted(folder.glob("*.yaml")) if path.stem != "floor"
    ]
    return {protocol.hash: protocol for protocol in found}


def decided(events: Iterable[Raw]) -> list[str]:
    """`course seq hash` of every decision, in the order made."""
    return [f"{made.course} {made.seq} {made.body['hash']}" for made in _made(events)]


def decisions(events: Iterable[Raw]) -> list[bytes]:
    """Every decision as it is written, in the order made."""
    return [made.encoded for made in _made(events)]


def _made(events: Iterable[Raw]) -> Iterator[Decision]:
    library = Pinned(OnlyThese(packs()), {})
    athlete = Athlete(library)
    for body in events:
        event = parse({**body, "recordedtime": RECORDED, "tenant": "golden"}, internal=True)
        library.about(event)
        yield from athlete.receive(event, content_digest(body)).decisions


def kept() -> dict[str, list[str]]:
    """The hashes as they were recorded."""
    found: dict[str, list[str]] = orjson.loads((HERE / "hashes.json").read_bytes())
    return found
