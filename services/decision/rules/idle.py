"""What stands in a pack, would be read aloud, and would never happen: consequences that a kind of rule does not have, names of nothing.

Each function yields a path below what it was given and a sentence.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches

from services.decision.core.protocol import TISSUES
from services.decision.rules.model import RuleText, StoriesText, ThenText
from shared.events import INTERNAL_TYPES, TYPES

Told = Iterator[tuple[str, str]]


def consequences(rule: RuleText) -> Told:
    """What follows from a rule, where that kind of rule does not do it, or lacks it."""
    then = rule.then
    back = then.steps_back or then.to_entry
    if rule.kind == "advance" and then != ThenText():
        yield "then", "an advance has no consequence but the next step; take `then` out, or write a hold that says it"
    if rule.kind == "regress" and not back:
        yield "then", "a regress says steps_back or to_entry"
    if rule.kind in ("hold", "refer") and back:
        yield "then", f"a {rule.kind} keeps the step; take steps_back and to_entry out, or make it `kind: regress`"
    if rule.kind == "refer" and then.running not in (None, "withheld"):
        yield "then.running", f"{then.running} cannot be where a rule refers: running is withheld; take `running` out"


def tissues(named: Sequence[str]) -> Told:
    """Tissues that a rule or a pack is for."""
    if not named:
        yield "", f"names no tissue, so it would never speak; name some of {', '.join(TISSUES)}"
    expected = f"expected one of {', '.join(TISSUES)}"
    for tissue in named:
        if tissue not in TISSUES:
            yield "", f"{tissue} is not a tissue; {_meant(tissue, TISSUES, expected)}"


def stories(told: StoriesText, rules: Mapping[str, RuleText]) -> Told:
    """Data that is usual of no event, and rules expected to be silent that there are not: such a story would end well for ever."""
    types = [one.removeprefix("milepost.") for one in (*TYPES, *INTERNAL_TYPES)]
    for kind in told.usual:
        if kind not in ("course", *types):
            yield f"usual.{kind}", f"{kind} is no type of event; {_meant(kind, types, 'write it as in session.completed')}"
    for n, story in enumerate(told.told):
        between = ((f"events[{k}].expect", one.get("expect")) for k, one in enumerate(story.events))
        for path, expect in (*between, ("expect", {"silent": story.expect.silent})):
            silent = expect.get("silent") if isinstance(expect, dict) else None
            for rule in silent if isinstance(silent, list) else ():
                if rule not in rules:
                    said = f"{rule} is no rule of this pack or its floor; {_meant(str(rule), rules, 'take it out')}"
                    yield f"told[{n}].{path}.silent", said


def _meant(word: str, known: Iterable[str], otherwise: str) -> str:
    near = get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]}?" if near else otherwise
