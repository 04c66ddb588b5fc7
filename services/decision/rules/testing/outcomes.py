"""What a pack answers in a situation, in words: the action, where it leads, the rules that decide, rest, running and urgency.

The pack is asked as it is asked live, through `Judge.decide`, on a course that holds nothing but a step and a tissue; only the values that
the rules compare are the situation's.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from services.decision.core.conditions import together
from services.decision.core.course import Course
from services.decision.core.protocol import Protocol, Rule
from services.decision.core.question import Answer, Engine
from services.decision.core.trivalent import Tri
from services.decision.core.verdict import Judge, Verdict
from services.decision.engines.reference import CompiledReference
from services.decision.rules.testing.situations import Facts, values_of

_MOMENT: Final = datetime(2026, 3, 2, 7, tzinfo=UTC)
_WORDS: Final = {Tri.NOT_MET: "not met", Tri.UNKNOWN: "unknown", Tri.MET: ""}
Values = tuple[int | None, ...]


class _Told(Engine):
    """An engine that judges the values it was given, whatever the course would say."""

    def __init__(self, protocol: Protocol) -> None:
        self.compiled = CompiledReference(protocol)
        self.values: Values = ()

    def judge(self, protocol: Protocol, values: Sequence[int | None], rung: int, tissue: int) -> Answer:
        return self.compiled.judge(self.values, rung, tissue)


class Asked:
    """One pack, ready to be asked about situations."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self._engine = _Told(protocol)
        self._judge = Judge(protocol, self._engine)
        self._courses: dict[tuple[str, str], Course] = {}

    def outcome(self, facts: Facts, step: str, tissue: str) -> str:
        """The answer to all these facts, as `hold by pr.hold-pain, rest 2`."""
        return self.outcome_of(values_of(self.protocol, facts), step, tissue)

    def outcome_of(self, values: Values, step: str, tissue: str) -> str:
        """The same of values by slot."""
        self._engine.values = values
        verdict = self._judge.decide(self._course(step, tissue))
        standing = verdict.standing
        action = "refer" if verdict.question.answer.action == "refer" else standing.action
        words = action if standing.to_step == step else f"{action} to {standing.to_step}"
        words += f" by {', '.join(found)}" if (found := deciding(verdict)) else ""
        words += f", rest {standing.rest_days}" if standing.rest_days else ""
        words += f", {standing.running}" if standing.running != "as_dosed" else ""
        return words if standing.urgency == "routine" else f"{words}, {standing.urgency}"

    def verdicts(self, values: Values, rung: int, tissue: int) -> tuple[Tri, ...]:
        """What the engine alone says of every rule."""
        return self._engine.compiled.judge(values, rung, tissue).verdicts

    def clean(self, facts: Facts) -> str:
        """`clean`, `not clean` or `not known to be clean`, of a session with these facts."""
        found = together(self.protocol.clean, values_of(self.protocol, facts))
        return ("not clean", "not known to be clean", "clean")[found]

    def _course(self, step: str, tissue: str) -> Course:
        course = self._courses.get((step, tissue))
        if course is None:
            injury = {"tissue": tissue, "site": "knee", "side": "left"}
            course = Course(
                id="asked",
                protocol=self.protocol,
                started={"course": "asked", "injury": injury, "timezone": "UTC", "birth_year": 1990},
                start_key=(_MOMENT, "", ""),
                as_of=_MOMENT,
                heard=_MOMENT,
                step=step,
                tissue=tissue,
                side="left",
            )
            self._courses[step, tissue] = course
        return course


def deciding(verdict: Verdict) -> list[str]:
    """The rules that decide: those met at the level of the action; for a hold also those unknown, else the advance rules in the way."""
    action = verdict.question.answer.action
    scoped = verdict.scoped
    if action == "refer":
        return [rule.id for rule, found in scoped if rule.kind in ("refer", "regress") and found is Tri.MET]
    if action in ("regress", "advance"):
        return [rule.id for rule, found in scoped if rule.kind == action and found is Tri.MET]
    against = [_named(rule, found) for rule, found in scoped if _holds(rule, found)]
    return against or [_named(rule, found) for rule, found in scoped if rule.kind == "advance" and found is not Tri.MET]


def _holds(rule: Rule, found: Tri) -> bool:
    if rule.kind == "advance":
        return False
    return found is Tri.MET or (found is Tri.UNKNOWN and rule.unknown == "hold")


def _named(rule: Rule, found: Tri) -> str:
    return f"{rule.id} {_WORDS[found]}".rstrip()
