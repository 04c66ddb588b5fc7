"""What both engines are asked, and what each answers.

A question is small integers only: for every slot of the pack its scaled value or None where it is unknown, the rung of the step in force
and the tissue. An answer says for every rule of the pack whether it is met, not met or unknown at this step and tissue (a rule
out of scope is not met), and which action follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol as Port

from services.decision.core.protocol import Kind, Protocol, Rule
from services.decision.core.trivalent import Tri

Action = Literal["refer", "regress", "hold", "advance"]


@dataclass(frozen=True, slots=True)
class Answer:
    verdicts: tuple[Tri, ...]
    """One per rule of the pack, in the pack's order."""
    action: Action


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


def applies(rule: Rule, step: str, tissue: str) -> bool:
    """A rule's scope. Advance rules without `steps` apply on the ladder only: `entry` and `complete` name theirs."""
    if rule.tissues is not None and tissue not in rule.tissues:
        return False
    if rule.steps is None:
        return rule.kind != "advance" or step not in ("entry", "complete")
    return step in rule.steps


def combine(rules: Sequence[tuple[Kind, str, Tri, bool]]) -> Action:
    """The most conservative wins: refer, regress, hold, advance. Order does not matter.

    Each item is (kind, what unknown does, verdict, in scope). Advance needs at least one advance rule in scope and every one of them met.
    """
    action: Action = "hold"
    advancing = any(kind == "advance" and scope for kind, _, _, scope in rules) and all(
        verdict is Tri.MET for kind, _, verdict, scope in rules if kind == "advance" and scope
    )
    held = any(
        scope and (verdict is Tri.MET or (verdict is Tri.UNKNOWN and unknown == "hold"))
        for kind, unknown, verdict, scope in rules
        if kind == "hold" or (kind in ("refer", "regress") and verdict is Tri.UNKNOWN)
    )
    if advancing and not held:
        action = "advance"
    if any(scope and kind == "regress" and verdict is Tri.MET for kind, _, verdict, scope in rules):
        action = "regress"
    if any(scope and kind == "refer" and verdict is Tri.MET for kind, _, verdict, scope in rules):
        action = "refer"
    return action
