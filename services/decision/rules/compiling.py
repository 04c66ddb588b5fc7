"""From checked text to a `Protocol`: facts resolved, values encoded, scopes expanded, the hash taken."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from services.decision.core.conditions import flat
from services.decision.core.facts import CATALOGUE
from services.decision.core.facts.registry import encode, is_session_fact
from services.decision.core.protocol import (
    COMPLETE,
    ENTRY,
    OPPOSITE,
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
from services.decision.rules import idle
from services.decision.rules.faults import FaultyPack, PackFault
from services.decision.rules.model import (
    AnyText,
    ConditionText,
    DeloadText,
    FloorText,
    PackText,
    ProgressText,
    RuleText,
    SecondSetbackText,
    SourceText,
)
from services.decision.rules.quantities import amount_of, days_of, misfit, mistaken
from services.decision.rules.reading import Source
from shared.events import canonical
from shared.events.catalogue import SITES

ORDERED = ("at_most", "at_least", "below", "above")


class Compiler:
    """Compiles one pack with the floors it includes; collects every fault.

    Two things are asked of a pack: that it can be run, and that it may be published. Of one that was published, under the checks of its
    day, only the first is asked again: a course that stands on it goes on whatever is refused since.
    """

    def __init__(self, source: Source[PackText], floors: Sequence[Source[FloorText]], *, recorded: bool = False) -> None:
        """`recorded`: it was published already."""
        self.source: Source[PackText] | Source[FloorText] = source
        """The file being compiled just now: places are its."""
        self.pack = source.text
        self.floors = floors
        self.recorded = recorded
        self.faults: list[PackFault] = []
        self.slots: dict[Slot, int] = {}
        self.sources: dict[str, SourceText] = {}
        for floor in floors:
            self.sources |= floor.text.sources
        self.sources |= self.pack.sources
        self.ladder_ids = [step.step for step in self.pack.ladder]

    def compile(self) -> Protocol:
        pack = self.pack
        own = self.source
        rules: tuple[Rule, ...] = ()
        for source in (*self.floors, own):
            self.source = source
            rules += tuple(self._rule(rule, f"rules[{n}]") for n, rule in enumerate(source.text.rules))
        self.source = own
        self._population()
        self._numbers()
        texts = {rule.rule: rule for source in (*self.floors, own) for rule in source.text.rules}
        rules = tuple(self._excepted(rule, texts, rules) for rule in rules)
        for n, one_rule in enumerate(pack.rules):
            if sum(other.id == one_rule.rule for other in rules) > 1:
                self._fault(f"rules[{n}].rule", f"rule {one_rule.rule} stands twice; give each its own id")
        clean = tuple(self._any(one, f"clean[{n}]") for n, one in enumerate(pack.clean))
        for n, one in enumerate(pack.clean):
            for condition in one.any if isinstance(one, AnyText) else [one]:
                if condition.fact in CATALOGUE and not is_session_fact(condition.fact):
                    self._fault(
                        f"clean[{n}].fact", f"{condition.fact} is not a fact of one session; `clean` reads session.* facts", "CYCLE"
                    )
        if len(dict.fromkeys(self.ladder_ids)) != len(self.ladder_ids):
            self._fault("ladder", "a step id stands twice")
        for n, step in enumerate(self.ladder_ids):
            if step in (ENTRY, COMPLETE):
                self._asked(f"ladder[{n}].step", f"{step} stands before or after every ladder; give the step another id")
        ids = (ENTRY, *self.ladder_ids, COMPLETE)
        rates = tuple(
            RateCap(r.max_steps, r.in_days, self._steps(r.at, f"rates[{n}].at") or ids, r.axis, tuple(r.cite), r.counts)
            for n, r in enumerate(pack.rates)
        )
        self._idle("stories", idle.stories(pack.stories, texts))
        if self.faults:
            raise FaultyPack(sorted(self.faults, key=lambda fault: (fault.file != own.name, fault.line, fault.column)))
        return Protocol(
            id=pack.pack,
            version=pack.version,
            hash=content_hash(pack, [floor.text for floor in self.floors]),
            title=pack.title,
            ladder=tuple(
                Step(s.step, Dose(**s.dose.model_dump()), tuple(s.raises), tuple(s.cite or pack.ladder_cite)) for s in pack.ladder
            ),
            slots=tuple(self.slots),
            rules=rules,
            clean=clean,
            population=Population(tuple(pack.population.tissues), tuple(pack.population.sites)),
            progress=Progress(**_cited(pack.progress)),
            rates=rates,
            rest_days={s.step: pack.rest_days.days if s.rest_days is None else s.rest_days for s in pack.ladder},
            deload=None if pack.deload is None else Deload(**_cited(pack.deload)),
            second_setback=None if pack.second_setback is None else SecondSetback(**_cited(pack.second_setback)),
            stop_if=tuple(pack.stop_if),
            sources={name: source.text for name, source in self.sources.items()},
            grades={name: source.evidence for name, source in self.sources.items()},
            facts={slot.fact: CATALOGUE[slot.fact] for slot in self.slots},
            disagreement=tuple(pack.disagreement),
            opening=(
                pack.first_line,
                *(f"For {who}." for who in pack.for_whom),
                *(f"Not for {who}." for who in pack.not_for),
                *(f"Red flag, to a clinician at once: {flag}." for flag in pack.red_flags),
                f"Numbers answered for by the {pack.checked_by}; sources to be read again by {pack.review_by.isoformat()}.",
            ),
            expires=pack.expires,
            place={step: rung - 1 for rung, step in enumerate(ids)},
        )

    def _fault(self, path: str, sentence: str, code: str = "FORM") -> None:
        self.faults.append(self.source.fault(path, sentence, code))

    def _asked(self, path: str, sentence: str, code: str = "FORM") -> None:
        """A fault of what is to be published; what was published runs with it as it did."""
        if not self.recorded:
            self._fault(path, sentence, code)

    def _idle(self, path: str, found: idle.Told) -> None:
        for below, sentence in found:
            self._asked(f"{path}.{below}".rstrip("."), sentence)

    def _population(self) -> None:
        self._idle("population.tissues", idle.tissues(self.pack.population.tissues))
        for site in self.pack.population.sites:
            if site not in SITES:
                self._asked("population.sites", f"{site} is not a site of the catalogue")

    def _numbers(self) -> None:
        """Everything outside the rules that holds numbers says where they are from."""
        pack = self.pack
        said = {"ladder_cite": pack.ladder_cite, "rest_days.cite": pack.rest_days.cite, "progress.cite": pack.progress.cite}
        said |= {f"ladder[{n}].cite": step.cite for n, step in enumerate(pack.ladder)}
        said |= {f"rates[{n}].cite": rate.cite for n, rate in enumerate(pack.rates)}
        if pack.deload is not None:
            said["deload.cite"] = pack.deload.cite
        if pack.second_setback is not None:
            said["second_setback.cite"] = pack.second_setback.cite
        for path, cites in said.items():
            self._cites(cites, path)
        for name, source in pack.sources.items():
            for tissue in source.tissues:
                if tissue not in (*TISSUES, "any"):
                    self._asked(f"sources.{name}.tissues", f"{tissue} is not a tissue; expected of {', '.join(TISSUES)}, or any")
            if source.evidence != "expert_default" and source.checked_on is None:
                self._asked(
                    f"sources.{name}", "checked_on is missing; say on which date its numbers were last read against the source", "SAFE-10"
                )

    def _cites(self, cites: Sequence[str], path: str) -> None:
        for cite in cites:
            if cite not in self.sources:
                near = get_close_matches(cite, self.sources, n=1)
                meant = f"; did you mean {near[0]}?" if near else "; add it there with its evidence"
                self._fault(path, f"{cite} is not among the sources{meant}", "SAFE-10")

    def _excepted(self, rule: Rule, texts: Mapping[str, RuleText], rules: Sequence[Rule]) -> Rule:
        """The rule with the opposite of what excepts it among its conditions."""
        unless = texts[rule.id].unless
        if not unless:
            return rule
        path = next((f"rules[{n}].unless" for n, text in enumerate(self.pack.rules) if text.rule == rule.id), "rules")
        if rule.kind == "refer":
            self._asked(path, "a rule that refers has no exceptions: a red flag is never set aside", "SAFE-06")
        when = rule.when
        for name in unless:
            found = next((other for other in rules if other.id == name), None)
            if found is None or found.id == rule.id:
                near = ", ".join(get_close_matches(name, [other.id for other in rules]))
                self._fault(path, f"{name} is not another rule of this pack; nearest: {near or 'none'}")
            elif texts[found.id].unless or (len(found.when) != 1 and any(isinstance(one, AnyOf) for one in found.when)):
                told = "its conditions must be single ones, or one `any`, without exceptions of its own"
                self._fault(path, f"{name} cannot except another rule: {told}", "CYCLE")
            else:
                when += _opposite(found)
        return replace(rule, when=when, excepted_by=tuple(unless))

    def _rule(self, rule: RuleText, path: str) -> Rule:
        self._cites(rule.cite, f"{path}.cite")
        then = Then(**{**rule.then.model_dump(), "resume_when": tuple(rule.then.resume_when)})
        self._idle(path, idle.consequences(rule))
        if rule.kind == "refer":
            then = replace(then, running="withheld", urgency="stop_and_refer")
        if rule.tissues is not None:
            self._idle(f"{path}.tissues", idle.tissues(rule.tissues))
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
                range_of = self.ladder_ids[self.ladder_ids.index(first) : self.ladder_ids.index(last) + 1]
                if not range_of:
                    self._asked(path, f"{at} runs down the ladder and names no step; write the lower step first, as in {last}..{first}")
                return tuple(range_of)
        named = [at] if isinstance(at, str) else at
        if not named:
            self._asked(path, "names no step, so it would never count; name one, or write everywhere or ladder")
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
        self._cites(text.cite, f"{path}.cite")
        kind = CATALOGUE.get(text.fact)
        if kind is None:
            self._fault(f"{path}.fact", f"{text.fact} is not a fact; nearest: {', '.join(nearest(text.fact))}", "TYPE")
            return Condition(0, "is", True, 1)
        age = None if text.max_age is None else days_of(text.max_age)
        if isinstance(age, str):
            self._fault(f"{path}.max_age", age, "UNIT")
            age = None
        if text.assessor is not None and not text.fact.startswith("milestone."):
            self._fault(f"{path}.assessor", f"{text.fact} is not a test, so nobody assesses it; take `assessor` out")
            return Condition(0, "is", True, 1)
        slot = self.slots.setdefault(Slot(text.fact, age, text.assessor), len(self.slots))
        op: Operator = "is" if isinstance(text.op, bool) else text.op
        value = _value(kind, op, text, self.recorded)
        if isinstance(value, _Wrong):
            self._fault(f"{path}.{'value' if text.value is not None else 'is'}", value.sentence, value.code)
            return Condition(slot, op, True, 1)
        if kind.kind == "number" and not text.cite:
            self._asked(path, "this number has no citation; add `cite` with the source that gives it, or milepost-default", "SAFE-10")
        encoded = tuple(encode(kind, each) for each in value) if isinstance(value, tuple) else encode(kind, value)
        return Condition(slot, op, value, encoded, tuple(text.cite))


@dataclass(frozen=True, slots=True)
class _Wrong:
    sentence: str
    code: str = "TYPE"


def _value(kind: FactType, op: Operator, text: ConditionText, recorded: bool) -> int | float | bool | str | tuple[str, ...] | _Wrong:
    """The threshold, or why it does not fit the fact."""
    said = text.value
    if kind.kind == "boolean":
        fits = isinstance(text.op, bool) and said is None
        return bool(text.op) if fits else _Wrong(f"{kind.name} is yes or no: write `is: true` or `is: false`, and no value")
    if isinstance(text.op, bool) or said is None:
        return _Wrong(f"{kind.name} is no yes or no: compare it, as in `is: at_most` with a `value`")
    if kind.kind == "choice":
        wanted = said if isinstance(said, list) else [said]
        if (op in ("one_of", "not_one_of")) != isinstance(said, list):
            return _Wrong(f"{op} and {said} do not fit together; one_of and not_one_of take a list, the others one word")
        wrong = [one for one in wanted if one not in kind.choices]
        if wrong:
            return _Wrong(f"{', '.join(wrong)}: expected of {', '.join(kind.choices)}")
        return tuple(wanted) if isinstance(said, list) else said
    if op not in ORDERED:
        return _Wrong(f"{kind.name} is a number in {kind.unit}: compare with at_most, at_least, below or above")
    found = amount_of(said)
    if isinstance(found, str):
        return _Wrong(found, "UNIT")
    problem = misfit(kind, found, any_range=recorded)
    return found.amount if problem is None else _Wrong(problem, mistaken(kind, found))


def _opposite(rule: Rule) -> tuple[Condition | AnyOf, ...]:
    """What holds where the rule is known not to be met: one condition of its conjunction fails, or every branch of its one `any` does."""
    turned = tuple(_turned(one) for one in flat(rule.when))
    if len(turned) == 1 or isinstance(rule.when[0], AnyOf):
        return turned
    return (AnyOf(turned),)


def _turned(one: Condition) -> Condition:
    if isinstance(one.value, bool):
        return replace(one, value=not one.value, encoded=0 if one.value else 1)
    if one.op == "is":
        assert isinstance(one.value, str) and isinstance(one.encoded, int)
        return replace(one, op="not_one_of", value=(one.value,), encoded=(one.encoded,))
    return replace(one, op=OPPOSITE[one.op])


def _cited(text: ProgressText | DeloadText | SecondSetbackText) -> dict[str, Any]:
    return {**text.model_dump(), "cite": tuple(text.cite)}


def nearest(name: str) -> list[str]:
    """The catalogue's facts that look most like the name."""
    return get_close_matches(name, CATALOGUE, n=3, cutoff=0.3) or sorted(CATALOGUE)[:3]


def content_hash(pack: PackText, floors: list[FloorText]) -> str:
    """SHA-256 of the canonical form of the pack and every floor it includes.

    What stands at its default is left out, so that a later word of the language changes the hash of no pack that does not use it.
    """
    parts = [one.model_dump(mode="json", by_alias=True, exclude_defaults=True) for one in (pack, *floors)]
    whole = {"pack": parts[0], "includes": parts[1:]}
    return f"sha256:{hashlib.sha256(canonical(whole)).hexdigest()}"
