"""From `session.completed` to a `Session`: which step it was done at, and whether it was done as prescribed.

Not as prescribed (another dose, unplanned, too early, too high a step, in water or unweighted) loads: recovery, caps and symptoms count it.
It never counts towards an advance.
"""

from datetime import date

from services.decision.core.days import Key
from services.decision.core.protocol import ENTRY, TERRAIN_ORDER, Dose, Protocol
from services.decision.core.sessions import DOSE_BAND_PCT, UNLOADED_SURFACES, Before, Data, Fact, Session
from services.decision.core.standing import Standing
from services.decision.core.trivalent import Unknown
from shared.events import Event

RUNS = ("run", "run_walk")


def record_session(
    event: Event,
    key: Key,
    day: date,
    protocol: Protocol,
    standing: Standing | None,
    step_in_force: str,
    before: Before,
    technique: Fact,
) -> Session:
    data = event.data
    allowed = standing.to_step if standing is not None else step_in_force
    step = data.get("step", allowed)
    foreign = step not in protocol.place
    if foreign:
        step = allowed
    dose = _dose(protocol, standing, step)
    # At entry any run is above what is recommended.
    above_step = protocol.place[step] > protocol.place[allowed] or (data["kind"] in RUNS and allowed == ENTRY)
    off = () if dose is None else _measured_off(data, dose)
    departures = (
        *_departures(data, day, standing, dose),
        *("a step of another ladder",) * foreign,
        *(f"a step above {allowed}",) * above_step,
        *(text for text, _ in off),
    )
    return Session(
        key=key,
        id=data["session"],
        time=event.time,
        day=day,
        runs=data["kind"] in RUNS,
        planned=data.get("planned", True) and not foreign,
        step=step,
        rpe_cap=None if dose is None else dose.rpe_max,
        speed_cap=None if dose is None else dose.speed_pct_max,
        data=data,
        prescribed=_prescribed(data, dose, departures, key),
        departures=departures,
        above=above_step or any(over for _, over in off) or (dose is not None and _harder(data, dose)),
        above_step=above_step,
        technique=technique,
        before=before,
    )


def _dose(protocol: Protocol, standing: Standing | None, step: str) -> Dose | None:
    if standing is not None and standing.to_step == step:
        return standing.dose
    rung = protocol.step(step)
    return None if rung is None else rung.dose


def _prescribed(data: Data, dose: Dose | None, departures: tuple[str, ...], key: Key) -> Fact:
    if departures or dose is None:
        return Fact(False, (key,))
    if "completed" in data:
        return Fact(data["completed"], (key,))
    if not any(name in data for name, _ in _quantities(dose)):
        return Fact(Unknown("was neither said nor measured"), (key,))
    return Fact(True, (key,))


def _departures(data: Data, day: date, standing: Standing | None, dose: Dose | None) -> tuple[str, ...]:
    found: list[str] = []
    if not data.get("planned", True):
        found.append("unplanned")
    if dose is None:
        found.append("no step of the ladder was in force")
    if data.get("surface") in UNLOADED_SURFACES:
        found.append(f"on {data['surface'].replace('_', ' ')}, not at full weight")
    elif data.get("body_weight_pct", 100) < 100:
        found.append(f"at {data['body_weight_pct']} % of body weight")
    if standing is not None and standing.not_before is not None and day < standing.not_before:
        found.append(f"before {standing.not_before.isoformat()}")
    if standing is not None and standing.modifier == "deload":
        found.append("in a lighter week")
    if standing is not None and standing.running in ("withheld", "walk_only"):
        found.append("while running was not advised")
    if dose is not None and "terrain" in data and TERRAIN_ORDER.index(data["terrain"]) > TERRAIN_ORDER.index(dose.terrain):
        found.append(f"{data['terrain']} terrain, the step asks for {dose.terrain}")
    if dose is not None and dose.speed_pct_max is not None and data.get("speed_pct_max", 0) > dose.speed_pct_max:
        found.append(f"faster than {dose.speed_pct_max} % of maximum")
    return tuple(found)


def _harder(data: Data, dose: Dose) -> bool:
    """Terrain and speed are intensity: more of either is above the dose."""
    hilly = "terrain" in data and TERRAIN_ORDER.index(data["terrain"]) > TERRAIN_ORDER.index(dose.terrain)
    return hilly or (dose.speed_pct_max is not None and data.get("speed_pct_max", 0) > dose.speed_pct_max)


def _quantities(dose: Dose) -> tuple[tuple[str, int], ...]:
    """What of a dose can be measured; walking is left out, for watches count warm-up and cool-down too."""
    named = (("run_s", dose.run_s), ("reps", dose.reps), ("distance_m", dose.distance_m), ("run_distance_m", dose.run_m))
    return tuple((name, value) for name, value in named if value is not None)


def _measured_off(data: Data, dose: Dose) -> tuple[tuple[str, bool], ...]:
    """Measured quantities outside the band, each with whether it was more."""
    low, high = DOSE_BAND_PCT
    off: list[tuple[str, bool]] = []
    if "run_s" not in data and dose.run_s is not None and data["kind"] == "run":
        # Without walking, the whole session is the run: it may hold a pause, so only more than the dose speaks.
        ran = data.get("duration_s", 0) - data.get("walk_s", 0)
        if ran * 100 > max(dose.run_s, dose.easy_run_s or 0) * high:
            off.append((f"a run of {ran} s where the step asks for {dose.run_s} s", True))
    for name, asked in _quantities(dose):
        easy = dose.easy_run_s if name == "run_s" else None
        if name in data and not any(one * low <= data[name] * 100 <= one * high for one in (asked, easy) if one is not None):
            over = data[name] > asked
            off.append((f"{measured(name, data[name])} where the step asks for {measured(name, asked)}", over))
    return tuple(off)


def measured(name: str, amount: float) -> str:
    """A measured quantity of a dose in words: `12 min of running`."""
    if name == "run_s":
        return f"{amount / 60:.4g} min of running"
    if name == "reps":
        return f"{amount:.4g} repetitions"
    return f"{amount:.6g} m{' of running' if name == 'run_distance_m' else ''}"
