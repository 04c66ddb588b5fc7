"""What both engines are asked, and what each answers.

A question is small integers only: for every slot of the pack its scaled value or None where it is unknown, the rung of the step in force
and the tissue. An answer says for every rule of the pack whether it is met, not met or unknown at this step and tissue (a rule
out of scope is not met), and which action follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol as Port

from services.decision.core.protocol import Kind, Protocol, Rule
from services.decision.core.trivalent import Tri

Action = Literal["refer", "regress", "hold", "advance"]


@dataclass(frozen=True, slots=True)
class Answer:
    verdicts: tuple[Tri, ...]
    """One per rule of the pack, in the pack's order."""
    action: Action
    tally: int = field(default=0, compare=False, repr=False)
    """The effects of all rules in scope added up, where the engine kept them."""


@dataclass(frozen=True, slots=True)
class Question:
    pack: str
    """The pack's hash."""
    values: tuple[int | None, ...]
    rung: int
    """-1 entry, 0.. ladder, len(ladder) complete."""
    tissue: int
    """Index into `protocol.TISSUES`."""
    answer: Answer
    """What the reference engine answered."""

    def agrees(self, other: Answer) -> bool:
        """True when the other engine answered the same, rule by rule."""
        return self.answer == other


class Engine(Port):
    """Reference and durable both answer this; `judge` is a pure function of its arguments."""

    def judge(self, protocol: Protocol, values: Sequence[int | None], rung: int, tissue: int) -> Answer: ...

    def again(
        self, protocol: Protocol, values: Sequence[int | None], rung: int, tissue: int, before: Answer, turned: Sequence[int]
    ) -> Answer:
        """The same; `before` was this engine's answer to the same question but for the values of the slots `turned`."""
        return self.judge(protocol, values, rung, tissue)


def applies(rule: Rule, step: str, tissue: str) -> bool:
    """A rule's scope. Advance rules without `steps` apply on the ladder only: `entry` and `complete` name theirs."""
    if rule.tissues is not None and tissue not in rule.tissues:
        return False
    if rule.steps is None:
        return rule.kind != "advance" or step not in ("entry", "complete")
    return step in rule.steps


ADVANCES, ADVANCES_NOT, HOLDS, REGRESSES, REFERS = (1 << 16 * n for n in range(5))
"""What the verdict on a rule in scope does: each counts in 16 bits of its own, so that they add up, the most conservative above all."""
MOST_RULES = (1 << 16) - 1
"""Of one pack: more would count in the bits of the next effect."""

_MET: dict[Kind, int] = {"advance": ADVANCES, "hold": HOLDS, "regress": REGRESSES, "refer": REFERS}


def effect(kind: Kind, unknown: str, verdict: Tri) -> int:
    """What one rule in scope does. `unknown` is what an unknown condition of a protective rule does: `hold` or `pass`."""
    if verdict is Tri.MET:
        return _MET[kind]
    if kind == "advance":
        return ADVANCES_NOT
    return HOLDS if verdict is Tri.UNKNOWN and unknown == "hold" else 0


def combined(tally: int) -> Action:
    """The most conservative wins: refer, regress, hold, advance. Order does not matter.

    Advance needs at least one advance rule in scope, every one of them met, and nothing that holds.
    """
    if tally >= REFERS:
        return "refer"
    if tally >= REGRESSES:
        return "regress"
    return "advance" if 0 < tally < ADVANCES_NOT else "hold"
