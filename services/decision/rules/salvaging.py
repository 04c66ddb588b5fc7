"""What else is wrong with a pack whose form is faulty: its sound parts are compiled for their faults alone, and nothing of it is kept.

What is in the wrong form is set aside by something harmless in its place, so that every other fault keeps its line and column.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from pydantic import ValidationError

from services.decision.core.facts import CATALOGUE
from services.decision.rules.compiling import Compiler
from services.decision.rules.faults import FaultyPack, PackFault
from services.decision.rules.model import FloorText, PackText
from services.decision.rules.reading import Source, meant, placed, understood

ROUNDS: Final = 8
"""Setting one thing aside can only show what is missing below it; a pack is not that deep."""

_CONDITION: Final = {"fact": "referral.open", "is": True}
_DEFAULT: Final = ["milepost-default"]
_FILLED: Final[dict[str, Any]] = {
    "format": 1,
    "version": "0.0.0",
    "includes": ["floor"],
    "kind": "hold",
    "grade": "expert_default",
    "evidence": "expert_default",
    "cite": _DEFAULT,
    "ladder_cite": _DEFAULT,
    "at": "everywhere",
    "when": [_CONDITION],
    "clean": [{"fact": "session.masked", "is": False}],
    "dose": {},
    "population": {"tissues": ["joint"]},
    "tissues": ["joint"],
    "rest_days": {"days": 1, "cite": _DEFAULT},
    "days": 1,
    "max_steps": 1,
    "in_days": 7,
    "within_days": 1,
    "after_days": 7,
    "share_pct": 100,
    "fewer_sessions": 0,
    "steps_back": 1,
    "clean_sessions": 1,
    "after_failure": 1,
    "on_rebuild": 1,
    "unclean_restarts": True,
    "non_consecutive": True,
    "stop_if": ["-"],
    "red_flags": ["-"],
    "for_whom": ["-"],
    "not_for": ["-"],
    "sources": {},
    "ladder": [{"step": "aside", "dose": {}}],
    "rules": [],
    "stories": {"told": []},
}
_FILLED["progress"] = {
    **{name: _FILLED[name] for name in ("clean_sessions", "after_failure", "on_rebuild", "unclean_restarts", "non_consecutive")},
    "cite": _DEFAULT,
}
_DATES: Final = ("checked_on", "review_by", "effective_from", "expires", "until")
_NAMED: Final = {"ladder": (".at",), "sources": (".cite", "_cite"), "rules": (".unless", ".expect.silent")}
"""What names the parts of a place that is set aside: it may then name what nobody could read."""


def beyond(name: str, raw: bytes, known: Sequence[PackFault], floors: Sequence[Source[FloorText]]) -> list[PackFault]:
    """Faults of meaning in a pack whose form is faulty, beyond those that are known. Empty where nothing can be read of it."""
    try:
        tree, plain, _ = understood(name, raw)
    except FaultyPack:
        return []
    aside: list[tuple[str | int, ...]] = []
    text = _sound(plain, aside)
    if text is None:
        return []
    try:
        Compiler(Source(name, text, raw, tree), floors).compile()
    except FaultyPack as faulty:
        return [fault for fault in faulty.faults if not _of_what_was_set_aside(fault, aside) and _new(fault, known)]
    return []


def _sound(plain: Any, aside: list[tuple[str | int, ...]]) -> PackText | None:
    """The pack with everything in the wrong form set aside; None where that leads nowhere."""
    for _ in range(ROUNDS):
        try:
            return PackText.model_validate(plain)
        except ValidationError as error:
            if not isinstance(plain, dict):
                return None
            for one in meant(error.errors()):
                place = placed(one["loc"])
                if not place:
                    return None
                aside.append(_set_aside(plain, place, one["type"]))
    return None


def _set_aside(plain: Any, place: tuple[str | int, ...], kind: str) -> tuple[str | int, ...]:
    """Puts something harmless at the place, or takes the place out; gives the place that is no more what was written."""
    condition = next((n for n, part in enumerate(place) if part in ("when", "clean", "any") and isinstance(_at(place, n + 1), int)), None)
    if condition is not None and len(place) > condition + 1:
        place = place[: condition + 2]
    above = _found(plain, place[:-1])
    last = place[-1]
    if isinstance(above, list) and isinstance(last, int) and last < len(above):
        above[last] = _element(place, above[last])
    elif isinstance(above, dict) and isinstance(last, str):
        if kind != "missing" and last in above and last not in _FILLED and last not in _DATES and kind != "list_type":
            above.pop(last)
        else:
            above[last] = _filled(last, place)
    return place


def _element(place: tuple[str | int, ...], found: Any) -> Any:
    name = place[-2] if len(place) > 1 else ""
    if name in ("when", "clean", "any"):
        fact = found.get("fact") if isinstance(found, dict) else None
        # A fact that is none is a fault of its own, whatever else the condition says.
        wrong = {**_CONDITION, "fact": fact} if isinstance(fact, str) and fact not in CATALOGUE else None
        return wrong or (_FILLED["clean"][0] if place[0] == "clean" else _CONDITION)
    if name == "ladder":
        return {"step": f"aside-{place[-1]}", "dose": {}}
    if name == "rules":
        return {
            "rule": f"aside-{place[-1]}",
            "kind": "hold",
            "text": "-",
            "when": [_CONDITION],
            "cite": _DEFAULT,
            "grade": "expert_default",
        }
    if name == "told":
        return {"story": "-", "events": [], "expect": {}}
    return "milepost-default" if name in ("cite", "ladder_cite") else "-"


def _filled(name: str, place: tuple[str | int, ...]) -> Any:
    if name in _DATES:
        return date.max
    if name in ("rule", "step"):
        return f"aside-{place[-2]}"
    return _FILLED.get(name, "-")


def _at(place: tuple[str | int, ...], n: int) -> str | int | None:
    return place[n] if n < len(place) else None


def _found(plain: Any, place: Sequence[str | int]) -> Any:
    for part in place:
        try:
            plain = plain[part]
        except (KeyError, IndexError, TypeError):
            return None
    return plain


def _of_what_was_set_aside(fault: PackFault, aside: Sequence[tuple[str | int, ...]]) -> bool:
    for place in aside:
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
        if fault.path == path and fault.code != "TYPE":
            return True
        named = _NAMED.get(str(place[0]), ())
        whole = len(place) <= 2 or place[-1] in ("step", "rule")
        if whole and any(fault.path.endswith(end) for end in named):
            return True
    return False


def _new(fault: PackFault, known: Sequence[PackFault]) -> bool:
    return all((fault.line, fault.path) != (one.line, one.path) for one in known)
