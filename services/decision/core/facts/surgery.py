"""Facts of an operation: how long ago it was, and whether more was done than the reconstruction of the ligament."""

from datetime import date

from services.decision.core.facts.registry import View, fact
from services.decision.core.sessions import Fact
from services.decision.core.trivalent import Unknown

RECONSTRUCTION = (
    "acl_reconstruction",
    "acl_r",
    "aclr",
    "bone_patellar_tendon_bone_graft",
    "patellar_tendon_graft",
    "quadriceps_tendon_graft",
    "hamstring_graft",
    "allograft",
)
"""Words for the reconstruction itself and its graft; any other procedure is more than that."""


def weeks_since(view: View, name: str) -> Fact:
    """Whole weeks from a date of the injury to today; unknown where the date is not given or lies ahead."""
    told = view.course.started["injury"].get(name)
    if told is None:
        return Fact(Unknown("was not given"), (view.course.start_key,))
    days = (view.today - date.fromisoformat(told)).days
    if days < 0:
        return Fact(Unknown("lies ahead"), (view.course.start_key,))
    return Fact(days // 7, (view.course.start_key,))


@fact(
    "surgery.weeks",
    "number",
    "weeks",
    "lower",
    "time",
    "whole weeks since the operation",
    "the date of the operation",
    lacking="Weeks since the operation: {value}; {needed} are needed",
)
def _(view: View) -> Fact:
    return weeks_since(view, "surgery_date")


@fact(
    "surgery.more_than_reconstruction",
    "boolean",
    "",
    "true",
    "population",
    "a meniscal repair, a cartilage procedure, a revision or anything beyond the reconstruction and its graft was done",
    "what was done in the operation",
    lacking="More was done than the reconstruction of the ligament",
)
def _(view: View) -> Fact:
    told = view.course.started["injury"].get("procedures")
    if told is None:
        return Fact(Unknown("was not given"), (view.course.start_key,))
    return Fact(any(one.lower().replace("-", "_") not in RECONSTRUCTION for one in told), (view.course.start_key,))


@fact(
    "surgery.not_cleared",
    "boolean",
    "",
    "true",
    "population",
    "an operation was stated, and no surgeon or physician has cleared running since",
    "a surgeon's or physician's clearance after the operation",
    lacking="An operation was stated, and no surgeon or physician has cleared running since",
)
def _(view: View) -> Fact:
    injury = view.course.started["injury"]
    if "surgery_date" not in injury and not injury.get("procedures"):
        return Fact(False, (view.course.start_key,))
    for gate in ("surgeon_clearance", "physician_clearance"):
        found = view.course.clearances.get(gate)
        if found is None or not found.granted or (found.valid_until is not None and found.valid_until < view.today.isoformat()):
            continue
        if view.course.day(found.key[0]).isoformat() >= injury.get("surgery_date", ""):
            return Fact(False, (found.key,), found.key[0])
    return Fact(True, (view.course.start_key,))
