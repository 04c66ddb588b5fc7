"""What is told of decisions: the released form for coaches, and the most conservative advice over an athlete's courses. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Record = Mapping[str, Any]

ACTIONS: Final = ("advance", "hold", "regress")
RUNNING: Final = ("as_dosed", "repeat", "walk_only", "withheld")
URGENCIES: Final = ("routine", "review", "stop_and_refer")

AFTER_CLINICIAN: Final = "after_clinician"
STATUS_ONLY: Final = "status_only"
DIRECT: Final = "direct"
AWAITING: Final = "awaiting_clinician"
RELEASED: Final = "released"


def released(decision: Record, standing_dose: Record | None, release: str = AFTER_CLINICIAN) -> dict[str, Any]:
    """The reduced form: what to do next, without reasons, flags, symptoms or evidence.

    An advance is released once its answer is `accepted`; until then `status` is `awaiting_clinician` and the dose is that of the
    step in force, `standing_dose`. The tenant's policy `release` may be `status_only`: neither step nor dose is told; or `direct`: every
    advance counts as released.
    """
    awaiting = decision["action"] == "advance" and not accepted(decision) and release != DIRECT
    step = decision["from_step"] if awaiting else decision["to_step"]
    dose = standing_dose if awaiting else decision["dose"]
    running = "repeat" if awaiting and decision["running"] == "as_dosed" else decision["running"]
    if awaiting and dose is None:
        running = "withheld"
    if release == STATUS_ONLY:
        return {**_shown(decision, awaiting, None, None, running), "summary": _status(running, awaiting)}
    return {**_shown(decision, awaiting, step, dose, running), "summary": _sentence(step, running, decision["not_before"], awaiting)}


def _shown(decision: Record, awaiting: bool, step: str | None, dose: Record | None, running: str) -> dict[str, Any]:
    return {
        "course": decision["course"],
        "subject": decision["subject"],
        "seq": decision["seq"],
        "status": AWAITING if awaiting else RELEASED,
        "step": step,
        "dose": dose,
        "running": running,
        "not_before": decision["not_before"],
        "stop_if": decision["stop_if"],
        "report_due": decision["report_due"],
        "as_of": decision["as_of"],
        "as_at": decision["as_at"],
    }


def _status(running: str, awaiting: bool) -> str:
    if running in ("withheld", "walk_only"):
        return "No running for now." if running == "withheld" else "Walking only for now."
    return "A clinician has yet to answer." if awaiting else "The next session is released; the clinician tells the dose."


def accepted(decision: Record) -> bool:
    """Whether a clinician accepted this decision."""
    answer = decision["answer"]
    return (answer.get("state") if isinstance(answer, Mapping) else answer) == "accepted"


def _sentence(step: str, running: str, not_before: str | None, awaiting: bool) -> str:
    told = {
        "as_dosed": f"Next session: step {step} as dosed",
        "repeat": f"Next session: repeat step {step}",
        "walk_only": "Next session: walking only",
        "withheld": "No running for now",
    }[running]
    when = f", not before {not_before}" if not_before and running != "withheld" else ""
    wait = "; a next step awaits a clinician" if awaiting else ""
    return f"{told}{when}{wait}."


def caution(decision: Record) -> tuple[bool, int, int, int]:
    """Sorts decisions by how careful they are: a referral first of all, then the action, then what may be run, then urgency."""
    return (
        decision["urgency"] == "stop_and_refer",
        ACTIONS.index(decision["action"]),
        RUNNING.index(decision["running"]),
        URGENCIES.index(decision["urgency"]),
    )


def combined(decisions: Sequence[Record]) -> dict[str, Any]:
    """The athlete's advice over all open courses, at least one: each part is the most conservative that any course says.

    `course` names the course whose decision leads; `not_before` is the latest.
    """
    leading = max(decisions, key=lambda d: (caution(d), d["course"]))
    dates = [d["not_before"] for d in decisions if d["not_before"] is not None]
    return {
        "subject": leading["subject"],
        "course": leading["course"],
        "action": max((d["action"] for d in decisions), key=ACTIONS.index),
        "running": max((d["running"] for d in decisions), key=RUNNING.index),
        "urgency": max((d["urgency"] for d in decisions), key=URGENCIES.index),
        "not_before": max(dates, default=None),
        "summary": leading["summary"],
        "as_of": max(d["as_of"] for d in decisions),
        "as_at": max(d["as_at"] for d in decisions),
    }
