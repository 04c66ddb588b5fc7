"""What was found of a course at the last look, so that the next look finds anew only what rests on something that has changed since.

How a fact is kept makes it sound: its finder runs against a course that notes which fields are read. A finder is a pure function, so while
each field it read still holds the very same object, it would read the same fields again and find the same. Nothing has to be declared.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from itertools import compress
from operator import attrgetter, is_not
from typing import Any, Final, cast

from services.decision.core.course import FIELDS, Course
from services.decision.core.days import later
from services.decision.core.facts.registry import NO_SESSION, View, of_recent, of_session, recent
from services.decision.core.noting import Noted, noted
from services.decision.core.question import Answer, Question
from services.decision.core.recovery import base_rest, next_step, not_before
from services.decision.core.scope import Scope
from services.decision.core.sessions import Fact, Session
from services.decision.core.settled import Settled
from services.decision.core.telling import Telling
from services.decision.core.trivalent import Unknown

_OF_VIEW: Final = ("session", "today", "earliest")
_TODAY, _EARLIEST = -2, -1
BITS: Final = {name: 1 << n for n, name in enumerate((*FIELDS, *_OF_VIEW))}
_EACH: Final = tuple(BITS.values())
_SESSION: Final = BITS["session"]
_RECENT: Final = BITS["session"] | BITS["sessions"] | BITS["step_since"]
_OF_TODAY: Final = BITS["today"]
_OF_EARLIEST: Final = BITS["earliest"]
_NEVER_FOUND: Final = 1 << len(_EACH)
_ALWAYS: Final = _NEVER_FOUND << 1
_OF_SPAN: Final = _ALWAYS << 1
"""Read whether an instant has passed."""
_RESTLESS: Final = BITS["as_of"] | BITS["last_key"] | BITS["sessions"]
"""Fields that nearly every event changes: what rests on them is found each time, which is quicker than noting what it reads."""
_SILENT: Final = (
    *("as_of", "heard", "last_key", "sessions", "judged", "session", "reports", "elsewhere", "wellness", "waiting", "measured", "reviews"),
    *("before", "silent_since", "stuck_since"),
)
LOUD: Final = sum(bit for name, bit in BITS.items() if name not in _SILENT)
"""All fields but those that reports change: what is settled rests on the facts and on these (a test holds it to that)."""
_EVER: Final = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
_PATTERNS: Final = 256
"""Sets of changed fields of which the facts to find anew are kept."""
FIRST_ON: Final = ("limits", "protocol", "ran", "step")
"""What the earliest date rests on (a test holds it to that)."""
_fields: Final = attrgetter(*FIELDS)
_first_on: Final = attrgetter(*FIRST_ON)

Reading = tuple[Callable[[View], Fact], Callable[[Any], int]]
"""How a slot's fact is found, and how its value is written for the engines."""


NotedCourse: Final = noted(Course, {name: BITS[name] for name in FIELDS})


class _NotedView:
    """The view of a noted course. What asks only whether an instant has passed rests on the stretch of time with the same answer."""

    __slots__ = ("_view", "course", "since", "until")

    def __init__(self, course: Noted) -> None:
        self._view: View | None = None
        self.course = course
        self.since, self.until = _EVER

    def of(self, view: View) -> None:
        self._view = view
        self.course.of = view.course

    def passed(self, instant: datetime) -> bool:
        self.course.read |= _OF_SPAN
        if self._view.as_of > instant:  # type: ignore[union-attr]
            self.since = max(self.since, instant)
            return True
        self.until = min(self.until, instant)
        return False

    def days_ago(self, days: int) -> Any:
        return later(self.today, -days)

    @property
    def as_of(self) -> Any:
        return self.course.as_of  # type: ignore[attr-defined]

    @property
    def session(self) -> Any:
        self.course.read |= _SESSION
        return self._view.session  # type: ignore[union-attr]

    @property
    def today(self) -> Any:
        self.course.read |= _OF_TODAY
        return self._view.today  # type: ignore[union-attr]

    @property
    def earliest(self) -> Any:
        self.course.read |= _OF_EARLIEST
        return self._view.earliest  # type: ignore[union-attr]


class Recall:
    """Of one course under one protocol: the facts as last found, each with the fields it rests on. Not shared between threads, and of no
    use after a look that raised: drop it with its course.
    """

    __slots__ = (
        "_before",
        "_facts",
        "_first",
        "_last",
        "_noted",
        "_rests",
        "_scope",
        "_seen",
        "_spans",
        "_stale",
        "_values",
        "answer",
        "facts",
        "question",
        "settled",
        "since",
        "telling",
        "turned",
        "values",
    )

    def __init__(self) -> None:
        self.facts: tuple[Fact, ...] = ()
        """The very same tuple while no fact has changed, and so `values`."""
        self.values: tuple[int | None, ...] = ()
        self.question: Question | None = None
        """What was asked of these values."""
        self.answer: Answer | None = None
        """The last answer in this scope."""
        self.turned: list[int] = []
        """The slots of which the value changed since that answer."""
        self.settled: Settled | None = None
        self.since = 0
        """The fields that changed since that was settled: bits of `LOUD`."""
        self.telling = Telling({})
        self._facts: list[Fact] = []
        self._values: list[int | None] = []
        self._scope: Scope | None = None
        self._rests: list[int] = []
        self._last: Sequence[Fact | None] = ()
        """The facts of the last session, as found."""
        self._stale: dict[int, tuple[int, ...]] = {}
        """Set of changed fields to the slots of the course of which the fact rests on one of them."""
        self._spans: dict[int, tuple[datetime, datetime]] = {}
        """Slot to the stretch of time (the first instant not in it) outside of which the fact is another."""
        self._before: tuple[Any, ...] = (None,) * len(_EACH)
        self._first: tuple[tuple[Any, ...], date | None] = ((), None)
        self._noted = NotedCourse()
        self._seen = _NotedView(self._noted)

    def first(self, course: Course) -> date | None:
        """The earliest date of the next session by rest and frequency alone."""
        on = _first_on(course)
        if len(self._first[0]) != len(on) or any(map(is_not, self._first[0], on)):
            self._first = (on, not_before(course, next_step(course), base_rest(course, course.step, next_step(course))))
        return self._first[1]

    def look(self, view: View, scope: Scope, unread: Sequence[Fact], readings: Sequence[Reading]) -> None:
        """Brings facts and values up to date for the slots that `scope` reads; the others are as in `unread`, their values None."""
        new = scope is not self._scope
        if new:
            self._forget(scope, unread)
        was = self._before
        today, earliest = was[_TODAY], was[_EARLIEST]
        now = (
            *_fields(view.course),
            view.session,
            today if view.today == today else view.today,
            earliest if view.earliest == earliest else view.earliest,
        )
        changed = sum(compress(_EACH, map(is_not, now, was))) | _NEVER_FOUND | _ALWAYS
        self._before = now
        self.since |= changed & LOUD
        facts = self._facts
        moved: list[int] = []
        if changed & _RECENT or new:
            session = view.session
            if changed & _SESSION or new:
                self._of_session(session, scope, moved)
            if scope.of_recent:
                sessions = recent(view.course)
                for slot, name in scope.of_recent:
                    found = of_recent(name, sessions, session)
                    if found is not facts[slot] and found != facts[slot]:
                        facts[slot] = found
                        moved.append(slot)
        stale = self._stale.get(changed)
        if stale is None:
            stale = self._resting_on(changed, scope)
        if self._spans:
            as_of = view.as_of
            late = [slot for slot, (since, until) in self._spans.items() if not since < as_of <= until and slot not in stale]
            if late:
                stale = (*stale, *late)
        if stale:
            self._find(stale, view, readings, moved)
        if moved:
            self._move(moved, scope, readings)

    def _forget(self, scope: Scope, unread: Sequence[Fact]) -> None:
        self._scope, self._facts, self._values, self._rests = scope, list(unread), [None] * len(unread), [_NEVER_FOUND] * len(unread)
        self._stale, self._spans, self._last = {}, {}, [unread[slot] for slot in scope.of_session]
        self.facts, self.values, self.question, self.settled = tuple(unread), tuple(self._values), None, None
        self.answer, self.turned = None, []
        self.telling = Telling(dict.fromkeys(range(len(scope.rules))))

    def _of_session(self, session: Session | None, scope: Scope, moved: list[int]) -> None:
        memo, names, facts = {} if session is None else session.memo, scope.of_session_facts, self._facts
        last: list[Fact | None] = [*map(memo.get, names)]
        for n in compress(range(len(names)), map(is_not, last, self._last)):
            found = last[n]
            if found is None:
                found = last[n] = NO_SESSION if session is None else of_session(names[n], session)
            slot = scope.of_session[n]
            if found is not facts[slot] and found != facts[slot]:
                facts[slot] = found
                moved.append(slot)
        self._last = last

    def _resting_on(self, changed: int, scope: Scope) -> tuple[int, ...]:
        if len(self._stale) >= _PATTERNS:
            self._stale = {}
        rests = self._rests
        found = self._stale[changed] = tuple([slot for slot in scope.of_course if rests[slot] & changed])
        return found

    def _find(self, slots: Sequence[int], view: View, readings: Sequence[Reading], moved: list[int]) -> None:
        rests, facts, noted, seen = self._rests, self._facts, self._noted, self._seen
        seen.of(view)
        for slot in slots:
            find, on = readings[slot][0], rests[slot]
            if on == _ALWAYS:
                found = find(view)
            else:
                noted.read = 0
                found = find(cast(View, seen))
                read = _ALWAYS if noted.read & _RESTLESS else noted.read
                if read != on:
                    rests[slot], self._stale = read, {}
                if noted.read & _OF_SPAN:
                    self._spans[slot] = (seen.since, seen.until)
                    seen.since, seen.until = _EVER
                elif on & _OF_SPAN:
                    del self._spans[slot]
            # A fact that says the same stays the same object: so what was told of it can stay as well.
            if found != facts[slot]:
                facts[slot] = found
                moved.append(slot)

    def _move(self, moved: Sequence[int], scope: Scope, readings: Sequence[Reading]) -> None:
        """What rests on the facts of these slots is found anew when it is asked for."""
        facts, values, stale, turned, readers = self._facts, self._values, self.telling.stale, len(self.turned), scope.readers
        for slot in moved:
            value = facts[slot].value
            encoded = None if type(value) is Unknown else readings[slot][1](value)
            if encoded != values[slot]:
                values[slot] = encoded
                self.turned.append(slot)
            stale.update(readers[slot])
        self.facts = tuple(facts)
        if len(self.turned) > turned:
            self.values, self.question = tuple(values), None
