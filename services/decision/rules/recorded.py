"""Packs at hand for courses that stand on them: as they were published, or, where this release cannot run one, something that holds."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Final

from pydantic import ValidationError

from services.decision.core.protocol import COMPLETE, ENTRY, TISSUES, Protocol
from services.decision.engines.durable_pack import PackRefused, compile_pack
from services.decision.rules.compiling import Compiler
from services.decision.rules.faults import FaultyPack
from services.decision.rules.library import FLOORS, SHIPPED, load_recorded
from services.decision.rules.model import FloorText, PackText, StepText
from services.decision.rules.reading import Source, read, understood

UNREAD: Final = "pack.unread"
"""The rule that holds every course on a pack that cannot be run."""
MOST_STEPS: Final = 60
_DEFAULT: Final = ["milepost-default"]


def at_hand(name: str, raw: bytes, floors: Sequence[bytes], hash: str) -> tuple[Protocol, str]:
    """The recorded pack of this content hash, and ''; or, where this release cannot run it, one that only holds, and why. Never raises
    for what was recorded: one tenant's pack must not stop the courses of others.
    """
    try:
        protocol = load_recorded(f"{name}, as recorded", raw, floors).protocol
        compile_pack(protocol)
    except FaultyPack as faulty:
        return held(name, raw, hash), str(faulty.faults[0])
    except PackRefused as refused:
        return held(name, raw, hash), f"the second engine cannot hold it: {refused}"
    if protocol.hash != hash:
        return held(name, raw, hash), f"its content is {protocol.hash} to this release"
    return protocol, ""


def held(name: str, raw: bytes, hash: str) -> Protocol:
    """Under the id, version and content hash of the recorded pack: its steps as far as they can be read, today's floor, and one rule that
    withholds running until a clinician has moved the course.
    """
    plain = _plain(name, raw)
    text = PackText.model_validate(
        {
            "format": 1,
            "pack": name,
            "version": "0.0.0",
            "title": "A protocol that this release cannot run",
            "first_line": "This version of the protocol cannot be run by this release: every course on it holds.",
            "for_whom": [],
            "not_for": [],
            "red_flags": ["any sign of which the floor says that a clinician sees it at once"],
            "checked_by": "nobody",
            "review_by": date.max,
            "includes": list(FLOORS),
            "sources": {},
            "population": {"tissues": list(TISSUES)},
            "ladder": _ladder(plain.get("ladder")),
            "ladder_cite": _DEFAULT,
            "rest_days": {"days": 1, "cite": _DEFAULT},
            "progress": {
                "clean_sessions": 1,
                "after_failure": 1,
                "on_rebuild": 1,
                "unclean_restarts": True,
                "non_consecutive": True,
                "cite": _DEFAULT,
            },
            "clean": [{"fact": "session.masked", "is": False}],
            "stop_if": ["anything of what stopped a session before"],
            "rules": [
                {
                    "rule": UNREAD,
                    "kind": "hold",
                    "text": "This version of the protocol cannot be run by this release; a clinician moves the course to one that can",
                    "when": [{"any": [{"fact": "course.open", "is": True}, {"fact": "course.open", "is": False}]}],
                    "then": {
                        "running": "withheld",
                        "urgency": "review",
                        "resume_when": ["the course is moved to another version, or a release is installed that runs this one"],
                    },
                    "cite": _DEFAULT,
                    "grade": "expert_default",
                }
            ],
            "stories": {"told": []},
        }
    )
    floors = tuple(read(SHIPPED / f"{one}.yaml", FloorText) for one in FLOORS)
    version = plain.get("version")
    protocol = Compiler(Source(name, text, raw, None), floors).compile()
    return replace(protocol, hash=hash, version=version if isinstance(version, str) else text.version)


def _plain(name: str, raw: bytes) -> dict[str, Any]:
    try:
        _, plain, _ = understood(name, raw)
    except FaultyPack:
        return {}
    return plain if isinstance(plain, dict) else {}


def _ladder(found: Any) -> list[StepText]:
    """The steps by which events may name where a course stands; a dose in unknown words is none."""
    steps: dict[str, StepText] = {}
    for one in found if isinstance(found, list) else []:
        id = one.get("step") if isinstance(one, dict) else None
        if id in (ENTRY, COMPLETE):
            continue
        step = _step(one) or _step({"step": id, "dose": {}})
        if step is not None:
            steps.setdefault(step.step, step)
    return list(steps.values())[:MOST_STEPS] or [StepText.model_validate({"step": "unread", "dose": {}})]


def _step(said: Any) -> StepText | None:
    try:
        return StepText.model_validate(said).model_copy(update={"cite": [], "rest_days": None})
    except ValidationError:
        return None
