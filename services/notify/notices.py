"""What is told, and when: pure functions from decisions to notices.

A course is told `recommendation.changed` when its advice (action, to_step, running, urgency, not_before) differs from what it was
last told; at most once per window, and then the latest advice; a rising urgency at once. `recommendation.superseded` takes its place
when a told decision turned out wrong. `course.referred` is told besides when urgency rises to `stop_and_refer`.

INVARIANT: once no advice waits, what a course was last told equals the advice of the last decision considered.
"""

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

CHANGED: Final = "recommendation.changed"
SUPERSEDED: Final = "recommendation.superseded"
REFERRED: Final = "course.referred"
STARTED: Final = "course.started"
ENDED: Final = "course.ended"
REFUSED: Final = "event.refused"
UNANSWERED: Final = "recommendation.unanswered"
EXPIRED: Final = "recommendation.expired"
REPORT_DUE: Final = "report.due"
STALLED: Final = "course.stalled"
DISABLED: Final = "endpoint.disabled"
FAILING: Final = "endpoint.failing"
RECOVERED: Final = "endpoint.recovered"
EXHAUSTED: Final = "delivery.exhausted"
TEST: Final = "test"
VERIFICATION: Final = "endpoint.verification"

ADVICE_TYPES: Final = frozenset({CHANGED, SUPERSEDED})
REMINDERS: Final = frozenset({REPORT_DUE, STALLED})
"""That something did not come: they say nothing of what is recommended, so neither waits for the other."""
PASSED_ON: Final = frozenset({STARTED, ENDED, REFUSED, EXPIRED}) | REMINDERS
"""Kinds on the bus that are told as they are."""
OPERATIONAL: Final = frozenset({FAILING, RECOVERED, EXHAUSTED})
"""About the deliveries themselves; sent only where they are asked for by name."""
ALWAYS_TYPES: Final = frozenset({TEST, VERIFICATION})
"""Sent to one endpoint because its owner asked, whatever types it chose."""
TYPES: Final = (
    *(CHANGED, SUPERSEDED, UNANSWERED, EXPIRED, REPORT_DUE, REFERRED, STARTED, STALLED, ENDED, REFUSED),
    *(DISABLED, FAILING, RECOVERED, EXHAUSTED),
)
"""What an endpoint may choose among; `test` goes only to the endpoint that is tested."""
COACH_TYPES: Final = (CHANGED, SUPERSEDED, EXPIRED, STARTED, ENDED, DISABLED)
"""What a coach's endpoint may choose among: a referral, a refused or missing report and a silence say what a coach may not read."""
ATHLETE_TYPES: Final = (*COACH_TYPES, REPORT_DUE, STALLED)
"""What an athlete's endpoint may choose among."""

STOP_AND_REFER: Final = "stop_and_refer"
_URGENCY: Final = {"routine": 0, "review": 1, STOP_AND_REFER: 2}
_NAMES: Final = uuid.UUID("6f1a3f0e-8f53-5d0b-9a55-2c7c4a0d3b11")

Audience = Literal["everyone", "coaches"]


class Advice(NamedTuple):
    """The part of a decision whose change is told."""

    action: str
    to_step: str | None
    running: str
    urgency: str
    not_before: str | None


@dataclass(frozen=True)
class Told:
    """What the course was last told. `decision` is the id that went out, `same` the id of the latest decision with that same advice.

    `coach_step` is the step that coaches take to be in force by what they were told; None when they were told nothing yet.
    """

    advice: Advice
    released: bool
    decision: str
    same: str
    seq: int
    coach_step: str | None = None


@dataclass(frozen=True)
class Context:
    """What stands beside a decision in its message: the athlete's zone (IANA) and the terms of the sources it rests on."""

    zone: str | None = None
    terms: tuple[str, ...] = ()


NO_CONTEXT: Final = Context()


@dataclass(frozen=True)
class Waiting:
    """Advice that waits for the window to end. `supersedes`: a told decision was found wrong since."""

    decision: Mapping[str, Any]
    outbox: int
    athlete: str
    supersedes: bool
    context: Context = NO_CONTEXT


@dataclass(frozen=True)
class Course:
    """Where telling a course stands. `seen` is the greatest decision sequence considered (0: none yet)."""

    seen: int = 0
    told: Told | None = None
    told_at: datetime | None = None
    waiting: Waiting | None = None
    waiting_until: datetime | None = None


@dataclass(frozen=True)
class Notice:
    """One thing to tell; `body` is the decision, or the bus message's body. `audience` `coaches`: the others know it already.

    `outbox` is None for what notify says of its own accord. `recall`: coaches take another step to be in force than the one that is.
    `urgent`: quiet hours do not hold it back. `escalation` counts how often it was said again because nobody took it up.
    """

    type: str
    outbox: int | None
    athlete: str | None
    body: Mapping[str, Any]
    course: str | None = None
    seq: int | None = None
    audience: Audience = "everyone"
    context: Context = NO_CONTEXT
    recall: bool = False
    urgent: bool = False
    escalation: int = 0


def notice_id(tenant: str, origin: int | str, kind: str) -> str:
    """The `webhook-id`: the same for the same origin (an outbox row's number) and type, whatever restarts or attempts lie between."""
    made = uuid.uuid5(_NAMES, f"{tenant}\0{origin}\0{kind}")
    return "msg_" + base64.b32encode(made.bytes).decode().rstrip("=").lower()


def advice(decision: Mapping[str, Any]) -> Advice:
    """The advice of a decision. Raises KeyError when the record lacks one of its members."""
    return Advice(*(decision[name] for name in Advice._fields))


def is_released(decision: Mapping[str, Any]) -> bool:
    """Whether a coach may be told: an advance only once a clinician accepted it, anything else at once."""
    if decision["action"] != "advance":
        return True
    answer = decision.get("answer")
    return (answer.get("state") if isinstance(answer, Mapping) else answer) == "accepted"


def consider(
    course: Course,
    decision: Mapping[str, Any],
    outbox: int,
    athlete: str,
    now: datetime,
    window_s: float,
    context: Context = NO_CONTEXT,
) -> tuple[Course, list[Notice]]:
    """Takes one decision of the course, in order of `seq`, and says what is told now; a decision seen before changes nothing."""
    seq = int(decision["seq"])
    if seq <= course.seen:
        return course, []
    course = replace(course, seen=seq)
    told, fresh = course.told, advice(decision)
    released = is_released(decision)
    if told is not None and told.advice == fresh and (told.released or not released) and not _misleads(told, decision):
        # Back to what was told: nothing waits any more.
        return replace(course, told=replace(told, released=released, same=decision["id"]), waiting=None, waiting_until=None), []
    sticky = course.waiting is not None and course.waiting.supersedes
    supersedes = told is not None and (sticky or decision.get("supersedes") in (told.decision, told.same))
    waiting = Waiting(decision, outbox, athlete, supersedes, context)
    until = course.told_at + timedelta(seconds=window_s) if course.told_at is not None else now
    if until <= now or (told is not None and _rises(told.advice, fresh)):
        return _tell(course, waiting, now)
    return replace(course, waiting=waiting, waiting_until=until), []


def release(course: Course, now: datetime) -> tuple[Course, list[Notice]]:
    """Tells what waits when its window has ended; otherwise nothing."""
    if course.waiting is None or course.waiting_until is None or course.waiting_until > now:
        return course, []
    return _tell(course, course.waiting, now)


def taken_back(
    course: Course, decision: Mapping[str, Any], outbox: int | None, kind: str, athlete: str, context: Context
) -> tuple[Course, Notice]:
    """Takes back from coaches the advance that the course was last told, once a stricter policy no longer lets them have it.

    `decision` is the record that was told. They hear that it awaits a clinician, and the step in force, quiet hours or not: it is not run
    yet, for what follows a run is another decision.
    """
    assert course.told is not None and course.told.decision == decision["id"], "what was told last is taken back"
    notice = Notice(
        kind,
        outbox,
        athlete,
        decision,
        str(decision["course"]),
        int(decision["seq"]),
        audience="coaches",
        context=context,
        recall=True,
        urgent=True,
    )
    return replace(course, told=replace(course.told, coach_step=decision["from_step"])), notice


def _tell(course: Course, waiting: Waiting, now: datetime) -> tuple[Course, list[Notice]]:
    decision, told, fresh = waiting.decision, course.told, advice(waiting.decision)
    known = told is not None and told.advice == fresh
    released = is_released(decision)
    recall = told is not None and _misleads(told, decision)
    common: dict[str, Any] = {
        "outbox": waiting.outbox,
        "athlete": waiting.athlete,
        "body": decision,
        "course": decision["course"],
        "seq": int(decision["seq"]),
        "context": waiting.context,
        "urgent": fresh.urgency == STOP_AND_REFER or (told is not None and _takes_back(told, decision)),
        "recall": recall,
    }
    notices = [Notice(type=SUPERSEDED if waiting.supersedes else CHANGED, audience="coaches" if known else "everyone", **common)]
    if fresh.urgency == STOP_AND_REFER and (told is None or told.advice.urgency != STOP_AND_REFER):
        notices.insert(0, Notice(type=REFERRED, **common))
    coach_step = fresh.to_step if released else decision["from_step"] if recall else told.coach_step if told else None
    after = Told(fresh, released, decision["id"], decision["id"], int(decision["seq"]), coach_step)
    return Course(seen=course.seen, told=after, told_at=now), notices


def _misleads(told: Told, decision: Mapping[str, Any]) -> bool:
    """Whether coaches, who under `after_clinician` are not told of this advance, were told a step that is not in force any more."""
    return not is_released(decision) and told.coach_step not in (None, decision["from_step"])


def _takes_back(told: Told, decision: Mapping[str, Any]) -> bool:
    """Whether an advance that was told is changed before it was run: once it is run, its step is the one in force."""
    before = told.advice
    if before.action != "advance" or decision["from_step"] == before.to_step:
        return False
    same = decision["action"] == "advance" and decision["to_step"] == before.to_step
    return not same or (decision["not_before"] or "") > (before.not_before or "")


def _rises(before: Advice, after: Advice) -> bool:
    # An urgency this version does not know counts as the highest: telling too soon is the safer mistake.
    return _URGENCY.get(after.urgency, 2) > _URGENCY.get(before.urgency, 2)


def replaced_types(kind: str, urgency: str | None) -> frozenset[str]:
    """The types of older notices of the course that need not be sent any more once a notice of this type and urgency exists.

    The newest advice says all that older advice said. A referral is more than advice: it goes unless a later referral says it again, or
    later advice says that it is over. The newest of several reminders is enough. What happened (a course started, ended) is always told.

    >>> sorted(replaced_types("recommendation.changed", "stop_and_refer"))
    ['recommendation.changed', 'recommendation.superseded']
    """
    if kind in ADVICE_TYPES:
        return ADVICE_TYPES if urgency == STOP_AND_REFER else ADVICE_TYPES | {REFERRED}
    return frozenset({kind}) if kind in REMINDERS | {REFERRED, EXPIRED} else frozenset()
