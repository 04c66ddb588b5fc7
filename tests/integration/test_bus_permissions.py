"""The services can neither delete what is on the bus nor change how it is kept, and the eraser can delete single messages only."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import nats
import orjson
import pytest

from shared.bus import DECISIONS, EVENTS, Bus, BusRefused, BusUnavailable, event_subject
from shared.settings import Settings

WEAKER: tuple[dict[str, Any], ...] = (
    {"deny_purge": False},
    {"max_age": 1_000_000_000},
    {"max_msgs": 1},
    {"max_bytes": 1},
    {"max_msgs_per_subject": 1},
    {"discard": "old"},
    {"allow_rollup_hdrs": True},
    {"retention": "interest"},
    {"num_replicas": 1},
)
BEYOND = ("STREAM.DELETE", "STREAM.PURGE", "STREAM.SNAPSHOT", "STREAM.RESTORE", "STREAM.PEER.REMOVE", "STREAM.LEADER.STEPDOWN")


async def refused(url: str, asked: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Which of these requests the server does not take from this credential."""
    found: list[str] = []

    async def note(fault: Exception) -> None:
        found.extend(re.findall(r'permissions violation for publish to "\$js\.api\.([^"]+)"', str(fault).lower()))

    client = await nats.connect(url, error_cb=note)
    for subject, body in asked:
        await client.publish(f"$JS.API.{subject}", orjson.dumps(body))
        # A flush asks before it writes what is pending, so the first answer may come before the message was looked at; the second does not.
        await client.flush()
        await client.flush()
    await client.close()
    return [subject for subject, _ in asked if subject.lower() in found]


@pytest.mark.law("nothing-lost")
async def test_a_service_can_neither_delete_what_is_on_the_bus_nor_change_how_it_is_kept(settings: Settings, bus: Bus, owning_bus: Bus):
    stored = await bus.publish(event_subject(1, "a" * 32), b"{}")
    before = {stream: (await bus.api(f"STREAM.INFO.{stream}"))["config"] for stream in (EVENTS, DECISIONS)}
    asked: list[tuple[str, Mapping[str, Any]]] = []
    for stream, declared in before.items():
        asked += [(f"STREAM.UPDATE.{stream}", declared | weaker) for weaker in WEAKER]
        asked += [(f"{api}.{stream}", {}) for api in BEYOND] + [(f"STREAM.MSG.DELETE.{stream}", {"seq": stored.seq})]
    asked += [("STREAM.CREATE.MINE", {"name": "MINE", "subjects": ["mine"]}), ("META.LEADER.STEPDOWN", {})]
    assert await refused(settings.nats_url, asked) == [subject for subject, _ in asked]
    assert {stream: (await bus.api(f"STREAM.INFO.{stream}"))["config"] for stream in before} == before
    assert (await owning_bus.api(f"STREAM.MSG.GET.{EVENTS}", {"seq": stored.seq}))["message"]["seq"] == stored.seq


async def test_the_eraser_deletes_single_messages_and_nothing_else(settings: Settings, bus: Bus):
    stored = await bus.publish(event_subject(1, "b" * 32), b"{}")
    eraser = await Bus.connect(settings.model_copy(update={"nats_url": settings.eraser_nats_url}))
    try:
        declared = (await eraser.api(f"STREAM.INFO.{EVENTS}"))["config"]
        asked = [(f"STREAM.UPDATE.{EVENTS}", declared), *((f"{api}.{EVENTS}", {}) for api in BEYOND)]
        asked += [(f"CONSUMER.DELETE.{DECISIONS}.notify", {})]
        assert await refused(settings.eraser_nats_url, asked) == [subject for subject, _ in asked]
        await eraser.api(f"STREAM.MSG.DELETE.{EVENTS}", {"seq": stored.seq, "no_erase": False})
    finally:
        await eraser.close()


async def test_a_stream_that_a_service_would_have_to_make_is_asked_of_the_migration(bus: Bus, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "shared.bus.bus.STREAMS", [type("Missing", (), {"name": "MISSING", "share": 0.1, "configuration": lambda *_: {}})()]
    )
    with pytest.raises(BusUnavailable, match="MILEPOST_OWNER_NATS_URL"):
        await bus.ensure_streams()
    with pytest.raises(BusRefused, match="run `milepost migrate`"):
        await bus.verify()
