"""Facts of one session: symptoms during and after, dose, technique."""

from services.decision.core import comparing as s
from services.decision.core.facts.registry import recent_session_fact, session_fact
from services.decision.core.sessions import Fact, Session

_NRS = {"scale": 10}


@session_fact(
    "session.pain_during",
    "number",
    "nrs",
    "higher",
    "pain",
    "highest pain at the injured place during the session or its warm-up",
    "pain during the session",
    **_NRS,
)
def _(session: Session) -> Fact:
    return s.worst_pain(session, "during", "warm_up")


@session_fact(
    "session.pain_after",
    "number",
    "nrs",
    "higher",
    "pain",
    "highest pain at the injured place after the session",
    "pain after the session",
    **_NRS,
)
def _(session: Session) -> Fact:
    return s.worst_pain(session, "after")


@session_fact(
    "session.pain_next_morning",
    "number",
    "nrs",
    "higher",
    "pain",
    "pain at the injured place the next morning",
    "pain the next morning",
    **_NRS,
)
def _(session: Session) -> Fact:
    return s.worst_pain(session, "next_morning")


for _moment, _words in (("during", "during the session"), ("after", "after the session"), ("next_morning", "the next morning")):
    session_fact(
        f"session.pain_higher_{_moment}",
        "boolean",
        "",
        "true",
        "pain",
        f"pain {_words} is higher than before the session",
        f"pain {_words}, against its level before,",
        lacking=f"Pain {_words} was higher than before the session",
    )(lambda session, when=_moment: s.rose(session, s.pain_higher, when))  # type: ignore[misc]

for _moment, _words in (("after", "after the session"), ("next_morning", "the next morning")):
    session_fact(
        f"session.swelling_higher_{_moment}",
        "boolean",
        "",
        "true",
        "swelling",
        f"swelling {_words} is more than before the session",
        f"swelling {_words}",
        lacking=f"Swelling {_words} was more than before the session",
    )(lambda session, when=_moment: s.rose(session, s.swelling_higher, when))  # type: ignore[misc]
    session_fact(
        f"session.stiffness_higher_{_moment}",
        "boolean",
        "",
        "true",
        "stiffness",
        f"stiffness {_words} is more than before the session",
        f"stiffness {_words}",
        lacking=f"Stiffness {_words} was more than before the session",
    )(lambda session, when=_moment: s.rose(session, s.stiffness_higher, when))  # type: ignore[misc]


@session_fact(
    "session.settled_within_60_min",
    "boolean",
    "",
    "false",
    "pain",
    "symptoms were back to the level before within 60 min of the end",
    "whether symptoms settled within 60 min",
    lacking="Symptoms had not settled within 60 min",
)
def _(session: Session) -> Fact:
    return s.settled_within(session, 60)


@recent_session_fact(
    "session.pain_after_24_h",
    "boolean",
    "",
    "true",
    "pain",
    "pain was still higher than before, 24 h after the session",
    "pain a day after the session",
)
def _(session: Session) -> Fact:
    return s.unsettled_after_a_day(session, s.pain_higher)


@recent_session_fact(
    "session.swelling_after_24_h",
    "boolean",
    "",
    "true",
    "swelling",
    "swelling was still more than before, 24 h after the session",
    "swelling a day after the session",
)
def _(session: Session) -> Fact:
    return s.unsettled_after_a_day(session, s.swelling_higher)


@session_fact(
    "session.rise_next_morning",
    "number",
    "nrs",
    "higher",
    "pain",
    "pain next morning minus the level before the session, in points",
    "the rise in pain by the next morning",
    **_NRS,
    low=-10,
)
def _(session: Session) -> Fact:
    return s.rise_next_morning(session)


@session_fact(
    "session.masked",
    "boolean",
    "",
    "true",
    "pain",
    "a report of the session was made under an analgesic",
    "whether an analgesic was taken",
    lacking="The session was reported under an analgesic",
)
def _(session: Session) -> Fact:
    return s.masked(session)


@session_fact(
    "session.gait_changed",
    "boolean",
    "",
    "true",
    "technique",
    "gait changed during the session",
    "whether gait changed during the session",
    lacking="Gait changed during the session",
)
def _(session: Session) -> Fact:
    return s.from_data(session, "gait_changed")


@session_fact(
    "session.technique_ok",
    "boolean",
    "",
    "false",
    "technique",
    "technique was good, seen by a clinician or coach, or by the athlete within 28 days of a clinician's review",
    "running technique",
    lacking="Technique was not good in the last session",
)
def _(session: Session) -> Fact:
    return session.technique


@session_fact(
    "session.stopped_for_pain", "boolean", "", "true", "pain", "the session was stopped because of pain", "why the session was cut short"
)
def _(session: Session) -> Fact:
    return s.stopped_for_pain(session)


@session_fact(
    "session.rpe_over_step",
    "number",
    "rpe",
    "higher",
    "load",
    "session RPE minus the step's cap",
    "exertion in the session (RPE)",
    lacking="Exertion was {value} above the step's cap",
    scale=10,
    low=-10,
)
def _(session: Session) -> Fact:
    return s.rpe_over_step(session)


@session_fact(
    "session.as_prescribed",
    "boolean",
    "",
    "false",
    "load",
    "the whole dose of the step was done, planned, in time and at full weight",
    "whether the whole dose was done",
    lacking="A session was not done as prescribed",
)
def _(session: Session) -> Fact:
    return session.prescribed


@session_fact(
    "session.above_dose",
    "boolean",
    "",
    "true",
    "load",
    "more than the dose was done, or a step above the one recommended",
    "the measured dose",
)
def _(session: Session) -> Fact:
    return Fact(session.above, (session.key,))


@session_fact(
    "session.above_step",
    "boolean",
    "",
    "true",
    "load",
    "the session was done at a step above the one recommended or set",
    "the step the session was done at",
)
def _(session: Session) -> Fact:
    return Fact(session.above_step, (session.key,))


@session_fact("session.planned", "boolean", "", "false", "load", "the session was part of the plan", "whether the session was planned")
def _(session: Session) -> Fact:
    return Fact(session.planned, (session.key,))
