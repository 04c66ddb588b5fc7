"""What a worker makes of messages: events, or what cannot be read, kept; and whose partitions are whose."""

import os
import socket
from datetime import UTC, datetime

import orjson
import pytest

from services.decision import arrivals
from services.decision.lease import ended, new_owner, partitions_of
from services.decision.ledger import entries
from services.decision.relay import numbered
from services.decision.store.outbox import Waiting
from services.decision.store.rows import OUTSIDE_THE_FOLD, Head, TimerRow
from shared.events import content_digest, parse

EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "urn:test",
    "type": "milepost.wellness.reported",
    "subject": "a",
    "time": "2026-03-02T07:00:00+01:00",
    "tenant": "t",
    "recordedtime": "2026-03-02T06:00:01Z",
    "data": {"sleep_h": 7},
}


def message(**changes):
    return orjson.dumps(EVENT | changes)


def test_an_event_is_read_with_the_digest_of_what_it_says():
    found = arrivals.read(3, 17, message())
    assert (found.partition, found.stream_seq, found.key, found.athlete_key) == (3, 17, ("t", "urn:test", "1"), ("t", "a"))
    assert found.digest == content_digest(EVENT) == arrivals.read(3, 18, message(recordedtime="2026-04-01T00:00:00Z")).digest
    assert found.outside is None


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", ""),
        (b"\xff\xfe", ""),
        (b"[1, 2]", ""),
        (b"null", ""),
        (message(type="milepost.nothing"), "type"),
        (message(data={"sleep_h": "long"}), "data.sleep_h"),
        (message(tenant=None), "tenant"),
        (message(recordedtime=None), "tenant"),
        (message(type="milepost.time.reached", data={"course": "c", "kind": "valid_until", "at": "2026-03-02T07:00:00Z"}), "type"),
        (message(id="\0", source="", subject=3), "id"),
    ],
)
def test_what_cannot_be_read_becomes_a_refused_row_that_can_be_stored(body, path):
    found = arrivals.read(3, 17, body)
    assert found.outside is not None and (found.outside.status, found.outside.path) == ("refused", path)
    writes = entries({3: Head(3, 1, 16, 4)}, [found], {3: 17})
    (row,), (outcome,) = writes.events, writes.outcomes
    assert (row.seq, row.body, outcome.n) == (5, body, OUTSIDE_THE_FOLD)
    assert all(text and "\0" not in text for text in (row.tenant, row.athlete, row.source, row.id, row.type))
    assert writes.after == [Head(3, 1, 17, 5)]
    assert [orjson.loads(told.body)["kind"] for told in writes.outbox] == ["event.refused"]


def test_the_event_of_a_timer_is_the_same_whenever_it_is_noticed_but_for_when_it_was_known():
    timer = TimerRow("t", "c", "valid_until", "a", 3, datetime(2026, 3, 9, tzinfo=UTC))
    first, second = (arrivals.time_reached(timer, datetime(2026, 3, day, 8, tzinfo=UTC)) for day in (9, 12))
    assert (first.key, first.digest, first.time) == (second.key, second.digest, timer.due)
    assert first.event is not None and parse(orjson.loads(first.body), internal=True) == first.event


def test_heads_move_behind_messages_that_bring_nothing():
    writes = entries({3: Head(3, 1, 16, 4), 5: Head(5, 2, 0, 0)}, [], {3: 20})
    assert (writes.before, writes.after) == ([Head(3, 1, 16, 4)], [Head(3, 1, 20, 4)])


def test_a_message_is_its_row_with_its_number_in_front_and_the_decision_behind():
    row = Waiting(17, 0, "t", "a", b'{"kind":"decision","body":{}}')
    decision = Waiting(18, 0, "t", "a", b'{"kind":"decision","seq":4}', b'{"seq":4,"action":"hold"}')
    assert orjson.loads(numbered(decision)) == {"outbox": 18, "kind": "decision", "seq": 4, "body": {"seq": 4, "action": "hold"}}
    assert orjson.loads(numbered(row)) == {"outbox": 17, "kind": "decision", "body": {}}


@pytest.mark.parametrize("lanes", range(1, 9))
def test_every_partition_belongs_to_exactly_one_lane(lanes):
    served = [partition for lane in range(lanes) for partition in partitions_of(lane, lanes)]
    assert sorted(served) == list(range(64))


def test_an_owner_is_known_to_have_ended_only_if_it_ran_here():
    here = socket.gethostname()
    gone = 2**22 + 1  # Beyond the greatest process id of Linux.
    assert ended(f"{here}:{gone}:nonce")
    assert not ended(f"elsewhere:{gone}:nonce")
    assert not ended(f"{here}:{os.getpid()}:nonce")
    assert not ended(new_owner())
    assert not ended("somebody")
