"""When the next session may take place and when a step may be gained: rest, weekly frequency, rate caps, breaks, deloads, limits."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from services.decision.core.course import Course, Limits
from services.decision.core.days import later
from services.decision.core.protocol import COMPLETE, ENTRY, TERRAIN_ORDER, Dose, Protocol, RateCap
from services.decision.core.sessions import Fact
from services.decision.core.trivalent import Unknown

SEARCH_DAYS = 60


def not_before(course: Course, step: str, rest_days: int, fewer: int = 0) -> date | None:
    """Session date + whole dates of rest + 1, moved on while a week holds all the sessions `step` allows, less `fewer` in a lighter week.

    None before any run.
    """
    last = course.last_run_day
    if last is None:
        return None
    day = later(last, rest_days + 1)
    rung = course.protocol.step(step)
    per_week = None if rung is None else rung.dose.sessions_per_week_max
    if per_week is not None:
        per_week = max(per_week - fewer, 1)
    limits = limits_at(course, day)
    if limits is not None and "sessions_per_week" in limits.values:
        per_week = min(per_week or 7, limits.values["sessions_per_week"])
    if per_week is not None and per_week < 7:
        while day <= later(last, 8) and runs_in_week_ending(course, day) >= max(per_week, 1):
            day = later(day, 1)
    return day


def runs_in_week_ending(course: Course, day: date) -> int:
    """Running sessions in the seven consecutive dates that end with `day`."""
    since = later(day, -6)
    count = 0
    for session in reversed(course.ran):
        if session.day < since:
            break
        count += session.day <= day
    return count


def base_rest(course: Course, *steps: str) -> int:
    """The longest rest that any of these steps asks for."""
    return max((course.protocol.rest_days[step] for step in steps if step not in (ENTRY, COMPLETE)), default=0)


def next_step(course: Course) -> str:
    """The rung above the step in force; `complete` above the last."""
    return course.protocol.above[course.step]


def _caps(course: Course) -> list[RateCap]:
    to = next_step(course)
    return [cap for cap in course.protocol.rates if to in cap.steps]


def _gained(course: Course, cap: RateCap, day: date) -> int:
    """What the cap counts on `day`: steps gained, or the different steps trained at besides the next one."""
    since = later(day, 1 - cap.in_days)
    if cap.counts == "trained":
        to = next_step(course)
        return len(dict.fromkeys([one.step for one in course.ran if since <= one.day <= day and one.step != to]))
    protocol, count = course.protocol, 0
    for when, step in course.gained:
        # A step of the protocol followed before counts for every axis.
        foreign = step not in protocol.place
        rung = None if foreign else protocol.step(step)
        if since <= when <= day and (foreign or cap.axis is None or (rung is not None and cap.axis in rung.raises)):
            count += 1
    return count


def room(course: Course, day: date) -> int:
    """Steps that may still be gained on `day` by every cap that speaks for the next step; 9 where none does."""
    return max(min([cap.max_steps - _gained(course, cap, day) for cap in _caps(course)], default=9), 0)


def eligible_from(course: Course, day: date, lighter_week: bool = False) -> date | None:
    """The first date from `day` on with room for a step and outside a lighter week; None when that is so already."""
    caps = _caps(course)
    if not lighter_week and (not course.ran or not caps):
        return None

    def has_room(found: date) -> bool:
        return all(cap.max_steps > _gained(course, cap, found) for cap in caps) and not (lighter_week and deload_due(course, found))

    if has_room(day):
        return None
    return next((found for n in range(1, SEARCH_DAYS) if has_room(found := later(day, n))), None)


def break_since(course: Course) -> date | None:
    """The date from which dates without running count: of the last run, a start on the ladder, or a step set by a clinician."""
    if course.step == ENTRY or course.status == "ended":
        return None
    last = course.last_run_day or course.day(course.start_key[0])
    return last if course.set_at is None else max(last, course.day(course.set_at[0]))


def break_days(course: Course, today: date) -> int:
    """Whole dates without running, today not counted; 0 at entry."""
    since = break_since(course)
    return 0 if since is None else max((today - since).days - 1, 0)


def deload_due(course: Course, day: date) -> bool:
    """True when `day` lies in the lighter week after the loading weeks of the block."""
    deload = course.protocol.deload
    if deload is None or course.block_start is None:
        return False
    into = (day - course.block_start).days % (deload.after_days + deload.days)
    return into >= deload.after_days


def lighter(course: Course, dose: Dose) -> Dose:
    """The dose of a deload week: less run time, no quality, fewer sessions."""
    deload = course.protocol.deload
    if deload is None:
        return dose
    share = deload.share_pct

    def less(amount: int | None) -> int | None:
        return None if amount is None else amount * share // 100

    per_week = dose.sessions_per_week_max
    return replace(
        dose,
        run_s=less(dose.run_s),
        easy_run_s=less(dose.easy_run_s),
        distance_m=less(dose.distance_m),
        run_m=less(dose.run_m),
        reps=None,
        bout_s=dose.bout_s if dose.bout_s is None or dose.run_s is None else min(dose.bout_s, dose.run_s * share // 100),
        quality=False,
        rpe_max=None if dose.rpe_max is None else min(dose.rpe_max, 4),
        sessions_per_week_max=None if per_week is None else max(per_week - deload.fewer_sessions, 1),
        note="a lighter week: less run time, nothing fast",
    )


def limits_at(course: Course, day: date) -> Limits | None:
    limits = course.limits
    return None if limits is None or (limits.until is not None and day.isoformat() > limits.until) else limits


def exceeds(dose: Dose, limits: Mapping[str, Any]) -> bool:
    """True when a dose asks for more than the limits allow."""
    return bool(
        ("run_s" in limits and (dose.run_s is None or dose.run_s > limits["run_s"]))
        or (dose.sessions_per_week_max or 0) > limits.get("sessions_per_week", 99)
        or TERRAIN_ORDER.index(dose.terrain) > TERRAIN_ORDER.index(limits.get("terrain", "hills"))
        or (dose.speed_pct_max or 0) > limits.get("speed_pct_max", 1000)
    )


def limited(dose: Dose, limits: Limits | None) -> Dose:
    """The dose with a clinician's limits worked in; never more than the step's own."""
    if limits is None:
        return dose
    values = limits.values
    run_s = dose.run_s
    if "run_s" in values:
        run_s = values["run_s"] if run_s is None else min(run_s, int(values["run_s"]))
    terrain = min((dose.terrain, values.get("terrain", dose.terrain)), key=TERRAIN_ORDER.index)
    per_week = dose.sessions_per_week_max
    if "sessions_per_week" in values:
        per_week = min(per_week or 7, int(values["sessions_per_week"]))
    speed = dose.speed_pct_max
    if "speed_pct_max" in values:
        speed = min(speed or 1000, int(values["speed_pct_max"]))
    shortened = run_s != dose.run_s
    return replace(
        dose,
        run_s=run_s,
        reps=None if shortened else dose.reps,
        bout_s=dose.bout_s if dose.bout_s is None or run_s is None else min(dose.bout_s, run_s),
        terrain=terrain,
        sessions_per_week_max=per_week,
        speed_pct_max=speed,
    )


def spike_pct(course: Course) -> Fact:
    """Distance of the last run as a share of the longest run of the 30 days before it; not computable without either."""
    if not course.ran:
        return Fact(Unknown("are not known before a run"))
    last = course.ran[-1]
    distance = last.data.get("run_distance_m", last.data.get("distance_m"))
    since = last.day - timedelta(days=30)
    before = [s for s in course.ran[:-1] if s.day >= since and ("distance_m" in s.data or "run_distance_m" in s.data)]
    if distance is None or not before:
        return Fact(Unknown("are not all known"), (last.key,))
    longest = max(s.data.get("run_distance_m", s.data.get("distance_m", 0)) for s in before)
    if longest == 0:
        return Fact(Unknown("are not all known"), (last.key,))
    return Fact(round(distance * 100 / longest, 1), (*(s.key for s in before), last.key))


def steps_back(course: Course, rungs: int) -> str:
    """`earlier` from the step in force."""
    return earlier(course.protocol, course.step, rungs)


def earlier(protocol: Protocol, step: str, rungs: int) -> str:
    """The nearest earlier step, at least `rungs` back, with no more run time, no longer bout, no higher intensity, no more sessions.

    Nor more of any than fewer rungs back would lead to: where a ladder falls and rises again, further back never means more running.
    """
    place = protocol.place[step]
    if place < 0:
        return ENTRY
    ladder = protocol.ladder
    least = ladder[min(place, len(ladder) - 1)]
    for back in range(min(rungs, 1), rungs + 1):
        lower = next((ladder[rung] for rung in range(place - back, -1, -1) if no_more(ladder[rung].dose, least.dose)), None)
        if lower is None:
            return ENTRY
        least = lower
    return least.id


def no_more(dose: Dose, than: Dose) -> bool:
    """True when no known measure of the dose is above the other's."""
    pairs = (
        (dose.run_s, than.run_s),
        (dose.run_m, than.run_m),
        (dose.distance_m, than.distance_m),
        (dose.bout_s, than.bout_s),
        (dose.rpe_max, than.rpe_max),
        (dose.speed_pct_max, than.speed_pct_max),
        (dose.sessions_per_week_max, than.sessions_per_week_max),
    )
    if any(a is not None and b is not None and a > b for a, b in pairs):
        return False
    return TERRAIN_ORDER.index(dose.terrain) <= TERRAIN_ORDER.index(than.terrain)
