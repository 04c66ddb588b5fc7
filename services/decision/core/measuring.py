"""What to measure next: the missing reports, ordered by how much each would help."""

from collections.abc import Mapping, Sequence

from services.decision.core.conditions import flat, holds
from services.decision.core.counterfactual import Search, Smallest
from services.decision.core.explain import CLEAN_SHORT, SESSIONS_TOLD
from services.decision.core.facts.progress import clean_needed, clean_sessions
from services.decision.core.facts.sources import ORDER, SESSION, Source, asked_for
from services.decision.core.facts.words import capital
from services.decision.core.protocol import FactType, Protocol
from services.decision.core.sessions import Fact, Session
from services.decision.core.telling import Record
from services.decision.core.trivalent import Tri, Unknown
from services.decision.core.verdict import Judge, Verdict

SEVERITY = ("advance", "hold", "regress", "refer")


def measure_next(judge: Judge, verdict: Verdict, smallest: Smallest, fixed: Sequence[str], facts: Mapping[str, Fact]) -> list[Record]:
    """One entry per missing report.

    `saves`: by how many facts the smallest change gets shorter if the report is good. `settles`: how many rules stop being unknown.
    `at_worst`: what would be decided if it were as bad as can be. In this order they rank; then the athlete is asked before the clinician.
    """
    protocol, question = judge.protocol, verdict.question
    groups: dict[str, tuple[Source, list[str]]] = {}
    for fact in dict.fromkeys(protocol.slots[c.slot].fact for rule, _ in verdict.scoped for c in flat(rule.when)):
        value = facts[fact].value
        if isinstance(value, Unknown) and fact not in fixed:
            # A reason that is a sentence of its own says that no session has been done.
            asked = SESSION if value.reason[:1].isupper() else asked_for(fact, protocol.facts[fact].family)
            groups.setdefault(asked.report, (asked, []))[1].append(fact)
    lacking = lacking_reports(judge, verdict)
    for _, reports in lacking:
        for asked in reports:
            groups.setdefault(asked.report, (asked, []))
    told: list[Record] = []
    for report, (asked, names) in sorted(groups.items()):
        counted = [session for session, reports in lacking if all(one.report == report for one in reports)]
        short = short_with(protocol, verdict, counted)
        values = [
            max(short - (report == SESSION.report), 0) if slot.fact == CLEAN_SHORT and value is not None else value
            for slot, value in zip(protocol.slots, question.values, strict=True)
        ]
        left = Search(protocol, values, question.rung, question.tissue, fixed, names).fewest()
        saves = smallest.cost[0] - left if smallest.changes is not None and left is not None else 0
        told.append(_told(judge, verdict, asked, names, saves, smallest))
    return sorted([one for one in told if one["saves"] or one["settles"]], key=_rank)


def _rank(told: Record) -> tuple[int, int, int, int, str]:
    return -told["saves"], -told["settles"], -SEVERITY.index(told["at_worst"]), ORDER.index(told["by"]), told["report"]


def _told(judge: Judge, verdict: Verdict, asked: Source, names: Sequence[str], saves: int, smallest: Smallest) -> Record:
    protocol, question = judge.protocol, verdict.question
    slots = protocol.slots
    unknown_in = [
        [slots[c.slot].fact for c in flat(rule.when) if question.values[c.slot] is None]
        for rule, tri in verdict.scoped
        if tri is Tri.UNKNOWN and (rule.kind == "advance" or rule.unknown == "hold")
    ]
    worst = [
        _worst(protocol.facts[slot.fact]) if slot.fact in names and value is None else value
        for slot, value in zip(slots, question.values, strict=True)
    ]
    return {
        "report": asked.report,
        "text": capital(asked.words),
        "by": asked.who,
        "facts": sorted(names),
        "saves": saves,
        "settles": sum(1 for unknown in unknown_in if all(fact in names for fact in unknown)),
        "enough": 0 < smallest.cost[0] <= saves,
        "at_worst": judge.engine.judge(protocol, worst, question.rung, question.tissue).action,
    }


def _worst(kind: FactType) -> int:
    if kind.kind == "boolean":
        return 0 if kind.worse == "false" else 1
    return kind.bottom if kind.worse == "lower" else kind.top


def lacking_reports(judge: Judge, verdict: Verdict) -> list[tuple[Session, list[Source]]]:
    """The last sessions at the step that lack nothing but reports to count, with those reports."""
    protocol = judge.protocol
    found: list[tuple[Session, list[Source]]] = []
    for session in verdict.view.course.at_step[-SESSIONS_TOLD:]:
        if session.clean is Tri.UNKNOWN and session.prescribed.value is True:
            values = judge.session_values(session)
            unknown = [protocol.slots[c.slot].fact for c in flat(protocol.clean) if holds(c, values) is Tri.UNKNOWN]
            found.append((session, list(dict.fromkeys(asked_for(fact, protocol.facts[fact].family) for fact in unknown))))
    return found


def short_with(protocol: Protocol, verdict: Verdict, counted: Sequence[Session]) -> int:
    """Clean sessions still short at the step if these were clean."""
    course = verdict.view.course.copy()
    keys = [session.key for session in counted]
    course.judged = tuple(_clean(s) if s.key in keys else s for s in course.judged)
    return max(clean_needed(course) - len(clean_sessions(course, protocol.progress)), 0)


def _clean(session: Session) -> Session:
    found = session.but()
    found.judged(Tri.MET)
    return found
