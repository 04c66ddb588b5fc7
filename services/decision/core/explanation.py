"""What is computed when asked for: the smallest change that would advance, and what to measure next."""

from collections.abc import Iterable, Sequence
from typing import Any

from services.decision.core.citing import plain
from services.decision.core.counterfactual import Change, Smallest, smallest_change
from services.decision.core.explain import CLEAN_SHORT
from services.decision.core.facts.sources import COURSE, Source, asked_for, source
from services.decision.core.facts.words import small
from services.decision.core.measuring import lacking_reports, measure_next, short_with
from services.decision.core.protocol import COMPLETE, FactType, Protocol
from services.decision.core.sessions import Fact
from services.decision.core.telling import Record
from services.decision.core.trivalent import Unknown
from services.decision.core.verdict import NOT_READ, Judge, Verdict
from services.decision.core.wishes import joined, needed, now, part, wish

HIGH_RISK = "high"


def explanation(judge: Judge, verdict: Verdict) -> Record:
    """`would_advance_if` is null where it advances already; `measure_next` lists the missing reports, the most helpful first."""
    if verdict.standing.action == "advance":
        return {"would_advance_if": None, "measure_next": []}
    question = verdict.question
    fixed = fixed_facts(judge.protocol, question.values)
    smallest = smallest_change(judge.protocol, question.values, question.rung, question.tissue, fixed)
    facts = _facts(judge.protocol, verdict)
    return {
        "would_advance_if": _told(judge, verdict, smallest, facts),
        "measure_next": measure_next(judge, verdict, smallest, fixed, facts) if smallest.exact else [],
    }


def fixed_facts(protocol: Protocol, values: Sequence[int | None]) -> list[str]:
    """Known facts that no report can make otherwise: what the injury is, and a risk that was stated as high."""
    fixed = []
    for slot, value in zip(protocol.slots, values, strict=True):
        kind = protocol.facts[slot.fact]
        stated_high = slot.fact == "injury.bone_risk" and value is not None and kind.choices[value] in (HIGH_RISK, "not_bone")
        if stated_high or (value is not None and source(slot.fact, kind.family).who == COURSE):
            fixed.append(slot.fact)
    return sorted(dict.fromkeys(fixed))


def _facts(protocol: Protocol, verdict: Verdict) -> dict[str, Fact]:
    """Of each fact that a rule in scope reads what is known; where its slots differ, why one does not know it."""
    found: dict[str, Fact] = {}
    for slot, fact in zip(protocol.slots, verdict.facts, strict=True):
        if fact is not NOT_READ and (slot.fact not in found or isinstance(fact.value, Unknown)):
            found[slot.fact] = fact
    return found


def _told(judge: Judge, verdict: Verdict, smallest: Smallest, facts: dict[str, Fact]) -> Record:
    protocol = judge.protocol
    if smallest.changes is None:
        texts = sorted({rule.text: None for rule in protocol.rules if rule.id in smallest.standing_in_the_way})
        if verdict.standing.from_step == COMPLETE:
            text = "The ladder is complete; there is no further step."
        elif smallest.exact:
            text = f"Nothing that can change would advance: {'; '.join(texts) or 'no rule advances from this step'}."
        else:
            text = "The smallest change was not found within the limit of the search."
        return {"possible": False, "exact": smallest.exact, "text": text, "changes": [], "rules": list(smallest.standing_in_the_way)}
    changes = [_change(judge, verdict, change, facts[change.fact]) for change in smallest.changes]
    return {
        "possible": True,
        "exact": True,
        "text": f"Would advance if {_clauses(protocol, verdict, smallest.changes, facts)}.",
        "changes": changes,
        "rules": [],
    }


def _change(judge: Judge, verdict: Verdict, change: Change, fact: Fact) -> Record:
    kind = judge.protocol.facts[change.fact]
    asked = asked_for(change.fact, kind.family) if change.now is None else source(change.fact, kind.family)
    told: Record = {
        "fact": change.fact,
        "meaning": kind.meaning,
        "unit": kind.unit,
        "now": None if change.now is None else decoded(kind, change.now),
        "why_unknown": fact.value.reason if isinstance(fact.value, Unknown) else None,
        "to": decoded(kind, change.value),
        "needed": None if kind.kind == "boolean" else needed(kind, change),
        "by": asked.who,
        "report": asked.report,
    }
    if kind.kind == "number":
        told["between"] = [decoded(kind, change.low), decoded(kind, change.high)]
    if kind.kind == "choice":
        told["one_of"] = [kind.choices[choice] for choice in change.choices if kind.choices[choice] != "not_bone"]
    if change.fact == CLEAN_SHORT:
        told["or_reports"] = sorted({s.words: None for s in _would_count(judge, verdict, change.high)})
    return told


def _clauses(protocol: Protocol, verdict: Verdict, changes: Sequence[Change], facts: dict[str, Fact]) -> str:
    by_subject: dict[str, list[tuple[str, str]]] = {}
    counted = any(change.fact == CLEAN_SHORT for change in changes)
    for number, change in enumerate(sorted(changes, key=lambda one: (one.fact.rpartition(".")[0], part(one.fact), one.fact))):
        kind, fact = protocol.facts[change.fact], facts[change.fact]
        why = fact.value.reason if isinstance(fact.value, Unknown) else None
        if why is not None and why[:1].isupper():
            if not counted:
                by_subject.setdefault("\0", [("a clean session were done at the step", "")])
            continue
        subject, rest = wish(kind, change)
        state = now(kind, change, why)
        if change.fact == "rate.room" and verdict.eligible_from is not None:
            state = f"from {verdict.eligible_from.isoformat()}"
        by_subject.setdefault(subject or f"\0{number}", []).append((rest, state))
    clauses = []
    for subject, parts in by_subject.items():
        states = [state for state in dict.fromkeys(state for _, state in parts) if state]
        # Said once where all parts of one subject are in the same state.
        if len(states) <= 1:
            said = joined([rest for rest, _ in parts]) + (f" ({states[0]})" if states else "")
        else:
            said = joined([f"{rest} ({state})" if state else rest for rest, state in parts])
        clauses.append(said if subject.startswith("\0") else f"{subject} {said}")
    return joined(clauses)


def decoded(kind: FactType, value: int) -> Any:
    """From the engines' integer to the fact's own value."""
    if kind.choices:
        return kind.choices[value]
    return bool(value) if kind.kind == "boolean" else plain(value / kind.scale)


def _would_count(judge: Judge, verdict: Verdict, most: int) -> list[Source]:
    """The reports that the last sessions still lack, if with all of them good enough sessions would count."""
    lacking = lacking_reports(judge, verdict)
    if not lacking or short_with(judge.protocol, verdict, [session for session, _ in lacking]) > most:
        return []
    return [one for _, reports in lacking for one in reports]


def told_reports(asked: Iterable[Record]) -> str:
    """The first few of `measure_next` as a sentence, empty where nothing is missing."""
    first = [small(one["text"]) for one in asked][:3]
    return f"What would help most: {', then '.join(first)}." if first else ""
