"""Histories of one athlete for the property tests: courses, sessions and reports in the words of the event vocabulary."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from services.decision.core.athlete import Athlete
from services.decision.core.decision import ARRIVAL_FIELDS, Decision
from services.decision.engines.reference import ReferenceEngine
from services.decision.rules.library import PackLibrary
from shared.events import content_digest, parse

PACKS = PackLibrary(ReferenceEngine())
BEGIN = datetime(2026, 3, 2, 7, tzinfo=UTC)
Raw = dict[str, Any]

PAIN = st.sampled_from([0, 0, 0, 1, 2, 2.5, 3, 4, 5, 6, 7, 10])
CHANGE = st.sampled_from(["lower", "same", "same", "same", "higher"])
SWELLING = st.sampled_from(["none", "none", "none", "trace", "1+", "2+", "3+"])
ILLNESS = st.sampled_from(["none", "mild", "febrile"])
ANSWER = st.sampled_from(["accepted", "declined"])
LSI = st.sampled_from([60, 85, 95])
SORENESS = st.sampled_from(["none", "none", "none", "muscle", "injured_area"])
STEPS = {
    "progressive-return": [f"W{n}" for n in range(1, 21)],
    "mil-knee-overuse": [f"P{n}" for n in range(1, 7)],
    "udel-acl-run": [f"L{n}" for n in range(1, 9)],
    "chop-acl-run": [f"P{n}" for n in range(1, 10)],
    "timed-walkrun-15": [f"S{n}" for n in range(1, 16)],
    "pfp-symptom": [f"W{n}" for n in range(1, 12)],
    "achilles-pmm": [f"W{n}" for n in range(1, 13)],
    "hamstring-threshold": [f"H{n}" for n in range(1, 10)],
    "tibia-bsi-lowrisk": [f"W{n}" for n in range(1, 14)],
}

INJURIES: dict[str, Raw] = {
    "pfp-symptom": {"tissue": "joint", "site": "patellofemoral", "side": "left"},
    "achilles-pmm": {"tissue": "tendon", "site": "achilles_midportion", "side": "left"},
    "hamstring-threshold": {"tissue": "muscle", "site": "hamstring", "side": "left"},
    "tibia-bsi-lowrisk": {"tissue": "bone", "site": "tibia_posteromedial", "side": "left", "high_risk": False},
}
"""Injuries that suit the packs that are not for every knee."""


def event(number: int, kind: str, time: datetime, data: Raw, course: str | None = "c1", source: str = "urn:test") -> Raw:
    raw: Raw = {
        "specversion": "1.0",
        "id": f"e{number}",
        "source": source,
        "type": f"milepost.{kind}",
        "subject": "a1",
        "time": time.isoformat(),
        "data": data,
    }
    if course is not None and not kind.startswith("course."):
        raw["course"] = course
    return raw


def started(protocol: str = "progressive-return", tissue: str = "joint", site: str = "knee", **more: Any) -> Raw:
    data = {
        "course": "c1",
        "protocol": protocol,
        "injury": {"tissue": tissue, "site": site, "side": "left"},
        "timezone": "Europe/Berlin",
        "birth_year": 1990,
        "baseline": {"pain_nrs": 0},
        **more,
    }
    return event(0, "course.started", BEGIN, data)


def report(number: int, when: str, session: str | None, time: datetime, **data: Any) -> Raw:
    linked = {} if session is None else {"session": session}
    return event(number, "symptom.reported", time, {"when": when, **linked, **data})


def session(number: int, day: int, **data: Any) -> list[Raw]:
    """A clean session of the step in force on day `day` with its reports; `data` overrides what was done."""
    time = BEGIN + timedelta(days=day, hours=10)
    sid = f"s{day}"
    done = {"session": sid, "kind": "run_walk", "completed": True, "rpe": 3, "gait_changed": False, "technique_ok": True, "terrain": "flat"}
    calm = {"pain_nrs": 0, "pain_change": "same"}
    after = {**calm, "swelling": "none", "swelling_change": "same", "stiffness_change": "same"}
    return [
        event(number, "session.completed", time, {**done, "technique_by": "clinician", **data}),
        report(number + 1, "before", sid, time - timedelta(minutes=10), pain_nrs=0),
        report(number + 2, "during", sid, time + timedelta(minutes=20), **calm),
        report(number + 3, "after", sid, time + timedelta(minutes=50), **after, settled_min=0),
        report(number + 4, "next_morning", sid, time + timedelta(hours=14), **after),
    ]


def two_clean_sessions(step: str = "W1") -> list[Raw]:
    """A history that ends in an advance."""
    return [started(start_step=step), *session(10, 1), *session(20, 3)]


def receive_all(raws: Iterable[Raw], athlete: Athlete | None = None) -> tuple[Athlete, list[Decision]]:
    athlete = Athlete(PACKS) if athlete is None else athlete
    made: list[Decision] = []
    for raw in raws:
        made += athlete.receive(parse(raw, internal=True), content_digest(raw)).decisions
    return athlete, made


def content(decision: Decision) -> str:
    """Everything of a decision that the events alone decide."""
    return json.dumps({name: value for name, value in decision.body.items() if name not in ARRIVAL_FIELDS}, sort_keys=True)


def last(raws: Iterable[Raw]) -> Raw:
    return receive_all(raws)[1][-1].body


@st.composite
def reports_of(draw: st.DrawFn, number: int, sid: str, time: datetime) -> list[Raw]:
    moments = [
        ("before", -0.2),
        ("warm_up", -0.1),
        ("during", 0.3),
        ("after", 1.0),
        ("next_morning", 14.0),
        ("next_day", 27.0),
        ("two_days_after", 40.0),
    ]
    made: list[Raw] = []
    for n, (when, hours) in enumerate(moments):
        if not draw(st.integers(0, 4)):
            continue
        data: Raw = {}
        if draw(st.booleans()):
            data["pain_nrs"] = draw(PAIN)
        if when != "before":
            data["pain_change"] = draw(CHANGE)
            if draw(st.booleans()):
                data["soreness"] = draw(SORENESS)
        if when in ("after", "next_morning", "next_day"):
            data |= {"swelling": draw(SWELLING), "swelling_change": draw(CHANGE), "stiffness_change": draw(CHANGE)}
        if when == "next_morning" and draw(st.booleans()):
            data["stiffness_min"] = draw(st.sampled_from([0, 10, 40]))
        if when == "after" and draw(st.booleans()):
            data["settled_min"] = draw(st.sampled_from([0, 30, 60, 61, 2000]))
        if not draw(st.integers(0, 15)):
            data["analgesic"] = "nsaid"
        if not draw(st.integers(0, 25)):
            data["flags"] = ["night_pain"]
        linked = sid if draw(st.integers(0, 3)) else None
        made.append(report(number + 1 + n, when, linked, time + timedelta(hours=hours), **data))
    return made


@st.composite
def histories(draw: st.DrawFn, most_sessions: int = 6) -> list[Raw]:
    """One course with sessions, reports, wellness, clearances, answers, corrections and retractions, in the order of their times."""
    protocol = draw(st.sampled_from(sorted(STEPS)))
    tissue = draw(st.sampled_from(["joint", "muscle", "tendon", "bone"]))
    more: Raw = {"start_step": draw(st.sampled_from(STEPS[protocol][:12]))} if draw(st.integers(0, 4)) else {}
    if protocol in INJURIES and draw(st.integers(0, 3)):
        more["injury"] = INJURIES[protocol]
    raws = [started(protocol, tissue, **more)]
    day = 0
    for n in range(draw(st.integers(0, most_sessions))):
        day += draw(st.sampled_from([1, 2, 2, 2, 2, 3, 9, 13]))
        time = BEGIN + timedelta(days=day, hours=10)
        data: Raw = {"session": f"s{n}", "kind": "run_walk"}
        for name, values in (
            ("completed", [True, True, True, False]),
            ("rpe", [2, 3, 3, 4, 6]),
            ("gait_changed", [False, False, False, False, True]),
            ("technique_ok", [True, True, True, False]),
            ("technique_by", ["clinician", "clinician", "self"]),
            ("planned", [True, True, True, True, False]),
            ("surface", ["treadmill", "treadmill", "road"]),
            ("speed_pct_max", [50, 50, 60, 100]),
            ("run_s", [360, 720, 1080, 1440, 1500]),
            ("step", STEPS[protocol][:8]),
            ("stopped_for", ["pain", "time"]),
        ):
            if draw(st.integers(0, 9 if name in ("step", "run_s", "stopped_for") else 1)) == 1:
                data[name] = draw(st.sampled_from(values))
        raws.append(event(100 * (n + 1), "session.completed", time, data))
        raws += draw(reports_of(100 * (n + 1), f"s{n}", time))
        if not draw(st.integers(0, 3)):
            raws.append(draw(odd_events(100 * (n + 1) + 50, time + timedelta(hours=20), raws)))
    return raws


@st.composite
def odd_events(draw: st.DrawFn, number: int, time: datetime, before: list[Raw]) -> Raw:
    by = {"id": "dr", "role": "clinician"}
    kind = draw(st.sampled_from(["wellness", "clearance", "answer", "adjust", "correct", "retract", "milestone", "daily", "skip", "pause"]))
    if kind == "wellness":
        return event(
            number, "wellness.reported", time, {"sleep_h": 4, "fatigue": 9, "illness": draw(st.sampled_from(["none", "mild", "febrile"]))}
        )
    if kind == "clearance":
        return event(number, "clearance.recorded", time, {"gate": "red_flag_review", "granted": True, "by": by})
    if kind == "answer":
        return event(number, "recommendation.answered", time, {"answer": draw(ANSWER), "by": by})
    if kind == "adjust":
        return event(number, "course.adjusted", time, {"limits": {"run_s": 600}, "reason": "care", "by": by}, course="c1") | {
            "course": "c1"
        }
    if kind == "milestone":
        return event(
            number,
            "milestone.assessed",
            time,
            {"test": "single_leg_hop", "lsi_pct": draw(st.sampled_from([60, 85, 95])), "assessor": "clinician"},
        )
    if kind == "daily":
        return report(number, "daily", None, time, pain_nrs=draw(PAIN), swelling=draw(SWELLING))
    if kind == "skip":
        return event(number, "session.skipped", time, {"reason": draw(st.sampled_from(["pain", "time"]))})
    if kind == "pause":
        return event(number, "course.paused", time, {"course": "c1"})
    target = draw(st.sampled_from([raw for raw in before if raw["type"] in ("milepost.symptom.reported", "milepost.session.completed")]))
    if kind == "retract":
        return event(number, "event.retracted", time, {"retracts": target["id"], "reason": "sent in error"}, course=None)
    data = dict(target["data"])
    if target["type"] == "milepost.symptom.reported":
        data["pain_nrs"] = draw(PAIN)
    else:
        data["rpe"] = draw(st.sampled_from([2, 9]))
    return event(number, "event.corrected", time, {"corrects": target["id"], "data": data}, course=None)
