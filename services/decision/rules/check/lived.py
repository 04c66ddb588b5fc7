"""What the rules of a pack said at stored decisions, as counts: the half of DEAD, VACUOUS and LIVE that no proof can see."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from services.decision.core.conditions import each
from services.decision.core.protocol import TISSUES, Protocol
from services.decision.core.question import Question, applies
from services.decision.core.trivalent import Tri

ENTRY_OF = "{}\0{}".format
"""Key of a condition: its rule and its place in it."""


class Said(NamedTuple):
    """Something that history says of a pack. `at` is a rule or a step, `entry` a condition of the rule or -1."""

    code: Literal["DEAD", "VACUOUS", "LIVE"]
    at: str
    entry: int
    sentence: str


@dataclass(slots=True)
class Lived:
    """Counts over decisions. `asked` and `met` are by rule, `held` by condition, `stood` and `advanced` by step."""

    decisions: int = 0
    athletes: int = 0
    of_athletes: int = 0
    """How many there were; more than `athletes` where not all were looked at."""
    asked: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    stood: Counter[str] = field(default_factory=Counter)
    advanced: Counter[str] = field(default_factory=Counter)

    def take(self, protocol: Protocol, question: Question) -> None:
        """One more decision of the pack; every rule, condition and step is named, be its count 0."""
        here, tissue = protocol.steps[question.rung + 1], TISSUES[question.tissue]
        self.decisions += 1
        for step in protocol.steps[:-1]:
            self.stood[step] += step == here
            self.advanced[step] += step == here and question.answer.action == "advance"
        for rule, verdict in zip(protocol.rules, question.answer.verdicts, strict=True):
            asked = applies(rule, here, tissue)
            self.asked[rule.id] += asked
            self.met[rule.id] += asked and verdict is Tri.MET
            for n, tri in enumerate(each(rule.when, question.values)):
                self.held[ENTRY_OF(rule.id, n)] += asked and tri is Tri.MET

    def add(self, other: "Lived") -> None:
        """The same over both."""
        self.decisions += other.decisions
        self.athletes += other.athletes
        self.of_athletes += other.of_athletes
        for name in ("asked", "met", "held", "stood", "advanced"):
            getattr(self, name).update(getattr(other, name))

    def said(self) -> Iterator[Said]:
        """Rules that never spoke, conditions that always held, steps that nobody left upwards."""
        n = self.decisions
        for rule, asked in self.asked.items():
            if not self.met[rule]:
                where = "" if asked == n else f", {asked} of them where it applies"
                yield Said("DEAD", rule, -1, f"{rule} is met by 0 of {n} stored decisions{where}")
        for key, held in self.held.items():
            rule, _, at = key.partition("\0")
            asked = self.asked[rule]
            if asked and held == asked:
                yield Said("VACUOUS", rule, int(at), f"a condition of {rule} is met by {held} of {asked} stored decisions that ask it")
        for step, stood in self.stood.items():
            if stood and not self.advanced[step]:
                yield Said("LIVE", step, -1, f"0 of {stood} stored decisions at {step} advance")
        unseen = [step for step, stood in self.stood.items() if not stood]
        if unseen:
            yield Said("LIVE", unseen[0], -1, f"0 of {n} stored decisions stand at {', '.join(unseen)}")

    def as_json(self) -> dict[str, Any]:
        """Plain data; `of_json` is its reverse."""
        counters = {name: dict(getattr(self, name)) for name in ("asked", "met", "stood", "advanced")}
        held: dict[str, dict[str, int]] = {}
        for key, count in self.held.items():
            rule, _, at = key.partition("\0")
            held.setdefault(rule, {})[at] = count
        return {"decisions": self.decisions, "athletes": self.athletes, "of_athletes": self.of_athletes, **counters, "held": held}

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> "Lived":
        held = Counter({ENTRY_OF(rule, at): count for rule, counts in found["held"].items() for at, count in counts.items()})
        counters = {name: Counter(found[name]) for name in ("asked", "met", "stood", "advanced")}
        return cls(found["decisions"], found["athletes"], found["of_athletes"], held=held, **counters)
