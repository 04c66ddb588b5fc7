"""Judges a run: what was acknowledged, what history holds, what was told. Pure; each fault is a sentence.

After Jepsen's queue checker: acknowledged events that are missing are split by where they are missing, for that says what lost them: a
run at the beginning points to a reader that began too late, one at the end to one that stopped, a hole in the middle to a lost commit.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import orjson

from services.notify.notices import ADVICE_TYPES, advice
from tests.e2e.history import History, Row
from tests.e2e.load import Key, content
from tests.e2e.receiver import Arrival

OWN_SOURCE = "urn:milepost:decision"
SPEAKING = ("milepost.event.corrected", "milepost.event.retracted")


@dataclass(frozen=True)
class Lost:
    """Acknowledged events that are not there, in the order of their acknowledgement."""

    prefix: list[Key]
    middle: list[Key]
    end: list[Key]


@dataclass(frozen=True)
class Sent:
    """What the clients know."""

    acknowledged: Sequence[Key]
    contents: Mapping[Key, bytes]
    courses: Mapping[Key, tuple[str, ...]]
    conflicting: Set[tuple[Key, bytes]]


@dataclass(frozen=True)
class Heard:
    """What the receiver knows."""

    first: Sequence[Arrival]
    counts: Mapping[str, int]
    forged: Sequence[str]


def lost(acknowledged: Sequence[Key], found: Set[Key]) -> Lost:
    """Splits what is missing by where it is missing.

    >>> keys = [("t", "s", str(n)) for n in range(5)]
    >>> split = lost(keys, {keys[1], keys[3]})
    >>> [[key[2] for key in part] for part in (split.prefix, split.middle, split.end)]
    [['0'], ['2'], ['4']]
    """
    places = [place for place, key in enumerate(acknowledged) if key in found]
    first, last = (places[0], places[-1]) if places else (len(acknowledged), len(acknowledged))
    missing = [(place, key) for place, key in enumerate(acknowledged) if key not in found]
    return Lost(
        [key for place, key in missing if place < first],
        [key for place, key in missing if first < place < last],
        [key for place, key in missing if place > last],
    )


def faults(sent: Sent, history: History, heard: Heard) -> list[str]:
    """Everything that breaks nothing-lost or once, in sentences; empty when all is well."""
    found = [*_events(sent, history), *_places(history), *_outcomes(history), *_decisions(sent, history), *_told(history, heard)]
    return found


def _key(row: Row) -> Key:
    return row["tenant"], row["source"], row["id"]


def _events(sent: Sent, history: History) -> Iterator[str]:
    counts = Counter(_key(row) for row in history.events)
    missing = lost(sent.acknowledged, counts.keys())
    for where, keys in (("beginning", missing.prefix), ("middle", missing.middle), ("end", missing.end)):
        if keys:
            yield f"{len(keys)} acknowledged events are lost at the {where}: {_some(keys)}"
    if twice := [key for key, count in counts.items() if count > 1]:
        yield f"{len(twice)} events are in history more than once: {_some(twice)}"
    if unexpected := [key for key in counts if key not in sent.contents and key[1] != OWN_SOURCE]:
        yield f"{len(unexpected)} events are in history that nobody sent: {_some(unexpected)}"
    for row in history.events:
        if row["source"] != OWN_SOURCE and content(orjson.loads(row["body"])) != sent.contents.get(_key(row)):
            yield f"{_key(row)} has another content than was sent first"
    kept = {(_key(row), content(orjson.loads(row["body"]))) for row in history.conflicts}
    if gone := [key for key, digest in sent.conflicting if (key, digest) not in kept]:
        yield f"{len(gone)} accepted contradictions were not kept: {_some(gone)}"


def _places(history: History) -> Iterator[str]:
    numbers: dict[int, list[int]] = defaultdict(list)
    for row in history.events:
        numbers[row["partition"]].append(row["seq"])
    for head in history.heads:
        found = numbers.pop(head["partition"], [])
        if found != list(range(1, head["seq"] + 1)):
            yield f"partition {head['partition']} is not gapless up to its head {head['seq']}: it has {len(found)} events"
    # An athlete has one partition, so that the bus' order kept there is kept for every athlete.
    read: dict[int, list[int]] = defaultdict(list)
    for row in history.events:
        if row["stream_seq"] is not None:
            read[row["partition"]].append(row["stream_seq"])
    if unordered := [partition for partition, places in read.items() if places != sorted(set(places))]:
        yield f"partitions {unordered[:5]} hold events in another order than the bus"
    if numbers:
        yield f"partitions without a head have events: {sorted(numbers)}"
    if history.outbox:
        yield f"{history.outbox} rows are left in the outbox"


def _outcomes(history: History) -> Iterator[str]:
    known = {_key(row) for row in history.events}
    last = last_outcomes(history)
    if nameless := last.keys() - known:
        yield f"outcomes without an event: {_some(sorted(nameless))}"
    if without := known - last.keys():
        yield f"events without an outcome: {_some(sorted(without))}"
    for key, row in last.items():
        if row["status"] not in ("accepted", "refused", "parked") or (row["status"] != "accepted") != bool(row["reason"]):
            yield f"{key} ended as {row['status']!r} with reason {row['reason']!r}"


def last_outcomes(history: History) -> dict[Key, Row]:
    """What became of each event: the outcome with the greatest (seq, n)."""
    return {_key(row): row for row in history.outcomes}


def _decisions(sent: Sent, history: History) -> Iterator[str]:
    outcomes = last_outcomes(history)
    numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
    causes: dict[Key, list[str]] = defaultdict(list)
    ever_accepted = {_key(row) for row in history.outcomes if row["status"] == "accepted"}
    for row in history.decisions:
        numbers[row["tenant"], row["course"]].append(row["seq"])
        causes[row["tenant"], row["cause_source"], row["cause_id"]].append(row["course"])
    latest = {(row["tenant"], row["course"]): row["seq"] for row in history.courses}
    # What speaks of an event that is itself parked touches no course yet; what was taken back before it came never takes effect.
    speaking = [row for row in history.events if row["type"] in SPEAKING]
    silent = {_key(row) for row in speaking}
    for row in speaking:
        if outcomes.get(_key(row), {}).get("status") == "accepted" and (taken_back := orjson.loads(row["body"])["data"].get("retracts")):
            silent.add((row["tenant"], row["source"], taken_back))
    for course, found in numbers.items():
        if found != list(range(1, len(found) + 1)) or latest.get(course) != len(found):
            yield f"decisions of {course} do not count 1 to {latest.get(course)}: {found[:3]} … {found[-1]}"
    if strange := causes.keys() - ever_accepted:
        yield f"decisions whose cause was never accepted: {_some(sorted(strange))}"
    for key, row in outcomes.items():
        made = sorted(causes.get(key, []))
        if key[1] == OWN_SOURCE:
            continue
        allowed = sent.courses.get(key, ())
        if len(set(made)) != len(made) or not set(made) <= set(allowed):
            yield f"{key} made decisions for {made}; expected at most one for each of {sorted(allowed)}"
        if row["status"] == "accepted" and not made and key not in silent:
            yield f"{key} was accepted and made no decision"
        if row["status"] != "accepted" and made:
            yield f"{key} is {row['status']} and made decisions for {made}"


def _told(history: History, heard: Heard) -> Iterator[str]:
    if heard.forged:
        yield f"{len(heard.forged)} webhooks could not be believed: {heard.forged[:3]}"
    yield from _deliveries(history, heard)
    last = {(row["tenant"], row["course"]): orjson.loads(row["body"]) for row in history.decisions}
    told = {(row["tenant"], row["course"]): row for row in history.told}
    arrived: dict[tuple[str, str], list[Arrival]] = defaultdict(list)
    for arrival in heard.first:
        if arrival.type in ADVICE_TYPES:
            arrived[arrival.tenant, arrival.data["course"]].append(arrival)
    for course, decision in last.items():
        row = told.get(course)
        if row is None or row["waiting"] is not None or row["told"] is None:
            yield f"{course} was not told, or something waits still"
        elif orjson.loads(row["told"])["advice"] != advice(decision)._asdict():
            yield f"{course} was last told {orjson.loads(row['told'])['advice']}, and the last decision says {advice(decision)._asdict()}"
        heard_last = arrived[course][-1].data if arrived[course] else None
        if heard_last is None or advice(heard_last) != advice(decision):
            yield f"what the receiver heard last of {course} is not what the last decision says"
        seqs = [arrival.data["seq"] for arrival in arrived[course]]
        if seqs != sorted(seqs):
            yield f"notices of {course} arrived out of order: {seqs}"


def _deliveries(history: History, heard: Heard) -> Iterator[str]:
    planned = {row["notice"] for row in history.deliveries}
    known = {row["id"]: row for row in history.notices}
    if untold := known.keys() - planned:
        yield f"{len(untold)} notices have no delivery: {_some(sorted(untold))}"
    if strange := set(heard.counts) - known.keys():
        yield f"webhooks arrived that no notice stands for: {_some(sorted(strange))}"
    for row in history.deliveries:
        if row["state"] == "delivered" and not heard.counts.get(row["notice"]):
            yield f"notice {row['notice']} counts as delivered and never arrived"
        if row["state"] == "cancelled" and not str(row["because"]).startswith("newer notice "):
            yield f"notice {row['notice']} was cancelled because {row['because']!r}"
        if row["state"] not in ("delivered", "cancelled"):
            yield f"notice {row['notice']} ended as {row['state']}: {row['because']}"
    outboxes = Counter((row["outbox"], row["type"]) for row in history.notices)
    if twice := [one for one, count in outboxes.items() if count > 1]:
        yield f"outbox rows told twice: {twice[:5]}"
    refused = {(row["tenant"], row["source"], row["id"]) for row in history.outcomes if row["status"] == "refused"}
    heard_of = {(a.tenant, a.data["source"], a.data["id"]) for a in heard.first if a.type == "event.refused"}
    if untold_of := refused - heard_of:
        yield f"{len(untold_of)} refusals were not told: {_some(sorted(untold_of))}"
    started = {(a.tenant, a.data["course"]) for a in heard.first if a.type == "course.started"}
    if silent_courses := {(row["tenant"], row["course"]) for row in history.courses} - started:
        yield f"courses whose start was not told: {sorted(silent_courses)[:5]}"


def _some(keys: Iterable[Any]) -> str:
    listed = list(keys)
    return ", ".join(map(str, listed[:5])) + (" …" if len(listed) > 5 else "")
