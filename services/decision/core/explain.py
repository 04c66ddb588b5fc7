"""Why: the rules that decided, those that block and those that could not be judged, with the facts they read."""

from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter, is_
from typing import Any

from services.decision.core.conditions import each, holds
from services.decision.core.facts.registry import CATALOGUE, find
from services.decision.core.facts.sources import COURSE, source
from services.decision.core.outline import Point, order
from services.decision.core.protocol import Rule
from services.decision.core.sentences import sentence, unknown_sentence
from services.decision.core.sessions import Evidence, Fact, Session
from services.decision.core.telling import Record, Telling, Told
from services.decision.core.trivalent import Tri, Unknown
from services.decision.core.verdict import Judge, Verdict
from shared.events.canonical import canonical_record

CLEAN_SHORT = "step.clean_sessions_short"
EVENTS_TOLD = 20
"""Of the events a fact was read from, so many are named."""
SESSIONS_TOLD = 2
"""Of the sessions at a step, so many are explained."""
ALWAYS = (Tri.MET, Tri.NOT_MET, Tri.UNKNOWN)
OPEN = (Tri.NOT_MET, Tri.UNKNOWN)
VOTING = (Tri.MET, Tri.UNKNOWN)
_NO_EVIDENCE = b'"evidence":[]'


def evidence(point: Point, fact: Fact, verdict: Tri) -> Record:
    """One condition with what it found."""
    value, keys = fact.value, fact.keys
    found: Record = dict(point.form)
    if isinstance(value, Unknown):
        found["why"] = value.reason
    else:
        found["value"] = plain(value)
    found["verdict"] = verdict.word
    found["events"] = [key[2] for key in keys] if len(keys) < 2 else event_ids(fact)
    return found


def event_ids(fact: Fact) -> list[str]:
    """The latest events a fact was read from, each once, in the fold's order; bounded, so that a record is."""
    return [key[2] for key in sorted(dict.fromkeys(fact.keys))[-EVENTS_TOLD:]]


def plain(value: Any) -> Any:
    """A float without a fraction is written as a whole number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def reasons(judge: Judge, verdict: Verdict) -> Telling:
    """The rules that decided, block, or have unknown conditions, by id."""
    scope, recall = verdict.scope, verdict.recall
    # Where the line has looked again since, what it tells is of other facts.
    telling = recall.telling if recall.facts is verdict.facts else Telling(dict.fromkeys(range(len(scope.rules))))
    advancing = verdict.standing.action == "advance"
    sessions = verdict.view.course.at_step[-SESSIONS_TOLD:]
    if advancing is not telling.advancing or not _alike(sessions, telling.sessions):
        telling.advancing, telling.sessions = advancing, sessions
        telling.stale.update(dict.fromkeys(scope.advancing))
    if telling.stale:
        _tell_anew(judge, verdict, telling, advancing)
    return telling


def _tell_anew(judge: Judge, verdict: Verdict, telling: Telling, advancing: bool) -> None:
    verdicts, of_rule = verdict.question.answer.verdicts, telling.of_rule
    for n in telling.stale:
        place, rule = verdict.scope.rules[n]
        tri = verdicts[place]
        wanted: tuple[Tri, ...] = ()
        if rule.kind == "advance":
            wanted = ALWAYS if advancing else () if tri is Tri.MET else OPEN
        elif tri is Tri.MET or (tri is Tri.UNKNOWN and rule.unknown == "hold"):
            wanted = VOTING
        if wanted:
            of_rule[rule.id] = _told(judge, verdict, rule, tri, wanted, telling)
        else:
            of_rule.pop(rule.id, None)
    telling.stale = {}
    telling.told = [of_rule[id] for id in sorted(of_rule)]


def _alike(one: Sequence[Session], other: Sequence[Session]) -> bool:
    return len(one) == len(other) and all(map(is_, one, other))


def _read(judge: Judge, verdict: Verdict, rule: Rule, wanted: Sequence[Tri], telling: Telling) -> list[Evidence]:
    """The conditions of a rule whose verdict is one of `wanted`; of an `AnyOf` every branch that shares its verdict."""
    values, facts = verdict.question.values, verdict.facts
    said, points = each(rule.when, values), judge.outlines[rule.id]
    found: list[Evidence] = []
    for n, (entry, alternative, condition, _) in enumerate(points):
        tri = said[entry]
        if tri in wanted and (not alternative or holds(condition, values) is tri):
            found.append(_kept(telling, (rule.id, n), points[n], facts[condition.slot], tri))
    return found


def _kept(telling: Telling, name: tuple[str, int], point: Point, fact: Fact, tri: Tri) -> Evidence:
    """The evidence as it was told last, where it is of the same fact."""
    known = telling.evidence.get(name)
    if known is None or known[0] is not fact or known[1] is not tri:
        known = telling.evidence[name] = (fact, tri, as_told(evidence(point, fact, tri)))
    return known[2]


def as_told(record: Record) -> Evidence:
    """The evidence as it is written and said."""
    fact, verdict = record["fact"], record["verdict"]
    said = ""
    if verdict == "unknown":
        said = unknown_sentence(fact, record["why"])
    elif verdict == "not_met":
        said = sentence(CATALOGUE[fact], record)
    return Evidence(fact, verdict, (*order(record), record["events"]), record, canonical_record(record), said)


def _told(judge: Judge, verdict: Verdict, rule: Rule, tri: Tri, wanted: Sequence[Tri], telling: Telling) -> Told:
    found = _read(judge, verdict, rule, wanted, telling)
    if rule.kind == "advance" and CLEAN_SHORT in [one.fact for one in found if one.verdict == "not_met"]:
        known = [one.fact for one in found if one.verdict == "unknown"]
        for one in unclean(judge, verdict, telling):
            if one.fact not in known and one.encoded not in [other.encoded for other in found if other.fact == one.fact]:
                found.append(one)
        found.sort(key=attrgetter("order"))
    head, before, behind = _head(judge, rule, tri)
    reason = {**head, "evidence": [one.record for one in found]}
    outcome = head["outcome"]
    protects, open_still = outcome in ("hold", "regress", "refer"), outcome in ("not_met", "unknown")
    short: tuple[tuple[str, str], ...] = ()
    if open_still:
        asked = [one for one in found if not _for_whom(one.fact)] or found
        short = tuple([(one.fact, one.said) for one in asked if one.verdict == "not_met"])
    return Told(
        reason,
        b"".join((before, b",".join([one.encoded for one in found]), behind)),
        rule.text if protects else None,
        tuple([one.fact for one in found if one.verdict == "met"]) if protects else (),
        short,
        tuple([one.said for one in found if one.verdict == "unknown"]),
    )


def _head(judge: Judge, rule: Rule, tri: Tri) -> tuple[Record, bytes, bytes]:
    """A reason without its evidence, and what is written of it before the evidence and behind."""
    head = judge.heads.get((rule.id, tri))
    if head is None:
        reason = headed(rule, tri, [])
        before, _, behind = canonical_record(reason).partition(_NO_EVIDENCE)
        head = judge.heads[rule.id, tri] = (reason, before + _NO_EVIDENCE[:-1], b"]" + behind)
    return head


def reasoned(found: Sequence[Record]) -> Sequence[Record]:
    """The evidence without what only says for whom a rule asks something else, as the side or the site of the injury; all of it where
    there is nothing else. That not both sides are injured is no reason why somebody does not advance.
    """
    return [one for one in found if not _for_whom(one["fact"])] or found


@lru_cache(maxsize=4096)
def _for_whom(fact: str) -> bool:
    kind = CATALOGUE.get(fact)
    return kind is not None and source(fact, kind.family).who == COURSE


def headed(rule: Rule, tri: Tri, found: list[Record]) -> Record:
    """A rule with its words, its source and the evidence. `outcome` is the kind of a rule that is met, else `not_met` or `unknown`."""
    return {
        "rule": rule.id,
        "outcome": rule.kind if tri is Tri.MET else tri.word,
        "text": rule.text,
        "citation": sorted(rule.cite),
        "grade": rule.grade,
        "evidence": found,
    }


def unclean(judge: Judge, verdict: Verdict, telling: Telling) -> list[Evidence]:
    """What the last sessions at the step lacked to count, where sessions are still missing."""
    return [one for session in verdict.view.course.at_step[-SESSIONS_TOLD:] for one in lacks(judge, session, telling)]


def lacks(judge: Judge, session: Session, telling: Telling) -> list[Evidence]:
    """What a session lacks to count. Found once, for a session is told of in many decisions."""
    found: list[Evidence] = session.lacks
    if not found:
        if session.prescribed.value is not True:
            found.append(as_told(_prescribed(session)))
        if session.clean is not Tri.MET:
            facts, values = judge.session_facts(session), judge.session_values(session)
            for n, point in enumerate(judge.clean_outline):
                tri = holds(point.condition, values)
                if tri is not Tri.MET:
                    found.append(_kept(telling, (session.id, ~n), point, facts[point.condition.slot], tri))
    return found


def _prescribed(session: Session) -> Record:
    value = session.prescribed.value
    unknown = isinstance(value, Unknown)
    return {
        "fact": "session.as_prescribed",
        "value": None if unknown else False,
        "unit": "",
        "op": "=",
        "threshold": True,
        "verdict": "unknown" if unknown else "not_met",
        "events": [session.key[2]],
        "why": value.reason if isinstance(value, Unknown) else "; ".join(session.departures),
    }


def blocking(verdict: Verdict, told: Sequence[Told]) -> list[str]:
    """What is known and still stands in the way: protective rules that are met, and advance conditions that are not.

    A fact of which a protective rule has spoken is not told again.
    """
    if verdict.standing.action == "advance":
        return []
    spoken = dict.fromkeys(fact for one in told for fact in one.spoken)
    ways = dict.fromkeys(one.way for one in told if one.way is not None)
    ways |= dict.fromkeys(sentence for one in told for fact, sentence in one.short if fact not in spoken)
    return sorted(ways)


def missing(verdict: Verdict, told: Sequence[Told]) -> list[str]:
    """What is not known and would be needed to advance, each in a sentence and once."""
    if verdict.standing.action == "advance":
        return []
    return sorted(dict.fromkeys(sentence for one in told for sentence in one.unknown))


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
