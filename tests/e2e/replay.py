"""Law same-bytes on real history: every athlete folded again from the stored events must decide, byte for byte, what is stored."""

import json
from collections import defaultdict
from collections.abc import Iterator

import orjson

from services.decision.core.athlete import Athlete
from services.decision.core.decision import ARRIVAL_FIELDS
from services.decision.engines.reference import ReferenceEngine
from services.decision.rules.library import PackLibrary
from services.decision.store.rows import OUTSIDE_THE_FOLD
from shared.events import Event, parse
from tests.e2e.history import History, Row

Folded = list[tuple[Row, Event]]


def differences(history: History) -> Iterator[str]:
    """One sentence for each stored outcome or decision that a replay in the order of arrival does not give, and for each course whose
    last decision says something else when the events come in the order of their times (law any-order).
    """
    packs = PackLibrary(ReferenceEngine())
    outcomes: dict[tuple[str, str, str, int], list[Row]] = defaultdict(list)
    decisions: dict[tuple[str, int, int], list[Row]] = defaultdict(list)
    for row in history.outcomes:
        outcomes[row["tenant"], row["source"], row["id"], row["seq"]].append(row)
    for row in history.decisions:
        decisions[row["tenant"], row["partition"], row["event_seq"]].append(row)
    resolved: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in history.outcomes:
        resolved[row["tenant"], row["seq"]].append(row)
    for (tenant, name), folded in _athletes(history).items():
        athlete = Athlete(packs)
        for row, event in folded:
            receipt = athlete.receive(event, row["digest"])
            (own,) = (one for one in outcomes[tenant, row["source"], row["id"], row["seq"]] if one["n"] <= 0)
            if (own["status"], own["path"], own["reason"]) != (receipt.status, receipt.path, receipt.reason):
                yield f"{tenant} {row['id']}: stored as {own['status']}, replayed as {receipt.status}"
            for change in receipt.resolved:
                stored = [one for one in outcomes[tenant, change.source, change.id, row["seq"]] if one["n"] > 0]
                if [(one["status"], one["path"], one["reason"]) for one in stored] != [(change.status, change.path, change.reason)]:
                    yield f"{tenant} {row['id']}: what it did to {change.id} is stored otherwise"
            made = {(one.course, one.seq): one.encoded for one in receipt.decisions}
            kept = {(one["course"], one["seq"]): one["body"] for one in decisions[tenant, row["partition"], row["seq"]]}
            if made != kept:
                differing = sorted(key for key in made.keys() | kept.keys() if made.get(key) != kept.get(key))
                yield f"{tenant} {row['id']}: decisions {differing} differ between history and replay"
        yield from _any_order(packs, tenant, name, folded, history)


def _athletes(history: History) -> dict[tuple[str, str], Folded]:
    outside = {(row["tenant"], row["source"], row["id"]) for row in history.outcomes if row["n"] == OUTSIDE_THE_FOLD}
    athletes: dict[tuple[str, str], Folded] = defaultdict(list)
    for row in history.events:
        if (row["tenant"], row["source"], row["id"]) not in outside:
            athletes[row["tenant"], row["athlete"]].append((row, parse(orjson.loads(row["body"]), internal=True)))
    return athletes


def _any_order(packs: PackLibrary, tenant: str, name: str, folded: Folded, history: History) -> Iterator[str]:
    athlete, last = Athlete(packs), {}
    for row, event in sorted(folded, key=lambda one: (one[1].time, one[1].source, one[1].id)):
        for made in athlete.receive(event, row["digest"]).decisions:
            last[made.course] = made.body
    stored = {row["course"]: orjson.loads(row["body"]) for row in history.decisions if (row["tenant"], row["athlete"]) == (tenant, name)}
    for course in sorted(last.keys() | stored.keys()):
        if _content(last.get(course, {})) != _content(stored.get(course, {})):
            yield f"{tenant} {course}: the order of arrival changed the recommendation"


def _content(body: dict[str, object]) -> str:
    return json.dumps({name: value for name, value in body.items() if name not in ARRIVAL_FIELDS}, sort_keys=True, default=str)
