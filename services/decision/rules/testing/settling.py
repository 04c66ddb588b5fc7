"""Looks for an athlete in whom one condition alone decides: everything else at its best, and what then still speaks, repaired.

Depth first and deterministic: the same pack gives the same athletes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from services.decision.core.conditions import flat, holds
from services.decision.core.protocol import TISSUES, AnyOf, Condition, FactType, Protocol, Rule
from services.decision.core.question import applies
from services.decision.core.trivalent import Tri
from services.decision.rules.testing.outcomes import Asked
from services.decision.rules.testing.situations import OF_PLACE, Seen, of_place, values_of

_REPAIRS = 16
_FEW_CHOICES = 8
_STRICT = ("advance", "hold", "regress", "refer")
_OWN, _DROWNS, _SPEAKS_TOO = 1000, 30, 1
"""What weighs most: that the rule follows the one condition; then that no rule as strict speaks; a milder one may."""


class Pack:
    """One pack with what is usual in it and the values worth trying for each fact."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.asked = Asked(protocol)
        self.compared: dict[str, list[Condition]] = {name: [] for name in protocol.facts}
        for condition in flat([*(one for rule in protocol.rules for one in rule.when), *protocol.clean]):
            self.compared[protocol.slots[condition.slot].fact].append(condition)
        self.usual = {name: Seen(self._best(kind)) for name, kind in sorted(protocol.facts.items()) if name not in OF_PLACE}
        self.candidates = {name: self._candidates(kind) for name, kind in protocol.facts.items()}
        self._repaired: dict[tuple[str, str], dict[str, Seen]] = {}

    def fact(self, condition: Condition) -> str:
        return self.protocol.slots[condition.slot].fact

    def edges(self, condition: Condition) -> list[int]:
        """The values at a condition's border: one resolution step below, at and above a threshold; for choices each named and the next."""
        kind = self.protocol.facts[self.fact(condition)]
        if isinstance(condition.encoded, tuple) or condition.op == "is":
            named = condition.encoded if isinstance(condition.encoded, tuple) else (condition.encoded,)
            around = {value + step for value in named for step in (-1, 1)} - set(named)
            near = sorted(value for value in around if kind.bottom <= value <= kind.top)
            return [*named, *(near if kind.top < _FEW_CHOICES else near[:2])]
        return [value for step in (-1, 0, 1) if kind.bottom <= (value := condition.encoded + step) <= kind.top]

    def base(self, step: str, tissue: str) -> dict[str, Seen]:
        """An athlete for whom nothing stands in the way at this step."""
        found = self._repaired.get((step, tissue))
        if found is None:
            found = self._repaired[step, tissue] = self.settle(step, tissue, {})
        return dict(found)

    def settle(self, step: str, tissue: str, pinned: Mapping[str, Seen], alone: Condition | None = None) -> dict[str, Seen]:
        """The base with `pinned`, in which as few other rules as possible speak; `alone` decides its rule, which may speak."""
        start = {**self.usual, **of_place(self.protocol, step, tissue)} if not pinned else self.base(step, tissue)
        state = {**start, **pinned}
        goal = _Goal(self, step, tissue, alone)
        wrong = goal.wrong(state)
        fixed = {*pinned, *OF_PLACE}
        for _ in range(_REPAIRS):
            if not wrong:
                break
            best: tuple[int, dict[str, Seen]] | None = None
            for name in dict.fromkeys(name for each in wrong for name in each.reads):
                if name in fixed:
                    continue
                for value in self.candidates[name]:
                    tried = {**state, name: Seen(value)}
                    left = _weight(goal.wrong(tried))
                    if best is None or left < best[0]:
                        best = (left, tried)
            if best is None or best[0] >= _weight(wrong):
                break
            state = best[1]
            wrong = goal.wrong(state)
        return state

    def _best(self, kind: FactType) -> int:
        """The best value of a fact, as far as any rule looks."""
        if kind.kind == "boolean":
            return int(kind.worse == "false")
        if kind.worse == "lower":
            tops = [max(self.edges(condition)) for condition in self.compared[kind.name] if isinstance(condition.encoded, int)]
            at = [condition.encoded for condition in self.compared[kind.name] if isinstance(condition.encoded, int)]
            highest = max(at, default=kind.top)
            return highest if any(c.op in ("at_least", "below") and c.encoded == highest for c in self.compared[kind.name]) else max(tops)
        if kind.name == "injury.site" and self.protocol.population.sites:
            return kind.choices.index(self.protocol.population.sites[0])
        return max(kind.bottom, 0)

    def _candidates(self, kind: FactType) -> list[int]:
        found = [self.usual[kind.name].value or 0] if kind.name in self.usual else []
        for condition in self.compared[kind.name]:
            found += self.edges(condition)
        if kind.top < _FEW_CHOICES:
            found += range(kind.bottom, kind.top + 1)
        return list(dict.fromkeys([*found, kind.bottom, kind.top]))


class _Wrong(NamedTuple):
    weight: int
    reads: list[str]


def _weight(wrong: Iterable[_Wrong]) -> int:
    return sum(one.weight for one in wrong)


class _Goal:
    """What a settled athlete has to fulfil: every other protective rule silent, every other advance rule met, and one condition alone."""

    def __init__(self, pack: Pack, step: str, tissue: str, alone: Condition | None) -> None:
        self._pack = pack
        self._rules = [rule for rule in pack.protocol.rules if applies(rule, step, tissue)]
        self._place = (pack.protocol.place[step], TISSUES.index(tissue))
        self._indexes = [n for n, rule in enumerate(pack.protocol.rules) if applies(rule, step, tissue)]
        self._alone = alone

    def wrong(self, state: Mapping[str, Seen]) -> list["_Wrong"]:
        """Everything that is not as it should be."""
        values = values_of(self._pack.protocol, state)
        verdicts = self._pack.asked.verdicts(values, *self._place)
        own = next((rule for rule in self._rules if _entry_of(rule, self._alone) is not None), None)
        found: list[_Wrong] = []
        for index, rule in zip(self._indexes, self._rules, strict=True):
            entry = _entry_of(rule, self._alone)
            if entry is not None:
                found += self._beside(rule, entry, values)
            elif verdicts[index] is not (Tri.MET if rule.kind == "advance" else Tri.NOT_MET):
                drowns = own is None or _STRICT.index(rule.kind) >= _STRICT.index(own.kind)
                found.append(_Wrong(_DROWNS if drowns else _SPEAKS_TOO, self._reads(rule.when)))
        return found

    def _beside(self, rule: Rule, entry: Condition | AnyOf, values: Sequence[int | None]) -> Iterator["_Wrong"]:
        """Other entries of the rule that are not met, and alternatives beside the one condition that are not known to fail."""
        for other in rule.when:
            if other is entry:
                for one in other.conditions if isinstance(other, AnyOf) else ():
                    if one is not self._alone and holds(one, values) is not Tri.NOT_MET:
                        yield _Wrong(_OWN, [self._pack.fact(one)])
            elif max((holds(one, values) for one in flat([other])), default=Tri.MET) is not Tri.MET:
                yield _Wrong(_OWN, self._reads([other]))

    def _reads(self, when: Sequence[Condition | AnyOf]) -> list[str]:
        return list(dict.fromkeys(self._pack.fact(one) for one in flat(when)))


def _entry_of(rule: Rule, alone: Condition | None) -> Condition | AnyOf | None:
    """The entry of the rule in which this very condition stands."""
    if alone is None:
        return None
    return next((entry for entry in rule.when if any(one is alone for one in flat([entry]))), None)
