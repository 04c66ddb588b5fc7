"""A NATS server that could lose what it confirmed, or is full, is told apart from one that keeps the contract."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from shared.bus import EVENTS, Bus, BusFull, BusRefused, BusUnavailable, event_subject
from shared.bus.monitor import StoreFacts
from shared.bus.streams import STREAMS
from shared.settings import Settings
from tests.integration.streams import cleared


@pytest.fixture(scope="module")
def careless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A server with JetStream as it comes: it confirms before it syncs."""
    home = tmp_path_factory.mktemp("nats")
    words = [
        Path(sys.executable).with_name("nats-server"),
        "-a",
        "127.0.0.1",
        "-p",
        "-1",
        "-m",
        "-1",
        "-js",
        "-sd",
        home,
        "--ports_file_dir",
        home,
    ]
    with subprocess.Popen(list(map(str, words)), stderr=subprocess.DEVNULL) as server:
        try:
            ports = home / f"nats-server_{server.pid}.ports"
            deadline = monotonic() + 60
            while not (ports.exists() and ports.read_text().endswith("}")):
                assert monotonic() < deadline and server.poll() is None, "nats-server did not start"
                sleep(0.02)
            listening = json.loads(ports.read_text())
            yield Settings(nats_url=listening["nats"][0], nats_monitor_url=listening["monitoring"][0])
        finally:
            server.terminate()


@pytest.fixture
async def bus(careless: Settings) -> AsyncIterator[Bus]:
    bus = await Bus.connect(careless)
    yield bus
    for stream in STREAMS:
        await bus.api(f"STREAM.DELETE.{stream.name}", missing=10059)
    await bus.close()


async def declared(bus: Bus, **changes: Any) -> None:
    await cleared(lambda: bus.api(f"STREAM.CREATE.{EVENTS}", STREAMS[0].configuration(1, 1_000_000) | changes))


@pytest.mark.law("nothing-lost")
async def test_a_server_that_confirms_before_it_syncs_is_refused(bus: Bus):
    await cleared(bus.ensure_streams)
    with pytest.raises(BusRefused, match="sync_interval: always"):
        await bus.verify()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("discard", "old"),
        ("storage", "memory"),
        ("max_age", 3_600_000_000_000),
        ("max_msgs", 10),
        ("max_msgs_per_subject", 1),
        ("max_bytes", -1),
        ("max_msg_size", 100),
        ("allow_atomic", False),
        ("deny_purge", False),
        ("deny_delete", True),
        ("retention", "interest"),
        ("subjects", ["ev.*.*", "other.>"]),
        ("no_ack", True),
    ],
)
async def test_a_stream_that_differs_is_refused_by_the_name_of_the_difference(bus: Bus, field: str, value: Any):
    await declared(bus, **{"allow_direct": True, field: value})
    with pytest.raises(BusRefused, match=rf"stream EVENTS: {field} is .*, expected "):
        await bus.ensure_streams()


def of_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the monitor of a node of three says."""

    async def read(settings: Settings) -> StoreFacts:
        return StoreFacts(sync_always=True, max_storage=10_000_000, replicas=3)

    monkeypatch.setattr("shared.bus.bus.monitor.read", read)


@asynccontextmanager
async def monitored(healthy: Callable[[], bool], jetstream: dict[str, Any]) -> AsyncIterator[str]:
    """The address of a monitor that calls its server well, or still starting."""

    async def healthz(request: web.Request) -> web.Response:
        assert request.query_string == "js-meta-only=true", "what is asked of one stream or of a disk says nothing here"
        return web.Response(status=200 if healthy() else 503)

    async def jsz(request: web.Request) -> web.Response:
        return web.json_response(jetstream)

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/jsz", jsz)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        await server.close()


@asynccontextmanager
async def over(careless: Settings, address: str) -> AsyncIterator[Bus]:
    """A connection to the careless server of which this monitor tells."""
    bus = await Bus.connect(careless.model_copy(update={"nats_monitor_url": address}))
    try:
        yield bus
    finally:
        await bus.close()


KEEPS = {"config": {"sync_always": True, "max_storage": 10_000_000}}


@pytest.mark.parametrize("nodes", [1, 3])
async def test_a_stream_that_a_server_does_not_know_before_it_joined_its_cluster_is_waited_for(careless: Settings, nodes: int):
    """As a node of three that was just started again; one that has joined, or is alone, is believed."""
    well = True
    async with monitored(lambda: well, KEEPS | {"meta_cluster": {"cluster_size": nodes}}) as address, over(careless, address) as bus:
        with pytest.raises(BusRefused, match="stream EVENTS does not exist"):
            await bus.verify()
        well = False
        with pytest.raises(BusUnavailable, match="has not joined its cluster yet"):
            await bus.verify()


async def test_a_stream_that_is_found_once_its_server_joined_is_there(bus: Bus, careless: Settings):
    asked: list[str] = []
    async with monitored(lambda: True, KEEPS) as address, over(careless, address) as joining:
        ask = joining.api

        async def api(subject: str, body: Any = None, timeout: float = 5, missing: int | None = None) -> Any:
            asked.append(subject)
            if len(asked) == 1:
                return None  # Before it joined.
            return await ask(subject, body, timeout, missing)

        joining.api = api  # type: ignore[method-assign]
        for stream in STREAMS:
            await cleared(partial(bus.api, f"STREAM.CREATE.{stream.name}", stream.configuration(1, 1_000_000)))
        await joining.verify()
    assert asked == ["STREAM.INFO.EVENTS"] * 2 + ["STREAM.INFO.DECISIONS"]


async def test_jetstream_that_is_off_while_a_server_starts_is_waited_for_and_refused_once_it_has(careless: Settings):
    well = False
    async with monitored(lambda: well, {"disabled": True}) as address, over(careless, address) as bus:
        with pytest.raises(BusUnavailable, match="is starting"):
            await bus.verify()
        well = True
        with pytest.raises(BusRefused, match="JetStream is not enabled"):
            await bus.verify()


@pytest.mark.law("nothing-lost")
async def test_a_server_that_syncs_nothing_is_refused_though_another_does_not_answer_or_is_off(careless: Settings):
    """What one server does not say hides nothing of what another does."""
    async with monitored(lambda: False, {"disabled": True}) as off:
        for other in (off, "http://127.0.0.1:1"):
            async with over(careless, f"{other},{careless.nats_monitor_url}") as bus:
                with pytest.raises(BusRefused, match="sync_interval: always"):
                    await bus.verify()


def refusing(settings: Settings, host: str) -> str:
    """The address of the servers of every test, with credentials that it does not know."""
    return re.sub(r"//service:[^@]*@[^:]*:", f"//service:wrong@{host}:", settings.nats_url)


@pytest.mark.parametrize("hosts", [["127.0.0.1"], ["127.0.0.1", "localhost"]])
async def test_credentials_that_no_server_accepts_are_refused_and_not_tried_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, hosts: list[str]
):
    wrong = ",".join(refusing(settings, host) for host in hosts)
    monkeypatch.setattr("shared.bus.bus.CONNECT_LIMIT_S", 600)
    with pytest.raises(BusRefused, match="no server accepts the credentials in MILEPOST_NATS_URL"):
        await Bus.connect(settings.model_copy(update={"nats_url": wrong}))


async def test_one_server_that_refuses_the_credentials_leaves_the_others(settings: Settings, careless: Settings):
    """They are tried in any order: one of six would have been refused first but once in 64 runs."""
    for _ in range(6):
        bus = await Bus.connect(careless.model_copy(update={"nats_url": f"{refusing(settings, '127.0.0.1')},{careless.nats_url}"}))
        assert bus.is_ready
        await bus.close()


async def test_streams_are_made_once_the_node_has_joined_its_cluster(bus: Bus, monkeypatch: pytest.MonkeyPatch):
    """Until then a node knows of no stream and calls itself alone, as the server of this test is."""
    of_a_cluster(monkeypatch)
    refused: list[str] = []
    ask = bus.api

    async def api(subject: str, body: Any = None, timeout: float = 5, missing: int | None = None) -> Any:
        if len(refused) == 3 and body is not None:
            made = await cleared(lambda: ask(subject, body | {"num_replicas": 1}, timeout, missing))
            return made | {"config": made["config"] | {"num_replicas": 3}}
        answer = await ask(subject, body, timeout, missing)
        if answer is None and body is not None:
            refused.append(subject)
        return answer

    monkeypatch.setattr(bus, "api", api)
    await bus.ensure_streams()
    assert refused == [f"STREAM.CREATE.{EVENTS}"] * 3
    monkeypatch.undo()
    assert {stream.name for stream in STREAMS} <= set((await bus.api("STREAM.NAMES"))["streams"])


async def test_a_server_alone_beside_the_monitor_of_a_cluster_is_told_apart(bus: Bus, monkeypatch: pytest.MonkeyPatch):
    of_a_cluster(monkeypatch)
    monkeypatch.setattr("shared.bus.bus.JOIN_LIMIT_S", 0.3)
    with pytest.raises(BusRefused, match="names is in none; name the same servers in both"):
        await bus.ensure_streams()


@pytest.mark.law("nothing-lost")
async def test_a_full_stream_says_so_and_keeps_what_it_has(bus: Bus):
    await declared(bus, max_bytes=50_000)
    stored = 0
    with pytest.raises(BusFull):
        for _ in range(100):
            stored = (await bus.publish(event_subject(1, "a"), bytes(1000))).seq
    with pytest.raises(BusFull):
        await bus.publish_batch([(event_subject(1, "a"), bytes(1000))] * 10)
    state = (await bus.api(f"STREAM.INFO.{EVENTS}"))["state"]
    assert (state["first_seq"], state["last_seq"], state["messages"]) == (1, stored, stored)


async def test_a_missing_stream_is_not_there_now_rather_than_refused_for_ever(bus: Bus):
    with pytest.raises(BusUnavailable, match="no stream takes this subject"):
        await bus.publish(event_subject(1, "a"), b"")


async def test_an_answer_from_another_stream_is_not_taken_for_a_confirmation(bus: Bus):
    await bus.api("STREAM.CREATE.OTHER", {"name": "OTHER", "subjects": ["ev.*.*"], "allow_atomic": True})
    try:
        for messages in ([(event_subject(1, "a"), b"")], [(event_subject(1, "a"), b"")] * 3):
            with pytest.raises(BusRefused, match="another stream takes these subjects"):
                await bus.publish_batch(messages)
    finally:
        await bus.api("STREAM.DELETE.OTHER")


async def test_more_batches_at_once_than_the_server_takes_may_be_repeated(bus: Bus):
    await declared(bus, max_bytes=10_000_000)
    for number in range(50):
        # Begun and never committed; the server forgets them after ten seconds.
        headers = {"Nats-Batch-Id": f"left-{number}", "Nats-Batch-Sequence": "1"}
        await bus.client.publish(event_subject(1, "a"), b"", headers=headers)
    with pytest.raises(BusUnavailable, match="too many inflight"):
        await bus.publish_batch([(event_subject(1, "a"), b"")] * 3)


async def test_a_server_that_is_not_there_is_named_within_the_time_limit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shared.bus.bus.CONNECT_LIMIT_S", 0.5)
    begin = monotonic()
    with pytest.raises(BusUnavailable, match="connect to the bus"):
        await Bus.connect(Settings(nats_url="nats://127.0.0.1:1"))
    assert monotonic() - begin < 9


async def test_without_a_monitor_nobody_can_tell_and_the_server_is_refused(bus: Bus, careless: Settings):
    blind = await Bus.connect(Settings(nats_url=careless.nats_url))
    try:
        with pytest.raises(BusRefused, match="MILEPOST_NATS_MONITOR_URL"):
            await blind.verify()
    finally:
        await blind.close()


@pytest.mark.law("nothing-lost")
async def test_nothing_is_confirmed_while_the_contract_is_broken_and_all_is_again_once_it_holds(settings: Settings, owning_bus: Bus):
    bus = await Bus.connect(settings)
    guard = asyncio.create_task(bus.guard(0.05))
    subject = event_subject(0, "a" * 32)
    try:
        await bus.publish(subject, b"{}")
        found = (await bus.api(f"STREAM.INFO.{EVENTS}"))["config"]
        await owning_bus.api(f"STREAM.UPDATE.{EVENTS}", found | {"max_msg_size": 1024})
        stored = await _eventually(bus, subject, BusRefused)
        with pytest.raises(BusRefused, match="max_msg_size is 1024, expected 262144"):
            await bus.publish_batch([(subject, b"{}"), (subject, b"{}")])
        assert await bus.last_seq(EVENTS) == stored
        await owning_bus.api(f"STREAM.UPDATE.{EVENTS}", found)
        await _eventually(bus, subject, None)
    finally:
        guard.cancel()
        await bus.close()


@pytest.mark.law("nothing-lost")
async def test_a_look_that_a_renewed_connection_interrupts_vouches_for_nothing(settings: Settings, owning_bus: Bus):
    watched = await Bus.connect(settings)
    looks: list[int] = []
    looked, seen = watched.verify, asyncio.Event()

    async def verify() -> None:
        looks.append(watched.connections)
        if len(looks) == 1:
            # After everything was asked, and before that is believed.
            await looked()
            await watched._on_connected()
        else:
            with pytest.raises(BusUnavailable, match="connection was renewed"):
                await watched.publish(event_subject(0, "a" * 32), b"{}")
            with pytest.raises(BusUnavailable, match="connection was renewed"):
                await watched.check()
            seen.set()

    watched.verify = verify  # type: ignore[method-assign]
    guard = asyncio.create_task(watched.guard(3600))
    try:
        async with asyncio.timeout(60):
            await seen.wait()
            await watched.connected(60)
        await watched.publish(event_subject(0, "a" * 32), b"{}")
        await watched.check()
    finally:
        guard.cancel()
        await watched.close()
    assert looks == [1, 2]


async def _eventually(bus: Bus, subject: str, fault: type[Exception] | None) -> int:
    """Publishes until it is refused with this fault, or no longer refused; the last sequence of the stream then."""
    deadline = monotonic() + 60
    while True:
        try:
            await bus.publish(subject, b"{}")
            found: type[Exception] | None = None
        except BusRefused:
            found = BusRefused
        if found is fault:
            return await bus.last_seq(EVENTS)
        assert monotonic() < deadline, "the guard did not notice"
        await asyncio.sleep(0.02)
