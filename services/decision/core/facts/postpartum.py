"""Facts of the time after a birth: weeks since, pelvic symptoms that are open, and a clinician's release of the next step."""

from services.decision.core.facts.registry import View, fact
from services.decision.core.facts.surgery import weeks_since
from services.decision.core.sessions import Fact
from services.decision.core.trivalent import Unknown

PELVIC = ("pelvic_heaviness_or_leakage", "postpartum_bleeding", "bladder_or_bowel_change")
RELEASE = "load_review"


@fact(
    "delivery.weeks",
    "number",
    "weeks",
    "lower",
    "time",
    "whole weeks since the birth",
    "the date of the birth",
    lacking="Weeks since the birth: {value}; {needed} are needed",
)
def _(view: View) -> Fact:
    return weeks_since(view, "delivery_date")


@fact(
    "pelvic.symptoms_open",
    "boolean",
    "",
    "true",
    "flag",
    "heaviness, leakage, bleeding or a change of bladder or bowel was reported and no clinician has reviewed it since",
    "pelvic symptoms",
)
def _(view: View) -> Fact:
    keys = tuple(flag.key for flag in view.course.flags if flag.flag in PELVIC)
    return Fact(bool(keys), keys)


@fact(
    "release.of_next_step",
    "boolean",
    "",
    "false",
    "clearance",
    "a clinician reviewed the load since this step was reached and released the next one",
    "a clinician's load review at this step",
    lacking="A clinician has not released the next step",
)
def _(view: View) -> Fact:
    """Every step has its own: the word given at an earlier step says nothing of this one."""
    course = view.course
    said, since = course.clearances.get(RELEASE), course.step_since
    if said is None or (since is not None and said.key <= since):
        return Fact(Unknown("was not recorded"))
    valid = said.granted and (said.valid_until is None or view.today.isoformat() <= said.valid_until)
    return Fact(valid, (said.key,), said.key[0])
