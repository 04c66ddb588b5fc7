"""A change in words: what would have to be otherwise, as the end of "would advance if …"."""

from collections.abc import Sequence

from services.decision.core.citing import plain
from services.decision.core.counterfactual import Change
from services.decision.core.facts.words import gate_word, small, test_word
from services.decision.core.protocol import FactType
from services.decision.core.sentences import SCORES, UNITS

_IF = {
    ("answer.declined", False): "the clinician had not declined",
    ("athlete.adult_or_reviewed", True): "a clinician reviewed the first advance, or the birth year showed an adult",
    ("course.open", True): "the course were resumed",
    ("deload.due", False): "the lighter week were over",
    ("engine.faulted", False): "a clinician recorded the review of the engines",
    ("illness.febrile_since_last_run", False): "there had been no fever since the last run",
    ("injury.bone_before", False): "no earlier injury of bone were known",
    ("last.above_step", False): "the last session had not been above the step",
    ("last.gait_changed", False): "gait had not changed in the last session",
    ("last.stopped_for_pain", False): "the last session had not been stopped for pain",
    ("limit.no_running", False): "the clinician's limit allowed running",
    ("limit.passed_by_next_step", False): "the clinician's limit allowed the next step",
    ("pelvic.symptoms_open", False): "a clinician reviewed the pelvic symptoms",
    ("protocol.expired", False): "the course were moved to a protocol still in force",
    ("referral.open", False): "a clinician recorded the review of the red flag",
    ("release.of_next_step", True): "a clinician released the next step",
    ("review.rest_or_night_pain", False): "a clinician reviewed the rest or night pain",
    ("session.above_dose", False): "the last session had not been more than the dose",
    ("session.above_step", False): "the last session had not been above the step",
    ("session.as_prescribed", True): "the last session had been done as prescribed",
    ("session.gait_changed", False): "gait had not changed during the session",
    ("session.masked", False): "the session had been reported without an analgesic",
    ("session.pain_after_24_h", False): "pain had been no higher than before a day after the session",
    ("session.pain_higher_after", False): "pain after the session were no higher than before it",
    ("session.pain_higher_during", False): "pain during the session were no higher than before it",
    ("session.pain_higher_next_morning", False): "pain the next morning were no higher than before the session",
    ("session.planned", True): "the session had been planned",
    ("session.settled_within_60_min", True): "symptoms had settled within 60 min",
    ("session.sore_after", False): "the injured area had not been sore after the session",
    ("session.sore_an_hour_after", False): "the injured area had not been sore an hour after the session",
    ("session.sore_during", False): "the injured area had not been sore during the run",
    ("session.sore_in_warm_up", False): "the injured area had not been sore in the warm-up",
    ("session.sore_next_day", False): "the injured area had not been sore the day after the session",
    ("session.stiffness_higher_after", False): "stiffness after the session were no more than before it",
    ("session.stiffness_higher_next_morning", False): "stiffness the next morning were no more than before the session",
    ("session.stopped_for_pain", False): "the session had not been stopped for pain",
    ("session.swelling_after_24_h", False): "swelling had been no more than before a day after the session",
    ("session.swelling_higher_after", False): "swelling after the session were no more than before it",
    ("session.swelling_higher_next_morning", False): "swelling the next morning were no more than before the session",
    ("session.technique_ok", True): "technique were seen to be good",
    ("surgery.not_cleared", False): "a surgeon or physician cleared running after the operation",
    ("surgery.more_than_reconstruction", False): "no more was done than the reconstruction of the ligament",
    ("test.failed", False): "the failed test were passed",
    ("skipped.for_pain", False): "no session had been skipped for pain",
    ("surface.first_outdoors", False): "the last run had not been the first outdoors",
    ("swelling.first_1_after_2", False): "swelling were assessed once more since it was 2+",
}
_IF_LESS = {
    "break.days": "the last run were more recent",
    "cadence.off_own_median_pct": "cadence were nearer its own median",
    "heart_rate.above_own_median": "mean heart rate were nearer its own median",
    "illness.now": "the illness were over",
    "load.week_pct": "the minutes of the week were nearer those of the week before",
    "rate.room": "the rate cap had room for a step",
    "sleep.short_nights": "sleep were 5 h a night or more",
    "step.failures": "the step had led back less often",
    "step.unclean_in_a_row": "the last sessions at the step had been clean",
}
"""Numbers and grades whose wish is clearer without its number."""
_NOW = {
    "break.days": "now {value} days ago",
    "session.rpe_over_step": "now {value} above it",
    "step.failures": "now {value} times",
    "step.unclean_in_a_row": "now {value} in a row were not",
}
"""Numbers that would be taken for another quantity behind such a wish."""
_PARTS = {
    "passed": "were passed",
    "value": "gave {needed}",
    "lsi_pct": "showed symmetry of {needed}",
    "pain_nrs": "gave pain of {needed}",
}
"""In the order in which they are said."""
NOT_ON_RECORD = "is not on record"


def part(fact: str) -> int:
    """Sorts what is said of one test."""
    return [*_PARTS, ""].index(last if (last := fact.rpartition(".")[2]) in _PARTS else "")


def wish(kind: FactType, change: Change) -> tuple[str, str]:
    """Subject and the rest of the clause; clauses of one subject are joined."""
    head, _, rest = kind.name.partition(".")
    if head == "milestone":
        test, _, said = rest.partition(".")
        return f"the {test_word(test)}", _PARTS[said].format(needed="" if said == "passed" else needed(kind, change))
    if head == "clearance" and change.value:
        return gate_word(rest), "were on record" if change.now is None else "were granted"
    if kind.kind == "boolean":
        good = bool(change.value)
        return "", _IF.get((kind.name, good)) or (kind.meaning if good else f"it were not so that {small(kind.lacking or kind.meaning)}")
    if kind.name == "step.clean_sessions_short" and change.now is not None:
        more = change.now - change.high
        return "", f"{more} more clean session{' were' if more == 1 else 's were'} done at the step"
    if kind.name in _IF_LESS:
        return "", _IF_LESS[kind.name]
    if kind.name == "daily.dates_of_7":
        return "", f"daily pain were reported on {_number(kind, change.low)} of 7 days"
    if kind.name == "session.rpe_over_step" and change.high == 0:
        return "", "exertion in the session were within the step's cap"
    if kind.name == "injury.bone_risk":
        return "", "the risk class of the bone injury were stated as low"
    if kind.name in ("healing.pain_free_dates", "healing.dates_since_pain"):
        return "", f"{_number(kind, change.low)} dates were reported free of pain"
    if kind.unit == "weeks":
        return "", f"{needed(kind, change)} had passed {kind.meaning.removeprefix('whole weeks ')}"
    asked = kind.choices or kind.unit in SCORES
    return kind.ask.removesuffix(" (0-10)") if asked else kind.meaning, f"were {needed(kind, change)}"


def needed(kind: FactType, change: Change) -> str:
    """The stretch of values that does: `2 or less`, `80 % or more`, `none or trace`."""
    if kind.choices:
        return " or ".join(kind.choices[choice].replace("_", " ") for choice in change.choices or (change.value,))
    said = UNITS.get(kind.unit, f" {kind.unit}")
    unit = "" if said.startswith(" of ") else said
    bottom, top = change.low <= kind.bottom, change.high >= kind.top
    if bottom and top:
        return "known"
    if change.low == change.high:
        return f"{_number(kind, change.low)}{unit}"
    if bottom:
        return _end(kind, change.high, 1, "less", unit)
    if top:
        return _end(kind, change.low, -1, "more", unit)
    return f"between {_number(kind, change.low)} and {_number(kind, change.high)}{unit}"


def _end(kind: FactType, at: int, beyond: int, word: str, unit: str) -> str:
    """`2 or less`, or `less than 50` where the end is one step of resolution short of a whole number."""
    if kind.scale > 1 and at % kind.scale and not (at + beyond) % kind.scale:
        return f"{word} than {_number(kind, at + beyond)}{unit}"
    return f"{_number(kind, at)}{unit.removesuffix('s') if at == kind.scale and len(unit) > 2 else unit} or {word}"


def _number(kind: FactType, value: int) -> str:
    return str(plain(value / kind.scale))


def now(kind: FactType, change: Change, why: str | None) -> str:
    """What it is now, for the brackets behind a clause; empty where the clause says it."""
    if why is not None:
        return "" if why == NOT_ON_RECORD else why.removeprefix("was ").removeprefix("were ").removeprefix("is ").removeprefix("are ")
    if change.now is None:
        return "not known"
    if kind.kind == "boolean" or kind.name in ("step.clean_sessions_short", "rate.room", "injury.bone_risk"):
        return ""
    value = kind.choices[change.now].replace("_", " ") if kind.choices else _number(kind, change.now)
    return _NOW.get(kind.name, "now {value}").format(value=value)


def joined(clauses: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(part for part in (", ".join(clauses[:-1]), clauses[-1]) if part) if clauses else ""
