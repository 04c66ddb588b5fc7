"""The catalogue of facts and how each is found."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, Literal

from services.decision.core.course import Course
from services.decision.core.days import later
from services.decision.core.protocol import FactType
from services.decision.core.sessions import Fact, Session
from services.decision.core.trivalent import Unknown
from services.decision.core.units import NO_UNIT, UNITS
from shared.events.frozen import frozen


@frozen
class View:
    """The course at one moment, as the facts see it."""

    course: Course
    as_of: datetime
    today: date
    session: Session | None
    """The last running session that speaks for the step in force."""
    earliest: date
    """The earliest permitted date of the next session, not before today: caps are judged on it."""

    def days_ago(self, days: int) -> date:
        return later(self.today, -days)

    def passed(self, instant: datetime) -> bool:
        return self.as_of > instant


Finder = Callable[[View], Fact]
SessionFinder = Callable[[Session], Fact]

CATALOGUE: dict[str, FactType] = {}
_FINDERS: dict[str, Finder] = {}
_SESSION_FINDERS: dict[str, SessionFinder] = {}
_OF_LAST: dict[str, None] = {}
_OF_RECENT: dict[str, None] = {}

RECENT_SESSIONS = 3

NO_SESSION = Fact(Unknown("No session has been done at this step yet"))


def fact(
    name: str,
    kind: Literal["number", "boolean", "choice"],
    unit: str,
    worse: Literal["higher", "lower", "true", "false", "none"],
    family: str,
    meaning: str,
    ask: str,
    **more: Any,
) -> Callable[[Finder], Finder]:
    """Enter a fact of the course into the catalogue; instrument and bounds are its unit's where `more` does not say otherwise."""
    measured = UNITS[unit] if kind == "number" else NO_UNIT
    said = {"instrument": measured.instrument, "low": measured.low, "high": measured.high, **more}
    CATALOGUE[name] = FactType(name, kind, unit, worse, family, meaning, ask, **said)

    def enter(finder: Finder) -> Finder:
        _FINDERS[name] = finder
        return finder

    return enter


def session_fact(
    name: str,
    kind: Literal["number", "boolean", "choice"],
    unit: str,
    worse: Literal["higher", "lower", "true", "false", "none"],
    family: str,
    meaning: str,
    ask: str,
    **more: Any,
) -> Callable[[SessionFinder], SessionFinder]:
    """Enter a fact of one session; rules read it of the last running session, `clean` of each."""

    def enter(finder: SessionFinder) -> SessionFinder:
        _SESSION_FINDERS[name] = finder
        _OF_LAST[name] = None
        fact(name, kind, unit, worse, family, meaning, ask, **more)(
            lambda view: NO_SESSION if view.session is None else of_session(name, view.session)
        )
        return finder

    return enter


def recent_session_fact(
    name: str,
    kind: Literal["boolean"],
    unit: str,
    worse: Literal["true"],
    family: str,
    meaning: str,
    ask: str,
) -> Callable[[SessionFinder], SessionFinder]:
    """A session fact whose bad news counts from any of the last sessions at the step: the day after may be told after the next run."""

    def enter(finder: SessionFinder) -> SessionFinder:
        _SESSION_FINDERS[name] = finder
        _OF_RECENT[name] = None
        fact(name, kind, unit, worse, family, meaning, ask)(lambda view: of_recent(name, recent(view.course), view.session))
        return finder

    return enter


def recent(course: Course) -> tuple[Session, ...]:
    """The last sessions at the step, of which any may bring bad news."""
    return course.at_step[-RECENT_SESSIONS:]


def of_recent(name: str, sessions: Sequence[Session], last: Session | None) -> Fact:
    """Of these sessions the first of which the fact is true, else of the last running session."""
    if last is None:
        return NO_SESSION
    for session in sessions:
        found = session.memo.get(name) or of_session(name, session)
        if found.value is True:
            return found
    return last.memo.get(name) or of_session(name, last)


def find(name: str, view: View) -> Fact:
    return _FINDERS[name](view)


def finder_of(name: str) -> Finder:
    return _FINDERS[name]


def of_session(name: str, session: Session) -> Fact:
    found = session.memo.get(name)
    if found is None:
        outside, session.read = session.read, 0
        found = session.memo[name] = _SESSION_FINDERS[name](session)
        session.rests[name], session.read = session.read, outside
    # Who finds another fact by this one rests on what this one rests on.
    session.read |= session.rests[name]
    return found


def of_last_session(name: str) -> bool:
    """Whether a rule reads the fact of the last session alone."""
    return name in _OF_LAST


def of_recent_sessions(name: str) -> bool:
    """Whether it reads the fact of the recent ones."""
    return name in _OF_RECENT


def is_session_fact(name: str) -> bool:
    return name in _SESSION_FINDERS


def encode(kind: FactType, value: int | float | bool | str) -> int:
    """As the engines compare it: a scaled integer, 0 or 1, or the choice's index."""
    if value is True or value is False:
        return 1 if value else 0
    if kind.choices:
        return kind.choices.index(str(value))
    return value * kind.scale if type(value) is int else round(float(value) * kind.scale)


def encoder(kind: FactType) -> Callable[[Any], int]:
    """`encode` of this fact's values, bound to it once."""
    if kind.kind == "boolean":
        return int
    if kind.choices:
        return {choice: n for n, choice in enumerate(kind.choices)}.__getitem__
    scale = kind.scale
    return lambda value: value * scale if type(value) is int else encode(kind, value)
