"""From a course to a verdict: facts into slots, slots to the engine, the most conservative answer into what stands."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple, TypeVar

from services.decision.core.cleaning import Cleaning
from services.decision.core.conditions import flat, picked
from services.decision.core.course import Course
from services.decision.core.days import aged, later
from services.decision.core.facts.registry import View, encoder, find
from services.decision.core.finding import reading
from services.decision.core.outline import outline
from services.decision.core.protocol import COMPLETE, ENTRY, RUNNING_ORDER, TISSUES, URGENCY_ORDER, Protocol, Rule, Running
from services.decision.core.question import Answer, Engine, Question
from services.decision.core.recall import BITS, LOUD, Recall
from services.decision.core.recovery import (
    base_rest,
    break_since,
    eligible_from,
    lighter,
    limited,
    limits_at,
    next_step,
    not_before,
    steps_back,
)
from services.decision.core.scope import Scope, scope_of
from services.decision.core.sessions import Fact, Session
from services.decision.core.settled import Settled
from services.decision.core.standing import Modifier, Standing
from services.decision.core.telling import Head
from services.decision.core.trivalent import Tri, Unknown
from services.decision.core.voices import rules_heard, rules_met, same_voices

T = TypeVar("T", bound=str)


class Verdict(NamedTuple):
    """What follows from a course at one moment, with what it was read from."""

    standing: Standing
    question: Question
    facts: tuple[Fact, ...]
    """One per slot."""
    view: View
    eligible_from: date | None
    valid_until: date | None
    scope: Scope
    settled: Settled
    recall: Recall

    @property
    def scoped(self) -> tuple[tuple[Rule, Tri], ...]:
        """The rules that apply here, each with its verdict."""
        verdicts = self.question.answer.verdicts
        return tuple([(rule, verdicts[place]) for place, rule in self.scope.rules])


_OF_STANDING = LOUD & ~BITS["today"]
"""What stands rests on no date but the earliest of the next session (a test holds it to that)."""
NOT_READ = Fact(Unknown("is read by no rule at this step"))


class Judge:
    """One protocol and the engine that is the record."""

    def __init__(self, protocol: Protocol, engine: Engine) -> None:
        self.protocol = protocol
        self.engine = engine
        self.outlines = {rule.id: outline(rule.when, protocol) for rule in protocol.rules}
        self.clean_outline = outline(protocol.clean, protocol)
        self.facts_of_rule = {rule.id: picked([condition.slot for condition in flat(rule.when)]) for rule in protocol.rules}
        """Rule id to what picks its facts out of a verdict's."""
        self.referring = frozenset(rule.id for rule in protocol.rules if rule.kind == "refer" and not self._reads_open_referral(rule))
        """The rules that open a referral where they are met; one that reads an open referral rests on what latches already."""
        self._scopes: dict[tuple[str, str], Scope] = {}
        self._cleaning = Cleaning(protocol)
        self._breaks = sorted(
            condition.encoded
            for rule in protocol.rules
            if self._reads_breaks_only(rule)
            for condition in flat(rule.when)
            if isinstance(condition.encoded, int)
        )
        self.heads: dict[str, list[Head]] = {}
        """Rule to what is told of it, by verdict."""
        self._readings = [(reading(slot), encoder(protocol.facts[slot.fact])) for slot in protocol.slots]
        self._unread = [NOT_READ] * len(protocol.slots)

    def read_all(self, view: View) -> tuple[Fact, ...]:
        """Every slot's fact, of rules out of scope as well."""
        return tuple([read(view) for read, _ in self._readings])

    def _scope(self, step: str, tissue: str) -> Scope:
        scope = self._scopes.get((step, tissue))
        if scope is None:
            scope = self._scopes[step, tissue] = scope_of(self.protocol, step, tissue)
        return scope

    def cleaned(self, session: Session) -> Session:
        """The session, which nobody keeps yet, with `clean` judged."""
        return self._cleaning.cleaned(session)

    def session_values(self, session: Session) -> list[int | None]:
        """What `clean` reads of the session, as the engines want it; other slots are None."""
        return self._cleaning.values(session)

    def decide(self, course: Course, recall: Recall | None = None) -> Verdict:
        """A pure function of the course: the same course, the same verdict. `recall` of the same course under this protocol saves time."""
        recall = Recall() if recall is None else recall
        view, scope, question = self._looked(course, recall)
        settled = recall.settled
        if settled is None or not self._stands(settled, question, course, recall, scope):
            settled = recall.settled = self._settled(view, question, recall.facts, scope)
            recall.since = 0
        return Verdict(settled.standing, question, recall.facts, view, settled.eligible_from, settled.valid_until, scope, settled, recall)

    def standing(self, course: Course, recall: Recall) -> Standing:
        """What `decide` says stands, without the dates until which and from which on something else will."""
        view, scope, question = self._looked(course, recall)
        settled = recall.settled
        if settled is not None and self._stands(settled, question, course, recall, scope, _OF_STANDING):
            return settled.standing
        return self._standing(view, question.answer, rules_met(scope, question.answer.verdicts))

    def _looked(self, course: Course, recall: Recall) -> tuple[View, Scope, Question]:
        today = course.day(course.as_of)
        first = recall.first(course)
        view = View(course, course.as_of, today, course.last_session, today if first is None else max(first, today))
        scope = self._scope(course.step, course.tissue)
        recall.look(view, scope, self._unread, self._readings)
        question = recall.question
        if question is None:
            question = recall.question = self._asked(recall, self.protocol.place[course.step], TISSUES.index(course.tissue))
        return view, scope, question

    def _asked(self, recall: Recall, rung: int, tissue: int) -> Question:
        """The engine's answer to the values recalled; only of what turned since the last one, where there is one."""
        protocol, values, before = self.protocol, recall.values, recall.answer
        if before is None:
            answer = self.engine.judge(protocol, values, rung, tissue)
        else:
            answer = self.engine.again(protocol, values, rung, tissue, before, recall.turned)
        recall.answer, recall.turned = answer, []
        return Question(protocol.hash, values, rung, tissue, answer)

    def _stands(self, settled: Settled, question: Question, course: Course, recall: Recall, scope: Scope, on: int = LOUD) -> bool:
        """Whether what was settled follows still, as far as it rests on the fields `on`."""
        # Whether a word to decline an advance or a regress still counts rests on every report since.
        if recall.since & on or course.answered is not None:
            return False
        action = question.answer.action
        if action == "advance":
            return settled.question is question and settled.facts is recall.facts
        if settled.question is not question:
            if not same_voices(scope, settled.question.answer, question.answer):
                return False
            settled.question = question
        return True

    def _settled(self, view: View, question: Question, facts: tuple[Fact, ...], scope: Scope) -> Settled:
        met = rules_met(scope, question.answer.verdicts)
        standing = self._standing(view, question.answer, met)
        return Settled(
            question,
            facts,
            met,
            rules_heard(scope, question.answer.verdicts),
            standing,
            eligible_from(view.course, view.earliest, standing.modifier == "deload") if standing.action == "hold" else None,
            self._valid_until(view, facts, standing.action),
        )

    def _standing(self, view: View, answer: Answer, met: list[Rule]) -> Standing:
        course = view.course
        regressing = [rule for rule in met if rule.kind == "regress"]
        by_break = bool(regressing) and all(self._reads_breaks_only(rule) for rule in regressing)
        urgency = _most(URGENCY_ORDER, [rule.then.urgency for rule in met])
        to_step = course.step
        action = "hold" if answer.action == "refer" and not regressing else answer.action
        if regressing:
            action = "regress"
            rungs = max((rule.then.steps_back for rule in regressing), default=1)
            if not by_break and self._second_setback(course):
                assert self.protocol.second_setback is not None
                rungs = max(rungs, self.protocol.second_setback.steps_back)
                urgency = _most(URGENCY_ORDER, [urgency, "review"])
            to_step = ENTRY if any(rule.then.to_entry for rule in regressing) else steps_back(course, max(rungs, 1))
            if to_step == course.step or _declined(course, to_step):
                action, to_step = "hold", course.step
        elif action == "advance":
            to_step = next_step(course)
        if answer.action == "refer":
            urgency = "stop_and_refer"
        modifier = self._modifier(view, action)
        said = [rule.then.running for rule in met if rule.then.running]
        running = _most(RUNNING_ORDER, [_default_running(course, action, to_step, modifier), *said])
        rest = max([base_rest(course, course.step, to_step), *(r.then.rest_days for r in met if r.then.rest_days is not None)])
        deload = self.protocol.deload if modifier == "deload" else None
        first = not_before(course, to_step, rest, 0 if deload is None else deload.fewer_sessions)
        rung = self.protocol.step(to_step)
        dose = None
        if rung is not None:
            dose = limited(lighter(course, rung.dose) if modifier == "deload" else rung.dose, limits_at(course, view.earliest))
        assert action != "refer"
        return Standing(
            action=action,
            from_step=course.step,
            to_step=to_step,
            running=running,
            urgency=urgency,
            rest_days=rest,
            not_before=first,
            dose=dose,
            modifier=modifier,
            by_break=by_break and action == "regress",
        )

    def _reads_breaks_only(self, rule: Rule) -> bool:
        return all(self.protocol.slots[condition.slot].fact == "break.days" for condition in flat(rule.when))

    def _reads_open_referral(self, rule: Rule) -> bool:
        return any(self.protocol.slots[condition.slot].fact == "referral.open" for condition in flat(rule.when))

    def _second_setback(self, course: Course) -> bool:
        rule = self.protocol.second_setback
        if rule is None or course.last_run_day is None:
            return False
        return any((course.last_run_day - setback.day).days < rule.within_days for setback in course.setbacks)

    def _modifier(self, view: View, action: str) -> Modifier:
        course = view.course
        if action in ("hold", "regress") and course.step not in (ENTRY, COMPLETE) and find("deload.due", view).value is True:
            return "deload"
        return "rebuild" if course.rebuild_to > self.protocol.place[course.step] else "none"

    def _valid_until(self, view: View, facts: tuple[Fact, ...], action: str) -> date | None:
        """The last date on which this holds if nothing is reported: a longer break changes it, a test that grows old, and a clearance that
        an advance rests on and that runs out.
        """
        course = view.course
        ends: list[date] = []
        since = break_since(course)
        if since is not None:
            ends += [later(since, days) for days in self._breaks[bisect_left(self._breaks, (view.today - since).days) :][:1]]
        for _, rule in self._scope(course.step, course.tissue).rules if action == "advance" else ():
            if rule.kind == "advance":
                for condition in flat(rule.when):
                    slot, fact = self.protocol.slots[condition.slot], facts[condition.slot]
                    if slot.max_age_days is not None and fact.at is not None and not isinstance(fact.value, Unknown):
                        ends.append(course.day(aged(fact.at, slot.max_age_days, course.zone)) - timedelta(days=1))
        if action == "advance":
            read = [key for fact in facts for key in fact.keys]
            until = [one.valid_until for one in course.clearances.values() if one.granted and one.key in read]
            ends += [end for text in until if text is not None and (end := date.fromisoformat(text)) >= view.today]
        expires = course.protocol.expires
        if expires is not None and expires >= view.today:
            ends.append(expires)
        return max(min(ends), view.today) if ends else None


def _declined(course: Course, to_step: str) -> bool:
    """A clinician declined this very regress, and nothing was done or reported since."""
    said = course.answered
    if said is None or said.answer != "declined" or said.of != ("regress", course.step, to_step):
        return False
    heard = [one[-1].key for one in (course.sessions, course.others, course.reports, course.elsewhere) if one]
    heard += [one[-1][0] for one in (course.wellness, course.skipped) if one]
    return all(key < said.key for key in heard)


def _most(order: tuple[T, ...], found: Sequence[T]) -> T:
    return max(found, key=order.index, default=order[0])


def _default_running(course: Course, action: str, to_step: str, modifier: Modifier) -> Running:
    if to_step == ENTRY:
        return "walk_only"
    if action != "hold" or modifier == "deload" or course.last_ran is None or not course.ran_at_step:
        return "as_dosed"
    return "repeat"
