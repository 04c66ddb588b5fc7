"""Red flags: which report opens a referral, to whom and how soon.

A referral latches: once open it stands until a clinician records `red_flag_review`, whatever is reported meanwhile. The times are expert
defaults; the flags and their sources are in `protocols/floor.yaml`.
"""

from typing import NamedTuple

from services.decision.core.days import Key
from services.decision.core.sessions import Data, Report


class Referral(NamedTuple):
    to: str
    within_h: int


class OpenFlag(NamedTuple):
    flag: str
    key: Key
    on: tuple[str, ...] = ()
    """Of a flag from before the course: every course that it stood on. A review on none of them did not see it."""


REFERRALS: dict[str, Referral] = {
    "chest_pain_or_syncope": Referral("emergency", 1),
    "breathlessness": Referral("emergency", 1),
    "saddle_numbness": Referral("emergency", 1),
    "bladder_or_bowel_change": Referral("emergency", 1),
    "pain_out_of_proportion": Referral("emergency", 1),
    "calf_swelling_or_warmth": Referral("emergency", 4),
    "foot_drop": Referral("emergency", 4),
    "cannot_bear_weight": Referral("physician", 24),
    "sudden_pop": Referral("physician", 24),
    "fever_or_systemic": Referral("physician", 24),
    "postpartum_bleeding": Referral("physician", 24),
    "wound_problem": Referral("physician", 24),
    "groin_pain_on_loading": Referral("imaging", 48),
    "focal_bone_tenderness": Referral("imaging", 72),
    "night_pain": Referral("physician", 72),
    "rest_pain": Referral("physician", 72),
    "numbness_or_tingling": Referral("physician", 72),
    "locking_or_giving_way": Referral("physician", 72),
    "pelvic_heaviness_or_leakage": Referral("pelvic_health", 168),
}

BY_RULE = Referral("physician", 24)
"""Of a referral that a pack's own rule opened; it stands among the open flags under the rule's id."""

MOMENT_FLAGS = {"rest": "rest_pain", "night": "night_pain"}
NEW_OR_RISING_ONLY = ("muscle", "tendon")
"""An acute strain or a reactive tendon hurts at rest: there, only new or rising rest or night pain refers."""


def elsewhere(data: Data, side: str) -> bool:
    """Whether the report says so, or is of the other side of the body than the injury."""
    told = data.get("side")
    return data.get("location") == "elsewhere" or (told in ("left", "right") and side in ("left", "right") and told != side)


def red_flags(data: Data, tissue: str, side: str) -> tuple[str, ...]:
    """The flags of a report for an injury when nothing is known of it but this: those ticked and, of bone, pain at rest or at night at the
    injured place.
    """
    flags = dict.fromkeys(data.get("flags", ()))
    moment = MOMENT_FLAGS.get(data["when"])
    if moment is not None and tissue == "bone" and data.get("pain_nrs", 0) >= 1 and not elsewhere(data, side):
        flags[moment] = None
    return tuple(sorted(flags))


def raised_flags(
    report: Report, tissue: str, earlier: Report | None, baseline_pain: float | None, carried: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """The flags of a report that open a referral.

    `earlier` is the last report of the same `when`, `carried` the flags that earlier reports ticked. On bone, rest or night pain at the
    injured place is the flag whether ticked or not.
    """
    ticked: list[str] = list(report.data.get("flags", ()))
    moment = MOMENT_FLAGS.get(report.when)
    pain = report.data.get("pain_nrs")
    if tissue == "bone" and moment and pain is not None and pain >= 1:
        ticked.append(moment)
    if tissue in NEW_OR_RISING_ONLY:
        if moment and pain is not None and pain >= 1 and new_or_rising(report, earlier, baseline_pain):
            ticked.append(moment)
        rising = new_or_rising(report, earlier, baseline_pain)
        # Ticked beside a report of another moment, its number says nothing of rest or night: there the first tick is new.
        ticked = [f for f in ticked if f not in MOMENT_FLAGS.values() or (rising if f == moment else f not in carried)]
    return tuple(sorted(dict.fromkeys(ticked)))


def new_or_rising(report: Report, earlier: Report | None, baseline_pain: float | None) -> bool:
    """Higher by word or number than the last report of that moment, or than the baseline; not known counts as new."""
    if report.data.get("pain_change") == "higher":
        return True
    pain = report.data.get("pain_nrs")
    level = earlier.data.get("pain_nrs") if earlier is not None else baseline_pain
    return level is None or pain is None or pain > level


def urgent(flags: tuple[OpenFlag, ...]) -> Referral:
    """The soonest of the open flags' referrals."""
    return min((REFERRALS.get(one.flag, BY_RULE) for one in flags), key=lambda referral: (referral.within_h, referral.to))
