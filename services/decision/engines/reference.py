"""The reference engine: plain Python, three-valued, with a trace of every condition. Its answer is the record.

A pack is bound once to flat tuples of (slot, test); a decision then only reads values and calls tests.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from services.decision.core.protocol import TISSUES, AnyOf, Condition, Kind, Operator, Protocol
from services.decision.core.question import Answer, applies, combine
from services.decision.core.trivalent import Tri, all_of, any_of

Values = Sequence[int | None]
Test = Callable[[int], bool]
Bound = tuple[tuple[int, Test], ...]
"""The alternatives of one entry of `when`: one for a condition, several for an `AnyOf`."""

_PACKS_KEPT = 256
"""Compiled packs kept; a deployment publishes tens, an authoring session checks hundreds of drafts."""


class RuleTrace(NamedTuple):
    """One rule of a trace."""

    in_scope: bool
    verdict: Tri
    """As in the answer: a rule out of scope is not met, whatever its conditions say."""
    conditions: tuple[Tri, ...]
    """One per condition in the order of `conditions.flat(rule.when)`: the alternatives of an `AnyOf` stand where it stands."""


class Trace(NamedTuple):
    answer: Answer
    rules: tuple[RuleTrace, ...]
    """One per rule of the pack, in the pack's order."""


def _bind(op: Operator, encoded: int | tuple[int, ...]) -> Test:
    """The test of a known value. Bound methods of the threshold itself: `5 .__ge__(v)` is `v <= 5` without a Python frame."""
    if op in ("is", "one_of", "not_one_of"):
        members = frozenset(encoded if isinstance(encoded, tuple) else (encoded,))
        return members.__contains__ if op != "not_one_of" else lambda value: value not in members
    if isinstance(encoded, tuple):
        raise ValueError(f"operator {op} compares with one number, found {len(encoded)}; use one_of or not_one_of for a list")
    if op == "at_most":
        return encoded.__ge__
    if op == "at_least":
        return encoded.__le__
    if op == "below":
        return encoded.__gt__
    return encoded.__lt__


def _bound(entry: Condition | AnyOf) -> Bound:
    conditions = entry.conditions if isinstance(entry, AnyOf) else (entry,)
    return tuple((condition.slot, _bind(condition.op, condition.encoded)) for condition in conditions)


def _verdict(value: int | None, test: Test) -> Tri:
    if value is None:
        return Tri.UNKNOWN
    return Tri.MET if test(value) else Tri.NOT_MET


class CompiledReference:
    """A pack bound for judging. `judge` and `trace` are pure functions of their arguments."""

    __slots__ = ("_applicable", "_heads", "_reading", "_spans", "protocol")

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        bodies = [tuple(_bound(entry) for entry in rule.when) for rule in protocol.rules]
        # Single conditions apart from alternatives: the inner loop of nearly every rule is the first tuple alone.
        self._heads = [
            (tuple(entry[0] for entry in body if len(entry) == 1), tuple(entry for entry in body if len(entry) != 1)) for body in bodies
        ]
        self._reading = [condition for body in bodies for entry in body for condition in entry]
        self._spans: list[tuple[int, int, tuple[tuple[int, int], ...] | None]] = []
        start = 0
        for body in bodies:
            ends = list(accumulate((len(entry) for entry in body), initial=start))
            plain = all(len(entry) == 1 for entry in body)
            self._spans.append((start, ends[-1], None if plain else tuple(pairwise(ends))))
            start = ends[-1]
        self._applicable: dict[tuple[int, int], tuple[tuple[int, Kind, str], ...]] = {}

    def applicable(self, rung: int, tissue: int) -> tuple[tuple[int, Kind, str], ...]:
        """(index, kind, what unknown does) of the rules in scope at this rung and tissue, in the pack's order."""
        found = self._applicable.get((rung, tissue))
        if found is None:
            steps = self.protocol.steps
            if not -1 <= rung < len(steps) - 1 or not 0 <= tissue < len(TISSUES):
                raise ValueError(f"rung {rung} and tissue {tissue}: expected -1 to {len(steps) - 2} and 0 to {len(TISSUES) - 1}")
            found = tuple(
                (index, rule.kind, rule.unknown)
                for index, rule in enumerate(self.protocol.rules)
                if applies(rule, steps[rung + 1], TISSUES[tissue])
            )
            self._applicable[rung, tissue] = found
        return found

    def judge(self, values: Values, rung: int, tissue: int) -> Answer:
        heads = self._heads
        not_met, unknown, met = Tri.NOT_MET, Tri.UNKNOWN, Tri.MET
        verdicts = [not_met] * len(heads)
        votes: list[tuple[Kind, str, Tri, bool]] = []
        for index, kind, on_unknown in self.applicable(rung, tissue):
            single, alternatives = heads[index]
            verdict = met
            for slot, test in single:
                value = values[slot]
                if value is None:
                    verdict = unknown
                elif not test(value):
                    verdict = not_met
                    break
            else:
                for entry in alternatives:
                    verdict = min(verdict, any_of(_verdict(values[slot], test) for slot, test in entry))
            verdicts[index] = verdict
            votes.append((kind, on_unknown, verdict, True))
        return Answer(tuple(verdicts), combine(votes))

    def trace(self, values: Values, rung: int, tissue: int) -> Trace:
        """The answer, and the verdict on every condition of every rule, of those out of scope as well."""
        not_met, unknown, met = Tri.NOT_MET, Tri.UNKNOWN, Tri.MET
        scope = self.applicable(rung, tissue)
        in_scope = [False] * len(self._spans)
        for index, _, _ in scope:
            in_scope[index] = True
        read = [unknown if (value := values[slot]) is None else met if test(value) else not_met for slot, test in self._reading]
        verdicts = [not_met] * len(self._spans)
        rules = []
        for index, (start, end, entries) in enumerate(self._spans):
            conditions = tuple(read[start:end])
            if in_scope[index]:
                if entries is None:
                    verdicts[index] = not_met if not_met in conditions else unknown if unknown in conditions else met
                else:
                    verdicts[index] = all_of(any_of(read[first:last]) for first, last in entries)
            rules.append(RuleTrace(in_scope[index], verdicts[index], conditions))
        action = combine([(kind, on_unknown, verdicts[index], True) for index, kind, on_unknown in scope])
        return Trace(Answer(tuple(verdicts), action), tuple(rules))


_compiled: dict[str, CompiledReference] = {}


def compile_protocol(protocol: Protocol) -> CompiledReference:
    """The pack bound for judging, kept by its hash. Raises `ValueError` where an operator cannot read its value."""
    found = _compiled.get(protocol.hash)
    # Another object under a known hash is bound again: a draft changed in memory must never be judged by what it was.
    if found is None or found.protocol is not protocol:
        while len(_compiled) >= _PACKS_KEPT:
            del _compiled[next(iter(_compiled))]
        found = _compiled[protocol.hash] = CompiledReference(protocol)
    return found


def judge(protocol: Protocol, values: Values, rung: int, tissue: int) -> Answer:
    """What the pack says about these values.

    `values` has one scaled integer per slot of the pack, or None where it is unknown; `rung` is -1 at entry, up to the length of the
    ladder at complete; `tissue` is an index into `TISSUES`. Raises `ValueError` for a rung or tissue outside these.
    """
    return compile_protocol(protocol).judge(values, rung, tissue)


def trace(protocol: Protocol, values: Values, rung: int, tissue: int) -> Trace:
    """`judge` with the verdict on every condition of every rule."""
    return compile_protocol(protocol).trace(values, rung, tissue)


class ReferenceEngine:
    """The reference engine behind `services.decision.core.question.Engine`."""

    def judge(self, protocol: Protocol, values: Values, rung: int, tissue: int) -> Answer:
        return judge(protocol, values, rung, tissue)
