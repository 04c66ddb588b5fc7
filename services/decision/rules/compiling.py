"""From checked text to a `Protocol`: facts resolved, values encoded, scopes expanded, the hash taken."""

import hashlib
from typing import Any

from services.decision.core.facts import CATALOGUE
from services.decision.core.facts.registry import encode, is_session_fact
from services.decision.core.protocol import (
    COMPLETE,
    ENTRY,
    TISSUES,
    AnyOf,
    Condition,
    Deload,
    Dose,
    FactType,
    Operator,
    Population,
    Progress,
    Protocol,
    RateCap,
    Rule,
    SecondSetback,
    Slot,
    Step,
    Then,
)
from services.decision.rules.faults import FaultyPack, PackFault
from services.decision.rules.model import AnyText, ConditionText, FloorText, PackText, RuleText, SourceText
from shared.events import canonical
from shared.events.catalogue import SITES

ORDERED = ("at_most", "at_least", "below", "above")


class Compiler:
    """Compiles one pack with the floors it includes; collects every fault."""

    def __init__(self, pack: PackText, floors: list[FloorText], file: str) -> None:
        self.pack = pack
        self.floors = floors
        self.file = file
        self.faults: list[PackFault] = []
        self.slots: dict[Slot, int] = {}
        self.sources: dict[str, SourceText] = {}
        for floor in floors:
            self.sources |= floor.sources
        self.sources |= pack.sources
        self.ladder_ids = [step.step for step in pack.ladder]

    def compile(self) -> Protocol:
        pack = self.pack
        self._population()
        rules = tuple(self._rule(rule, f"{floor.pack}.rules[{n}]") for floor in self.floors for n, rule in enumerate(floor.rules))
        rules += tuple(self._rule(rule, f"rules[{n}]") for n, rule in enumerate(pack.rules))
        twice = sorted({rule.id: None for rule in rules if sum(other.id == rule.id for other in rules) > 1})
        for name in twice:
            self._fault("rules", f"rule {name} stands twice; give each its own id")
        clean = tuple(self._any(one, f"clean[{n}]") for n, one in enumerate(pack.clean))
        for n, one in enumerate(pack.clean):
            for condition in one.any if isinstance(one, AnyText) else [one]:
                if condition.fact in CATALOGUE and not is_session_fact(condition.fact):
                    self._fault(f"clean[{n}].fact", f"{condition.fact} is not a fact of one session; `clean` reads session.* facts")
        if len(dict.fromkeys(self.ladder_ids)) != len(self.ladder_ids):
            self._fault("ladder", "a step id stands twice")
        if self.faults:
            raise FaultyPack(self.faults)
        ids = (ENTRY, *self.ladder_ids, COMPLETE)
        return Protocol(
            id=pack.pack,
            version=pack.version,
            hash=content_hash(pack, self.floors),
            title=pack.title,
            ladder=tuple(Step(s.step, Dose(**s.dose.model_dump()), tuple(s.raises)) for s in pack.ladder),
            slots=tuple(self.slots),
            rules=rules,
            clean=clean,
            population=Population(tuple(pack.population.tissues), tuple(pack.population.sites)),
            progress=Progress(**pack.progress.model_dump()),
            rates=tuple(
                RateCap(r.max_steps, r.in_days, self._steps(r.at, f"rates[{n}].at") or ids, r.axis, tuple(r.cite))
                for n, r in enumerate(pack.rates)
            ),
            rest_days={s.step: pack.rest_days if s.rest_days is None else s.rest_days for s in pack.ladder},
            deload=None if pack.deload is None else Deload(**pack.deload.model_dump()),
            second_setback=None if pack.second_setback is None else SecondSetback(**pack.second_setback.model_dump()),
            stop_if=tuple(pack.stop_if),
            sources={name: source.text for name, source in self.sources.items()},
            facts={slot.fact: CATALOGUE[slot.fact] for slot in self.slots},
            disagreement=tuple(pack.disagreement),
            opening=(
                pack.first_line,
                *(f"For {who}." for who in pack.for_whom),
                *(f"Not for {who}." for who in pack.not_for),
            ),
            place={step: rung - 1 for rung, step in enumerate(ids)},
        )

    def _fault(self, path: str, sentence: str) -> None:
        self.faults.append(PackFault(self.file, 1, 1, path, sentence))

    def _population(self) -> None:
        for tissue in self.pack.population.tissues:
            if tissue not in TISSUES:
                self._fault("population.tissues", f"{tissue} is not a tissue; expected one of {', '.join(TISSUES)}")
        for site in self.pack.population.sites:
            if site not in SITES:
                self._fault("population.sites", f"{site} is not a site of the catalogue")

    def _rule(self, rule: RuleText, path: str) -> Rule:
        for cite in rule.cite:
            if cite not in self.sources:
                self._fault(f"{path}.cite", f"{cite} is not among the sources; add it there with its evidence")
        then = Then(**{**rule.then.model_dump(), "resume_when": tuple(rule.then.resume_when)})
        if rule.kind == "regress" and not (then.steps_back or then.to_entry):
            self._fault(f"{path}.then", "a regress says steps_back or to_entry")
        return Rule(
            id=rule.rule,
            kind=rule.kind,
            text=rule.text,
            when=tuple(self._any(one, f"{path}.when[{n}]") for n, one in enumerate(rule.when)),
            then=then,
            cite=tuple(rule.cite),
            grade=rule.grade,
            steps=self._steps(rule.at, f"{path}.at"),
            tissues=None if rule.tissues is None else tuple(rule.tissues),
            unknown=rule.unknown,
            disagreement=rule.disagreement,
        )

    def _steps(self, at: str | list[str], path: str) -> tuple[str, ...] | None:
        if at == "everywhere":
            return None
        if at == "ladder":
            return (*self.ladder_ids, COMPLETE)
        if isinstance(at, str) and ".." in at:
            first, _, last = at.partition("..")
            if first in self.ladder_ids and last in self.ladder_ids:
                return tuple(self.ladder_ids[self.ladder_ids.index(first) : self.ladder_ids.index(last) + 1])
        named = [at] if isinstance(at, str) else at
        known = (ENTRY, *self.ladder_ids, COMPLETE)
        for step in named:
            if step not in known:
                self._fault(path, f"{step} is not a step; expected everywhere, ladder, a range as in W1..W4, or one of {', '.join(known)}")
        return tuple(step for step in named if step in known)

    def _any(self, one: ConditionText | AnyText, path: str) -> Condition | AnyOf:
        if isinstance(one, AnyText):
            return AnyOf(tuple(self._condition(each, f"{path}.any[{n}]") for n, each in enumerate(one.any)))
        return self._condition(one, path)

    def _condition(self, text: ConditionText, path: str) -> Condition:
        for cite in text.cite:
            if cite not in self.sources:
                self._fault(f"{path}.cite", f"{cite} is not among the sources; add it there with its evidence")
        kind = CATALOGUE.get(text.fact)
        if kind is None:
            self._fault(f"{path}.fact", f"{text.fact} is not a fact; nearest: {', '.join(nearest(text.fact))}")
            return Condition(0, "is", True, 1)
        slot = self.slots.setdefault(Slot(text.fact, text.max_age_days, text.assessor), len(self.slots))
        op: Operator = "is" if isinstance(text.op, bool) else text.op
        value: Any = text.op if isinstance(text.op, bool) else text.value
        if isinstance(value, list):
            value = tuple(value)
        problem = _mismatch(kind, op, value)
        if problem is not None:
            self._fault(f"{path}.value", problem)
            return Condition(slot, op, True, 1)
        encoded = tuple(encode(kind, each) for each in value) if isinstance(value, tuple) else encode(kind, value)
        return Condition(slot, op, value, encoded, tuple(text.cite))


def _mismatch(kind: FactType, op: Operator, value: Any) -> str | None:
    """Why this value or comparison does not fit the fact, or None."""
    if kind.kind == "boolean":
        return None if isinstance(value, bool) and op == "is" else f"{kind.name} is yes or no: write `is: true` or `is: false`"
    if isinstance(value, bool) or value is None:
        return f"{kind.name} needs a value in {kind.unit or 'its own unit'}"
    if kind.kind == "choice":
        wanted = value if isinstance(value, tuple) else (value,)
        if (op in ("one_of", "not_one_of")) != isinstance(value, tuple):
            return f"{op} and {value} do not fit together"
        wrong = [one for one in wanted if one not in kind.choices]
        return f"{', '.join(map(str, wrong))}: expected of {', '.join(kind.choices)}" if wrong else None
    if isinstance(value, (str, tuple)) or op not in (*ORDERED, "is"):
        return f"{kind.name} is a number in {kind.unit}: compare with at_most, at_least, below or above"
    scaled = value * kind.scale
    return None if abs(scaled - round(scaled)) < 1e-9 else f"{kind.name} is known in steps of 1/{kind.scale}"


def nearest(name: str) -> list[str]:
    """The catalogue's facts that look most like the name."""
    from difflib import get_close_matches

    return get_close_matches(name, CATALOGUE, n=3, cutoff=0.3) or sorted(CATALOGUE)[:3]


def content_hash(pack: PackText, floors: list[FloorText]) -> str:
    """SHA-256 of the canonical form of the pack and every floor it includes."""
    whole = {"pack": pack.model_dump(by_alias=True), "includes": [floor.model_dump(by_alias=True) for floor in floors]}
    return f"sha256:{hashlib.sha256(canonical(whole)).hexdigest()}"
