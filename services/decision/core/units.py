"""Units of facts: what a number is measured in, by which instrument, and between which bounds.

A dimension alone does not tell two scales apart: 3 of 10 on a numeric rating scale and 30 mm on a visual analogue scale are both plain
scores. So a unit names its instrument, and a threshold must be written in the very unit of its fact.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unit:
    """`word` as a pack writes it; `ucum` its code in the Unified Code for Units of Measure; bounds inclusive."""

    word: str
    ucum: str
    dimension: str
    low: float
    high: float
    instrument: str = ""


UNITS: dict[str, Unit] = {
    unit.word: unit
    for unit in (
        Unit("nrs", "{score}", "score", 0, 10, "numeric rating scale of pain, 0 to 10"),
        Unit("rpe", "{score}", "score", 0, 10, "rating of perceived exertion, CR10 or OMNI, 0 to 10"),
        Unit("fatigue", "{score}", "score", 0, 10, "fatigue score, 0 to 10"),
        Unit("acl_rsi", "{score}", "score", 0, 100, "ACL-RSI, readiness after ligament surgery"),
        Unit("i_prrs", "{score}", "score", 0, 60, "I-PRRS, psychological readiness to return to sport"),
        Unit("ikdc", "{score}", "score", 0, 100, "IKDC subjective knee form"),
        Unit("visa_a", "{score}", "score", 0, 100, "VISA-A, Achilles tendon"),
        Unit("% lsi", "%", "ratio", 0, 1000, "limb symmetry index, per cent of the other limb"),
        Unit("% asymmetry", "%", "ratio", 0, 100, "difference between the limbs, per cent"),
        Unit("%", "%", "ratio", 0, 10_000, "per cent"),
        Unit("reps", "{count}", "count", 0, 10_000, "repetitions counted"),
        Unit("sessions", "{session}", "count", 0, 1_000, ""),
        Unit("times", "{count}", "count", 0, 1_000, ""),
        Unit("reports", "{count}", "count", 0, 1_000, ""),
        Unit("steps", "{step}", "count", 0, 100, ""),
        Unit("dates", "d", "time", 0, 36_500, "local calendar dates"),
        Unit("days", "d", "time", 0, 36_500, "whole local dates"),
        Unit("weeks", "wk", "time", 0, 5_200, "whole weeks"),
        Unit("nights", "d", "time", 0, 1_000, "nights"),
        Unit("min", "min", "time", 0, 100_000, ""),
        Unit("cm", "cm", "length", 0, 1_000, "tape measure"),
        Unit("kN/m", "kN/m", "stiffness", 0, 1_000, "spring-mass model"),
    )
}
NO_UNIT = Unit("", "", "", 0, 1)
