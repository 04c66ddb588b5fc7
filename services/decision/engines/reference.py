"""The reference engine: plain Python, three-valued, with a trace of every condition. Its answer is the record.

A pack is bound once to flat tuples of (slot, test). A decision then only reads values and calls tests, of a rule once for each combination
of the values that it reads. What a rule does is counted in a tally, so that after an answer to nearly the same question only the rules that
read what turned are judged, and the others stand as they were counted.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from operator import itemgetter
from typing import Any, NamedTuple

from services.decision.core.protocol import TISSUES, AnyOf, Condition, Kind, Operator, Protocol
from services.decision.core.question import MOST_RULES, Answer, Engine, applies, combined, effect
from services.decision.core.trivalent import MET, NOT_MET, UNKNOWN, Tri, all_of, any_of

Values = Sequence[int | None]
Test = Callable[[int], bool]
Bound = tuple[tuple[int, Test], ...]
"""The alternatives of one entry of `when`: one for a condition, several for an `AnyOf`."""

_PACKS_KEPT = 256
"""Compiled packs kept; a deployment publishes tens, an authoring session checks hundreds of drafts."""

_FINDINGS_KEPT = 1024
"""Combinations of values of one rule whose verdict is kept, and combinations of slots that turned whose rules are."""

Read = tuple[int, Callable[[Values], Any], dict[Any, tuple[Tri, int]]]
"""Of a rule its place, what picks the values it reads, and what was found of such values before: its verdict and what it does."""


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


def _picked(body: tuple[Bound, ...]) -> Callable[[Values], Any]:
    """What picks the values that a rule reads."""
    slots = [slot for entry in body for slot, _ in entry]
    return itemgetter(*slots) if slots else lambda values: ()


def _verdict(value: int | None, test: Test) -> Tri:
    if value is None:
        return UNKNOWN
    return MET if test(value) else NOT_MET


class CompiledReference:
    """A pack bound for judging. `judge` and `trace` are pure functions of their arguments."""

    __slots__ = ("_applicable", "_heads", "_readers", "_reading", "_rules", "_scopes", "_slots", "_spans", "protocol")

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
        if len(bodies) > MOST_RULES:
            raise ValueError(f"{len(bodies)} rules in one pack: expected at most {MOST_RULES}")
        self._applicable: dict[tuple[int, int], tuple[tuple[int, Kind, str], ...]] = {}
        self._rules: list[Read] = [(index, _picked(body), {}) for index, body in enumerate(bodies)]
        self._slots = [frozenset(slot for entry in body for slot, _ in entry) for body in bodies]
        self._scopes: dict[tuple[int, int], tuple[Read, ...]] = {}
        self._readers: dict[tuple[int, int, tuple[int, ...]], tuple[Read, ...]] = {}

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
        verdicts = [NOT_MET] * len(self._heads)
        tally = 0
        for index, read, found in self._asked(rung, tissue):
            # Most values are as they were a moment ago: a rule is judged once for each combination of the values that it reads.
            of = read(values)
            verdicts[index], does = found.get(of) or self._find(index, found, of, values)
            tally += does
        return Answer(tuple(verdicts), combined(tally), tally)

    def again(self, values: Values, rung: int, tissue: int, before: Answer, turned: Sequence[int]) -> Answer:
        """`judge`, where `before` was its answer to values that are others in the slots `turned` alone."""
        verdicts: list[Tri] | None = None
        tally = before.tally
        for index, read, found in self._asked_again(rung, tissue, tuple(turned)):
            of = read(values)
            verdict, does = found.get(of) or self._find(index, found, of, values)
            was = before.verdicts[index]
            if verdict is not was:
                rule = self.protocol.rules[index]
                tally += does - effect(rule.kind, rule.unknown, was)
                verdicts = list(before.verdicts) if verdicts is None else verdicts
                verdicts[index] = verdict
        return before if verdicts is None else Answer(tuple(verdicts), combined(tally), tally)

    def _asked(self, rung: int, tissue: int) -> tuple[Read, ...]:
        """The rules in scope."""
        asked = self._scopes.get((rung, tissue))
        if asked is None:
            asked = self._scopes[rung, tissue] = tuple(self._rules[index] for index, _, _ in self.applicable(rung, tissue))
        return asked

    def _asked_again(self, rung: int, tissue: int, turned: tuple[int, ...]) -> tuple[Read, ...]:
        """Those of them that read any of these slots."""
        asked = self._readers.get((rung, tissue, turned))
        if asked is None:
            if len(self._readers) >= _FINDINGS_KEPT:
                self._readers.clear()
            asked = tuple(one for one in self._asked(rung, tissue) if not self._slots[one[0]].isdisjoint(turned))
            self._readers[rung, tissue, turned] = asked
        return asked

    def _find(self, index: int, found: dict[Any, tuple[Tri, int]], of: Any, values: Values) -> tuple[Tri, int]:
        rule = self.protocol.rules[index]
        verdict = self._judged(index, values)
        if len(found) >= _FINDINGS_KEPT:
            found.clear()
        known = found[of] = (verdict, effect(rule.kind, rule.unknown, verdict))
        return known

    def _judged(self, index: int, values: Values) -> Tri:
        single, alternatives = self._heads[index]
        verdict = MET
        for slot, test in single:
            value = values[slot]
            if value is None:
                verdict = UNKNOWN
            elif not test(value):
                return NOT_MET
        for entry in alternatives:
            verdict = min(verdict, any_of(_verdict(values[slot], test) for slot, test in entry))
        return verdict

    def trace(self, values: Values, rung: int, tissue: int) -> Trace:
        """The answer, and the verdict on every condition of every rule, of those out of scope as well."""
        not_met, unknown, met = NOT_MET, UNKNOWN, MET
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
        tally = sum(effect(kind, on_unknown, verdicts[index]) for index, kind, on_unknown in scope)
        return Trace(Answer(tuple(verdicts), combined(tally), tally), tuple(rules))


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


class ReferenceEngine(Engine):
    """The reference engine behind `services.decision.core.question.Engine`."""

    def judge(self, protocol: Protocol, values: Values, rung: int, tissue: int) -> Answer:
        return judge(protocol, values, rung, tissue)

    def again(self, protocol: Protocol, values: Values, rung: int, tissue: int, before: Answer, turned: Sequence[int]) -> Answer:
        return compile_protocol(protocol).again(values, rung, tissue, before, turned)
