"""Which mutants of a pack its tests notice: recorded cases first, stories where no case does, and what is left.

A mutant that nothing notices is a survivor: a line of the pack that could be wrong without anybody being told.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from services.decision.core.conditions import flat, together
from services.decision.core.protocol import TISSUES, Protocol, Rule
from services.decision.core.question import Answer, Engine, applies
from services.decision.core.trivalent import Tri
from services.decision.engines.reference import ReferenceEngine
from services.decision.rules.model import StoriesText
from services.decision.rules.testing.boundaries import STEPS
from services.decision.rules.testing.cases import Case, Cases
from services.decision.rules.testing.mutants import Mutant
from services.decision.rules.testing.outcomes import Asked, Values
from services.decision.rules.testing.situations import Facts, values_of
from services.decision.rules.testing.stories import FaultyStory, OnePack, Written, told_of, written_out

By = Literal["case", "story", "equivalent", "survivor"]
Put = tuple[tuple[int | None, ...], int, int]
"""A question as it was put to an engine: values, rung, tissue."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a mutant: noticed by a case or a story, or nothing can notice it, or nothing did."""

    id: str
    by: By


@dataclass(frozen=True, slots=True)
class Ready:
    """A recorded case at one step with one tissue, with the values of the pack as it is."""

    case: Case
    facts: Facts
    values: Values
    step: str
    tissue: str


class Hunt:
    """The tests of one pack, ready for its mutants. `same` says of a mutant whether it can be told from the pack at all."""

    def __init__(self, protocol: Protocol, cases: Cases, stories: StoriesText, same: Callable[[Mutant], bool]) -> None:
        self.protocol = protocol
        self._cases = cases
        self._ready = [Ready(case, facts, values_of(protocol, facts), *place) for case, facts, *place in cases.asked(protocol)]
        self._sessions = list(cases.sessions())
        self._histories = list(cases.histories())
        self._stories = stories
        self._same = same
        self._engine = ReferenceEngine()
        self._before: dict[int, list[tuple[Ready, Tri | None]]] = {}

    def fates(self, some: Iterable[Mutant]) -> Iterator[Fate]:
        for mutant in some:
            yield Fate(mutant.id, self.fate(mutant))

    def fate(self, mutant: Mutant) -> By:
        if self._by_case(mutant):
            return "case"
        if self._by_story(mutant):
            return "story"
        return "equivalent" if self._same(mutant) else "survivor"

    def _by_case(self, mutant: Mutant) -> bool:
        if mutant.touches == "course":
            return any(history.outcome(mutant.protocol) != case.outcome for case, history in self._histories)
        asked = Asked(mutant.protocol)
        if mutant.touches == "clean":
            return any(asked.clean(facts) != case.outcome for case, facts in self._sessions)
        return any(asked.outcome(one.facts, one.step, one.tissue) != one.case.outcome for one in self._worth_asking(mutant))

    def _worth_asking(self, mutant: Mutant) -> Iterator[Ready]:
        """The cases in which the touched rule says something else, or what it says is acted on otherwise."""
        if mutant.touches == "place":
            yield from self._ready_for(mutant.protocol)
            return
        was = self.protocol.rules[mutant.rule]
        rule = None if mutant.dropped else mutant.protocol.rules[mutant.rule]
        grown = len(mutant.protocol.slots) > len(self.protocol.slots)
        acted = rule is None or (rule.kind, rule.unknown, rule.then) != (was.kind, was.unknown, was.then)
        for one, before in self._said_before(mutant.rule):
            if acted:
                if before is not None and (before is not Tri.NOT_MET or was.kind == "advance"):
                    yield one
            else:
                assert rule is not None
                if _said(rule, one, values_of(mutant.protocol, one.facts) if grown else one.values) is not before:
                    yield one

    def _ready_for(self, protocol: Protocol) -> Iterator[Ready]:
        """The cases of the steps, with what another population makes of them."""
        for case, facts, *place in self._cases.asked(protocol):
            if case.name == STEPS:
                yield Ready(case, facts, values_of(protocol, facts), *place)

    def _said_before(self, index: int) -> list[tuple[Ready, Tri | None]]:
        """Every case with what the rule says in it, those recorded for the rule first."""
        found = self._before.get(index)
        if found is None:
            rule = self.protocol.rules[index]
            ordered = sorted(self._ready, key=lambda one: one.case.name != rule.id)
            found = self._before[index] = [(one, _said(rule, one, one.values)) for one in ordered]
        return found

    def _by_story(self, mutant: Mutant) -> bool:
        pack: OnePack | None = None
        for written, asked in self._written:
            if not self._could_notice(mutant, asked):
                continue
            pack = pack or OnePack(mutant.protocol, self._engine)
            try:
                if told_of(pack, written).differs:
                    return True
            except FaultyStory:
                return True
        return False

    @cached_property
    def _written(self) -> list[tuple[Written, list[Put]]]:
        """Every story that can be told, with what the pack as it is was asked in it."""
        found = []
        for story in self._stories.told:
            listening = _Listening(self._engine)
            try:
                written = written_out(self.protocol, self._stories, story)
                told_of(OnePack(self.protocol, listening), written)
            except FaultyStory:
                continue  # It is a fault of the pack's tests, and told there.
            found.append((written, list(listening.asked)))
        return found

    def _could_notice(self, mutant: Mutant, asked: Sequence[Put]) -> bool:
        """A course goes as it went until a rule that was changed says, does or lacks something else."""
        if mutant.touches != "rule":
            return True
        was = self.protocol.rules[mutant.rule]
        rule = None if mutant.dropped else mutant.protocol.rules[mutant.rule]
        steps = self.protocol.steps
        grown = len(mutant.protocol.slots) > len(self.protocol.slots)
        acted = rule is None or grown or (rule.kind, rule.unknown, rule.then) != (was.kind, was.unknown, was.then)
        for values, rung, tissue in asked:
            step, kind = steps[rung + 1], TISSUES[tissue]
            before = _tells(was, values, step, kind)
            if acted:
                if before is not None and (grown or was.kind == "advance" or before[0] is not Tri.NOT_MET):
                    return True
            elif rule is not None and _tells(rule, values, step, kind) != before:
                return True
        return False


class _Listening(Engine):
    """An engine that remembers what it was asked, each question once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.asked: dict[Put, None] = {}

    def judge(self, protocol: Protocol, values: Sequence[int | None], rung: int, tissue: int) -> Answer:
        self.asked[tuple(values), rung, tissue] = None
        return self._engine.judge(protocol, values, rung, tissue)


def _tells(rule: Rule, values: Sequence[int | None], step: str, tissue: str) -> tuple[Tri, tuple[int, ...]] | None:
    """What the rule says, and which of its facts it lacks; None where it does not apply."""
    if not applies(rule, step, tissue):
        return None
    return together(rule.when, values), tuple(one.slot for one in flat(rule.when) if values[one.slot] is None)


def _said(rule: Rule, one: Ready, values: Values) -> Tri | None:
    """What the rule says in a case; None where it does not apply."""
    return together(rule.when, values) if applies(rule, one.step, one.tissue) else None


@dataclass(frozen=True, slots=True)
class Score:
    """How many mutants were noticed, of those that can be."""

    fates: Sequence[Fate]

    def count(self, *by: By) -> int:
        return sum(fate.by in by for fate in self.fates)

    @property
    def survivors(self) -> list[str]:
        return [fate.id for fate in self.fates if fate.by == "survivor"]

    @property
    def share(self) -> float:
        """Noticed of noticeable, 0 to 1."""
        able = len(self.fates) - self.count("equivalent")
        return 1.0 if able == 0 else self.count("case", "story") / able
