"""Why: the rules that decided, those that block and those that could not be judged, with the facts they read."""

from collections.abc import Sequence
from typing import Any

from services.decision.core.conditions import each, flat, holds
from services.decision.core.facts.registry import CATALOGUE, find
from services.decision.core.protocol import AnyOf, Condition, FactType, Rule
from services.decision.core.sessions import Fact, Session
from services.decision.core.trivalent import Tri, Unknown
from services.decision.core.verdict import Judge, Verdict

SYMBOLS = {"at_most": "<=", "at_least": ">=", "below": "<", "above": ">", "is": "=", "one_of": "in", "not_one_of": "not in"}
WORDS = {
    "at_most": "at most",
    "at_least": "at least",
    "below": "below",
    "above": "above",
    "is": "to be",
    "one_of": "one of",
    "not_one_of": "none of",
}

Record = dict[str, Any]
SESSIONS_TOLD = 2
"""Of the sessions at a step, so many are explained."""


def evidence(judge: Judge, condition: Condition, fact: Fact, verdict: Tri) -> Record:
    """One condition with what it found."""
    kind = judge.protocol.facts[judge.protocol.slots[condition.slot].fact]
    unknown = isinstance(fact.value, Unknown)
    found: Record = {
        "fact": kind.name,
        "value": None if unknown else plain(fact.value),
        "unit": kind.unit,
        "op": SYMBOLS[condition.op],
        "threshold": list(condition.value) if isinstance(condition.value, tuple) else condition.value,
        "verdict": verdict.word,
        "events": event_ids(fact),
    }
    if isinstance(fact.value, Unknown):
        found["why"] = fact.value.reason
    return found


def event_ids(fact: Fact) -> list[str]:
    """The events a fact was read from, each once, in the fold's order."""
    keys = fact.keys
    return [key[2] for key in (keys if len(keys) < 2 else sorted(dict.fromkeys(keys)))]


def plain(value: Any) -> Any:
    """A float without a fraction is written as a whole number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def read_conditions(judge: Judge, verdict: Verdict, rule: Rule, wanted: Sequence[Tri]) -> list[Record]:
    """The conditions of a rule whose verdict is one of `wanted`; of an `AnyOf` every branch that shares its verdict."""
    values = verdict.question.values
    found: list[Record] = []
    for condition, tri in zip(rule.when, each(rule.when, values), strict=True):
        if tri not in wanted:
            continue
        for one in condition.conditions if isinstance(condition, AnyOf) else (condition,):
            branch = holds(one, values)
            if branch is tri or not isinstance(condition, AnyOf):
                found.append(evidence(judge, one, verdict.facts[one.slot], branch))
    return found


def reasons(judge: Judge, verdict: Verdict, full: bool) -> list[Record]:
    """Rules with their outcome: the kind of a rule that is met, else `not_met` or `unknown`.

    Without `full` only those that decided, block, or have unknown conditions; with it every rule and every condition.
    """
    action = verdict.standing.action
    everything = (Tri.MET, Tri.NOT_MET, Tri.UNKNOWN)
    told: list[Record] = []
    for rule, tri in verdict.scoped:
        if rule.kind == "advance":
            wanted = everything if full or action == "advance" else (Tri.NOT_MET, Tri.UNKNOWN)
            shown = full or action == "advance" or tri is not Tri.MET
        else:
            wanted = everything if full else (Tri.MET, Tri.UNKNOWN)
            shown = full or tri is Tri.MET or (tri is Tri.UNKNOWN and rule.unknown == "hold")
        if not shown:
            continue
        outcome: Record = {
            "rule": rule.id,
            "outcome": rule.kind if tri is Tri.MET else tri.word,
            "text": rule.text,
            "citation": sorted(rule.cite),
            "grade": rule.grade,
            "evidence": read_conditions(judge, verdict, rule, wanted),
        }
        if any(found["fact"] == "step.clean_sessions_short" and found["verdict"] == "not_met" for found in outcome["evidence"]):
            told_already = [found["fact"] for found in outcome["evidence"] if found["verdict"] == "unknown"]
            outcome["evidence"] += [found for found in unclean(judge, verdict, full) if found["fact"] not in told_already]
        outcome["evidence"].sort(key=lambda found: (found["fact"], found["op"], str(found["threshold"]), found["events"]))
        told.append(outcome)
    return sorted(told, key=lambda reason: reason["rule"])


def unclean(judge: Judge, verdict: Verdict, full: bool) -> list[Record]:
    """What the last sessions at the step lacked to count, where sessions are still missing."""
    course = verdict.view.course
    found: list[Record] = []
    for session in course.at_step[-SESSIONS_TOLD:]:
        if session.prescribed.value is not True:
            found.append(_prescribed(session))
        facts, values = judge.session_facts(session), judge.session_values(session)
        for condition in flat(judge.protocol.clean):
            tri = holds(condition, values)
            if full or tri is not Tri.MET:
                found.append(evidence(judge, condition, facts[condition.slot], tri))
    return found


def _prescribed(session: Session) -> Record:
    unknown = isinstance(session.prescribed.value, Unknown)
    told: Record = {
        "fact": "session.as_prescribed",
        "value": None if unknown else False,
        "unit": "",
        "op": "=",
        "threshold": True,
        "verdict": "unknown" if unknown else "not_met",
        "events": [session.key[2]],
        "why": session.prescribed.value.reason if isinstance(session.prescribed.value, Unknown) else "; ".join(session.departures),
    }
    return told


def sentence(kind: FactType, found: Record) -> str:
    """One condition in words: what it is, what it is now, what it has to be."""
    if kind.lacking:
        return kind.lacking.format(value=found["value"])
    op = next(name for name, symbol in SYMBOLS.items() if symbol == found["op"])
    threshold = found["threshold"]
    if isinstance(threshold, bool):
        wanted, now = ("yes" if threshold else "no"), ("yes" if found["value"] else "no")
        why = f" ({found['why']})" if found.get("why") else ""
        return f"{kind.meaning}: {now}, needed {wanted}{why}"
    if isinstance(threshold, list):
        threshold = ", ".join(str(one) for one in threshold)
    unit = f" {found['unit']}" if found["unit"] else ""
    return f"{kind.meaning}: {found['value']}{unit}, needed {WORDS[op]} {threshold}"


def blocking(verdict: Verdict, told: Sequence[Record]) -> list[str]:
    """What is known and still stands in the way: protective rules that are met, advance conditions that are not."""
    if verdict.standing.action == "advance":
        return []
    ways: list[str] = []
    for reason in told:
        if reason["outcome"] in ("hold", "regress", "refer"):
            ways.append(reason["text"])
        elif reason["outcome"] in ("not_met", "unknown"):
            ways += [sentence(CATALOGUE[found["fact"]], found) for found in reason["evidence"] if found["verdict"] == "not_met"]
    return sorted(dict.fromkeys(ways))


def missing(verdict: Verdict, told: Sequence[Record]) -> list[str]:
    """What is not known and would be needed to advance, as what somebody has to report."""
    if verdict.standing.action == "advance":
        return []
    asks: list[str] = []
    for reason in told:
        for found in reason["evidence"]:
            if found["verdict"] == "unknown":
                asks.append(f"{CATALOGUE[found['fact']].ask}: {found['why']}")
    return sorted(dict.fromkeys(asks))


def facts_of(judge: Judge, verdict: Verdict) -> list[Record]:
    """Every fact the protocol reads, as the course state shows it."""
    names = sorted({slot.fact: None for slot in judge.protocol.slots})
    shown: list[Record] = []
    for name in names:
        fact, kind = find(name, verdict.view), judge.protocol.facts[name]
        unknown = isinstance(fact.value, Unknown)
        shown.append(
            {
                "fact": name,
                "meaning": kind.meaning,
                "value": None if unknown else plain(fact.value),
                "unit": kind.unit,
                "why_unknown": fact.value.reason if isinstance(fact.value, Unknown) else None,
                "events": event_ids(fact),
            }
        )
    return shown
