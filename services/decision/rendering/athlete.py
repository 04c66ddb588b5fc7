"""For an athlete: what to do, why, when to stop and whom to call, in words a patient uses. No rule ids, no names of facts or gates."""

import re
from collections.abc import Iterable
from typing import Any

from services.decision import advice
from services.decision.core.dosing import shown_dose
from services.decision.core.explain import reasoned
from services.decision.core.facts.registry import CATALOGUE
from services.decision.core.facts.sources import ATHLETE, asked_for
from services.decision.core.protocol import Protocol
from services.decision.core.summary import fitted
from services.decision.rendering.athlete_words import (
    ASKS,
    BECAUSE,
    BECAUSE_OF_FAMILY,
    CALL,
    CALL_ALWAYS,
    CLINICIAN_ASKS,
    OTHERWISE,
    everyday,
)
from services.decision.rendering.words import Record, day, dose_lines, rendering, sentence

CALL_NOW_H = 4
"""A referral to emergency care within so many hours is a call now."""


def for_athlete(record: Record, pack: Protocol | None) -> dict[str, Any]:
    """An advance is told as something the clinician has still to agree to, until it was accepted."""
    rung = pack.step(record["from_step"]) if pack is not None and record["from_step"] in pack.place else None
    told = advice.released(record, None if rung is None else shown_dose(rung.dose))
    emergency = _emergency(record)
    runs = told["running"] in ("as_dosed", "repeat") and bool(told["dose"])
    when = [f"Not before {day(told['not_before'])}."] if told["not_before"] and told["running"] != "withheld" else []
    dose = [sentence(everyday(line)) for line in dose_lines(told["dose"], pack, told["step"])] if runs else []
    return rendering(
        "athlete",
        fitted(_headline(record, told, emergency, runs)),
        [
            ("What to do now", [emergency["text"]] if emergency else []),
            ("Why", _why(record)),
            ("Your next run" if runs else "Your next session", [*dose, *when] if runs else [_instead(told), *when]),
            ("Stop running and walk if", [everyday(rule) for rule in told["stop_if"]] if runs else []),
            ("Please tell us", _asked(record)),
            ("Your clinician still has to", _clinicians_part(record)),
            ("Always", [CALL_ALWAYS]),
        ],
        emergency=emergency,
    )


def _headline(record: Record, told: Record, emergency: Record | None, runs: bool) -> str:
    if emergency is not None and emergency["call_now"]:
        return "Stop running. Call for help now"
    if emergency is not None:
        return (
            "Stop running. Call for help now"
            if emergency["call_now"]
            else "Stop running and see a doctor; do not run until you are told you may"
        )
    if not runs:
        return "Please do not run for now" if told["running"] == "withheld" else "Walk for now; no running yet"
    if told["status"] == advice.AWAITING:
        return "You are doing well. Your clinician has to agree to the next step; until then repeat the run you know"
    if record["action"] == "regress":
        return "Take a step back: your next run is a shorter or easier one"
    if record["action"] == "advance":
        return "You can go on to the next step"
    return "Stay with the run you are doing now"


def _instead(told: Record) -> str:
    return "No running for now." if told["running"] == "withheld" else "Walking only, no running."


def _emergency(record: Record) -> dict[str, Any] | None:
    if record["urgency"] != "stop_and_refer":
        return None
    referral = record["referral"] or {"to": "physician", "within_h": 24}
    hours = referral["within_h"]
    call_now = referral["to"] == "emergency" and hours <= CALL_NOW_H
    within = f"{hours} hours" if hours < 48 else f"{hours // 24} days"
    text = CALL["now"] if call_now and hours <= 1 else CALL.get(referral["to"], CALL["physician"])
    return {"call_now": call_now, "within_h": hours, "text": text.format(within=within)}


def _why(record: Record) -> list[str]:
    """What was found, of rules that decided and of conditions that are known not to be met; an advance needs no reason."""
    if record["action"] == "advance":
        return []
    found: list[str] = []
    for reason in record["reasons"]:
        wanted = "met" if reason["outcome"] in ("refer", "regress", "hold") else "not_met"
        found += [one["fact"] for one in reasoned(reason["evidence"]) if one["verdict"] == wanted]
    return _said(because(fact) for fact in found)


def because(fact: str) -> str:
    """Why a fact stands in the way, as the athlete reads it."""
    kind = CATALOGUE.get(fact)
    return BECAUSE.get(fact) or BECAUSE_OF_FAMILY.get(kind.family if kind is not None else "", OTHERWISE)


def _asked(record: Record) -> list[str]:
    """What the athlete can report that is not known, and the report that is due."""
    due = [_due(text) for text in record["report_due"]]
    return _said([*due, *(ASKS.get(report, "") for who, report in _missing(record) if who == ATHLETE)])


def _clinicians_part(record: Record) -> list[str]:
    return _said(
        CLINICIAN_ASKS.get(report.partition(":")[0], "look at your progress") for who, report in _missing(record) if who != ATHLETE
    )


def _missing(record: Record) -> list[tuple[str, str]]:
    """Who has to make which report, of facts that are not known."""
    if record["action"] == "advance":
        return []
    found = []
    for reason in record["reasons"]:
        for one in reason["evidence"]:
            kind = CATALOGUE.get(one["fact"])
            if one["verdict"] == "unknown" and kind is not None:
                asked = asked_for(one["fact"], kind.family)
                first = one.get("why", "")[:1].isupper()
                found.append((ATHLETE, "session") if first else (asked.who, asked.report))
    return found


def _due(text: str) -> str:
    moment = re.search(r"(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2})", text)
    when = f", by {moment[2]} on {day(moment[1])}" if moment else ""
    return f"how it felt the next morning{when}"


def _said(lines: Iterable[str]) -> list[str]:
    return [sentence(line) for line in dict.fromkeys(lines) if line]
