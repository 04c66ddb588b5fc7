"""Facts of tests since the step was raised: a failure, or pain in a functional one, that is newer than what raised it."""

from services.decision.core.facts.evidence import results_of
from services.decision.core.facts.registry import View, fact
from services.decision.core.sessions import Fact
from services.decision.core.trivalent import Unknown

FUNCTIONAL = (
    "active_knee_extension",
    "bounds",
    "countermovement_jump",
    "heel_raises",
    "hop_30_ft",
    "hop_in_place",
    "jog_on_spot",
    "pogo_hops",
    "side_leg_raise",
    "single_leg_bridge",
    "single_leg_hop",
    "single_leg_squat",
    "single_leg_stance",
    "sit_to_stand",
    "walk_30_min",
)
"""Tests that load the leg as running does, or less: those in which pain is told."""


@fact(
    "test.failed",
    "boolean",
    "",
    "true",
    "function",
    "a test of the injured side failed since the step was last raised or set, and not passed by anybody of that standing since",
    "the tests",
)
def _(view: View) -> Fact:
    course = view.course
    keys = tuple(one.key for _, one in sorted(course.failed.items()) if one.key >= course.raised)
    return Fact(bool(keys), keys)


@fact(
    "test.pain",
    "number",
    "nrs",
    "higher",
    "pain",
    "the most pain in the latest functional tests of the injured side since the step was last raised or set",
    "pain in the functional tests",
    scale=10,
)
def _(view: View) -> Fact:
    course = view.course
    told = [one for test in FUNCTIONAL for one in results_of(course, test, "pain_nrs") if one.key >= course.raised]
    if not told:
        return Fact(Unknown("was not told since the step was reached"))
    worst = max(one.value for one in told)
    keys = tuple(sorted(one.key for one in told if one.value == worst))
    return Fact(worst, keys, max(key[0] for key in keys))
