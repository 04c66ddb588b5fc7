"""A table of rules such as a pack holds, and questions about it: the same for every engine that is measured.

Each rule is a conjunction of one to four comparisons of whole numbers, so that every engine can say it; about one rule in eight is met.
"""

import hashlib
from dataclasses import dataclass
from random import Random
from typing import Final

from services.decision.core.protocol import TISSUES, Condition, Dose, Kind, Operator, Population, Progress, Protocol, Rule, Slot, Step, Then

SEED: Final = 20260302
TOP: Final = 100
"""Facts range from 0 to this."""
SIGNS: Final[dict[Operator, str]] = {"at_most": "<=", "at_least": ">=", "below": "<", "above": ">"}
_KINDS: Final[tuple[Kind, ...]] = ("hold", "regress", "hold", "advance", "refer")


@dataclass(frozen=True)
class Table:
    """`questions` give every fact a value: what peers do with an absent one differs from engine to engine."""

    facts: tuple[str, ...]
    protocol: Protocol
    questions: tuple[tuple[int, ...], ...]

    def tests(self, rule: Rule) -> list[tuple[str, str, int]]:
        """The rule's conditions as fact, sign and threshold."""
        return [(self.facts[one.slot], SIGNS[one.op], int(str(one.encoded))) for one in rule.when if isinstance(one, Condition)]


def table(rules: int, questions: int) -> Table:
    """`rules` rules over a fifth as many facts, at least ten."""
    draw = Random(f"{SEED} {rules}")
    facts = tuple(f"fact_{n}" for n in range(max(rules // 5, 10)))
    made = []
    for n in range(rules):
        when = []
        for slot in draw.sample(range(len(facts)), draw.randint(1, 4)):
            op = draw.choice(list(SIGNS))
            share = draw.randint(15, 70)
            encoded = share if op in ("at_most", "below") else TOP - share
            when.append(Condition(slot, op, encoded, encoded))
        made.append(Rule(f"rule_{n}", _KINDS[n % len(_KINDS)], "", tuple(when), Then(), (), "primary"))
    steps = ("entry", "L1", "L2", "complete")
    protocol = Protocol(
        id="bench",
        version="1.0.0",
        hash=hashlib.sha256(repr(made).encode()).hexdigest(),
        title="",
        ladder=(Step("L1", Dose(), ()), Step("L2", Dose(), ())),
        slots=tuple(Slot(fact) for fact in facts),
        rules=tuple(made),
        clean=(),
        population=Population(TISSUES),
        progress=Progress(1, 1, 1, True, True),
        rates=(),
        rest_days={},
        deload=None,
        stop_if=(),
        sources={},
        grades={},
        facts={},
        place={step: rung - 1 for rung, step in enumerate(steps)},
    )
    asked = tuple(tuple(draw.randint(0, TOP) for _ in facts) for _ in range(questions))
    return Table(facts, protocol, asked)
