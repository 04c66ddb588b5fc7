"""A condition with what it found: as it is written in a record, and in a sentence."""

from operator import attrgetter
from typing import Any

from services.decision.core.facts.registry import CATALOGUE
from services.decision.core.outline import Point
from services.decision.core.sentences import sentence, unknown_sentence
from services.decision.core.sessions import Evidence, Fact, Session
from services.decision.core.trivalent import NOT_MET, UNKNOWN, Tri, Unknown
from shared.events.canonical import canonical_record, canonical_text

EVENTS_TOLD = 20
"""Of the events a fact was read from, so many are named."""
LASTING = 64
"""Of so many reasons why a condition is not known the evidence is kept for every course; a pack has a handful."""
AS_PRESCRIBED = "session.as_prescribed"
PRESCRIBED_ON = ("prescribed", "departures", "key")
"""The fields of a session on which `prescribed` rests."""
prescribed_on = attrgetter(*PRESCRIBED_ON)
_VERDICT = tuple(b',"verdict":"%b"}' % tri.word.encode() for tri in Tri)


def cited(point: Point, fact: Fact, tri: Tri) -> Evidence:
    """The evidence of a condition, `tri` being what it says of the fact. One and the same object while the condition is not known, for
    the same reason and without any event to name: that is most of what is told, of any course.
    """
    value, keys = fact.value, fact.keys
    if isinstance(value, Unknown):
        why = value.reason
        if keys:
            return _unknown(point, why, [keys[0][2]] if len(keys) == 1 else event_ids(fact))
        known = point.unknown.get(why)
        if known is None:
            known = _unknown(point, why, [])
            if len(point.unknown) < LASTING:
                point.unknown[why] = known
        return known
    events = [key[2] for key in keys] if len(keys) < 2 else event_ids(fact)
    value = plain(value)
    said = sentence(CATALOGUE[point.fact], value, point.op, point.threshold) if tri is NOT_MET else ""
    written = b'{"events":%b%b%b%b' % (canonical_text(events), point.stem, canonical_text(value), _VERDICT[tri])
    return Evidence(point.fact, tri, (*point.order, events), written, said)


def _unknown(point: Point, why: str, events: list[str]) -> Evidence:
    written = b'{"events":%b%bnull,"verdict":"unknown","why":%b}' % (canonical_text(events), point.stem, canonical_text(why))
    return Evidence(point.fact, UNKNOWN, (*point.order, events), written, unknown_sentence(point.fact, why))


def prescribed(session: Session) -> Evidence:
    """Why a session does not count as done as prescribed, or is not known to be."""
    value, events = session.prescribed.value, [session.key[2]]
    unknown = isinstance(value, Unknown)
    why = value.reason if isinstance(value, Unknown) else "; ".join(session.departures)
    tri = UNKNOWN if unknown else NOT_MET
    record = {
        "fact": AS_PRESCRIBED,
        "value": None if unknown else False,
        "unit": "",
        "op": "=",
        "threshold": True,
        "verdict": tri.word,
        "events": events,
        "why": why,
    }
    said = unknown_sentence(AS_PRESCRIBED, why) if unknown else sentence(CATALOGUE[AS_PRESCRIBED], False, "=", True, why)
    return Evidence(AS_PRESCRIBED, tri, (AS_PRESCRIBED, "=", "True", events), canonical_record(record), said)


def event_ids(fact: Fact) -> list[str]:
    """The latest events a fact was read from, each once, in the fold's order; bounded, so that a record is."""
    keys = sorted(fact.keys)
    # To hash the instants of the keys would take longer than to compare neighbours.
    return [key[2] for n, key in enumerate(keys) if not n or key != keys[n - 1]][-EVENTS_TOLD:]


def plain(value: Any) -> Any:
    """A float without a fraction is written as a whole number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
