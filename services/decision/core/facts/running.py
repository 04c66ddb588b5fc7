"""Facts of how the last session was run: its ground and its speed against what the step allows or what was usual."""

from services.decision.core.facts.registry import NO_SESSION, View, fact, session_fact
from services.decision.core.protocol import TERRAIN_ORDER
from services.decision.core.sessions import Fact, Session
from services.decision.core.trivalent import Unknown

LEVEL_SURFACES = ("treadmill", "track")
FASTEST_PCT = 1000


@session_fact(
    "session.terrain",
    "choice",
    "",
    "higher",
    "load",
    "how hilly the ground of the session was; a treadmill or a track is flat unless said otherwise",
    "the terrain of the session",
    choices=TERRAIN_ORDER,
)
def _(session: Session) -> Fact:
    terrain = session.data.get("terrain")
    if terrain is None and session.data.get("surface") in LEVEL_SURFACES:
        terrain = "flat"
    return Fact(Unknown("was not reported") if terrain is None else terrain, (session.key,))


@session_fact(
    "session.speed_over_step",
    "number",
    "%",
    "higher",
    "load",
    "highest speed of the session, in per cent of maximum as measured or perceived, minus the step's cap",
    "the highest speed of the session, in per cent of maximum,",
    low=-100,
    high=100,
    scale=10,
)
def _(session: Session) -> Fact:
    speed = session.data.get("speed_pct_max")
    if speed is None:
        return Fact(Unknown("was not reported"), (session.key,))
    return Fact(0 if session.speed_cap is None else min(speed - session.speed_cap, 100), (session.key,))


@fact(
    "pace.of_usual_pct",
    "number",
    "%",
    "higher",
    "load",
    "running speed of the last session as a share of the usual speed before the injury",
    "run distance and run time of the session and the usual pace before the injury",
    high=FASTEST_PCT,
    scale=10,
)
def _(view: View) -> Fact:
    last = view.course.last_ran
    if last is None:
        return NO_SESSION
    data, usual = last.data, view.course.started.get("baseline", {}).get("usual_pace_s_per_km")
    keys = (view.course.start_key, last.key)
    if usual is None or not data.get("run_s") or not data.get("run_distance_m"):
        return Fact(Unknown("are not all known"), keys)
    share = usual * data["run_distance_m"] / (10 * data["run_s"])
    return Fact(min(round(share, 1), FASTEST_PCT), keys)
