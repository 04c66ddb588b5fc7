"""While a node of three is down the others are looked at without it, as strictly as before."""

import asyncio
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from shared.bus import Bus, BusError, BusRefused, BusUnavailable, event_subject, monitor
from shared.bus.bus import UNSEEN_S
from shared.bus.monitor import StoreFacts
from shared.durability import NODES_DOWN, Durability
from shared.settings import Settings
from tests.integration.decision.feeding import until

SILENT, HEARD = 60_000_000_000, 100_000_000
SUBJECT = event_subject(0, "a" * 32)


@dataclass
class Trio:
    """Monitors of a cluster that n0 leads, `active_ns` after n2 was last heard; n2 itself answers as long as it is told to."""

    addresses: dict[str, str] = field(default_factory=dict)
    lazy: set[str] = field(default_factory=set)
    off: set[str] = field(default_factory=set)
    unwell: set[str] = field(default_factory=set)
    mute: set[str] = field(default_factory=lambda: {"n2"})
    active_ns: int = SILENT
    stream_active_ns: int = SILENT
    instead: str = "nothing"

    @property
    def url(self) -> str:
        return ",".join(self.addresses.values())

    def answer(self, name: str, path: str) -> web.Response:
        if name in self.mute:
            if self.instead == "the beginning":
                # As much of an answer as a server sends that is killed meanwhile.
                return web.Response(headers={"Content-Length": "1000"}, body=b"{")
            return web.Response(status=502) if self.instead == "nothing" else web.json_response(["something else"])
        group = {"leader": "n0", "cluster_size": 3} | ({"replicas": self.peers(self.active_ns)} if name == "n0" else {})
        if path == "jsz" and name in self.off:
            return web.json_response({"disabled": True})
        if path == "jsz":
            return web.json_response({"config": {"sync_always": name not in self.lazy, "max_storage": 1_000}, "meta_cluster": group})
        if path == "varz":
            # Asked before JetStream started, which leaves out how that is set for ever.
            return web.json_response({"server_name": name, "jetstream": {"meta": group}})
        return web.Response(status=503 if name in self.unwell else 200)

    def peers(self, active_ns: int) -> list[dict[str, Any]]:
        return [{"name": "n1", "current": True, "active": HEARD}, {"name": "n2", "current": active_ns < SILENT, "active": active_ns}]


@pytest.fixture
async def trio() -> AsyncIterator[Trio]:
    trio = Trio()
    async with AsyncExitStack() as stack:
        for name in ("n0", "n1", "n2"):
            app = web.Application()

            async def answer(request: web.Request, name: str = name) -> web.Response:
                return trio.answer(name, request.path.strip("/"))

            app.router.add_get("/{path}", answer)
            server = TestServer(app, host="127.0.0.1")
            await server.start_server()
            stack.push_async_callback(server.close)
            trio.addresses[name] = f"http://127.0.0.1:{server.port}"
        yield trio


@asynccontextmanager
async def watched(settings: Settings, trio: Trio) -> AsyncIterator[Bus]:
    """The server of every test, told of as if it were the cluster's: only the streams' replicas are put on."""
    bus = await Bus.connect(settings.model_copy(update={"nats_monitor_url": trio.url}))
    ask = bus.api

    async def api(subject: str, body: Any = None, timeout: float = 5, missing: int | None = None) -> Any:
        answer = await ask(subject, body, timeout, missing)
        if subject.startswith("STREAM.INFO."):
            answer["config"]["num_replicas"] = 3
            answer["cluster"] = {"leader": "n0", "replicas": trio.peers(trio.stream_active_ns)}
        return answer

    bus.api = api  # type: ignore[method-assign]
    try:
        yield bus
    finally:
        await bus.close()


@pytest.mark.parametrize("instead", ["nothing", "the beginning", "something else"])
async def test_what_is_known_of_a_cluster_is_of_the_nodes_that_answer(trio: Trio, instead: str):
    trio.instead = instead
    facts = await monitor.read(Settings(nats_monitor_url=trio.url))
    answering = trio.addresses["n0"], trio.addresses["n1"]
    assert facts == StoreFacts(True, 1_000, 3, answering, frozenset({"n2"}), frozenset({"n0", "n1"}))


@pytest.mark.law("nothing-lost")
async def test_a_node_that_is_heard_is_waited_for_though_it_is_only_a_streams_leader_that_hears_it(
    bus: Bus, settings: Settings, trio: Trio
):
    async with watched(settings, trio) as watching:
        await watching.verify()
        trio.stream_active_ns = HEARD
        with pytest.raises(BusUnavailable, match="n2 takes part in the cluster, or did 3 s ago, and cannot be looked at"):
            await watching.verify()
        trio.active_ns, trio.stream_active_ns = HEARD, SILENT
        with pytest.raises(BusUnavailable, match="n2 takes part in the cluster, or did 3 s ago, and cannot be looked at"):
            await watching.verify()


@pytest.mark.law("nothing-lost")
@pytest.mark.parametrize("active_ns", [SILENT, HEARD])
async def test_a_node_that_syncs_nothing_is_refused_though_another_is_down(settings: Settings, trio: Trio, active_ns: int):
    trio.lazy, trio.active_ns = {"n1"}, active_ns
    async with watched(settings, trio) as watching:
        with pytest.raises(BusRefused, match="sync_interval: always"):
            await watching.verify()


async def test_a_node_whose_jetstream_starts_while_another_is_down_is_waited_for(trio: Trio):
    """As both are after a loss of power: one still away, and one whose JetStream came between two questions."""
    trio.off = {"n1"}
    with pytest.raises(BusUnavailable, match="monitor does not answer"):
        await monitor.read(Settings(nats_monitor_url=trio.url))


async def test_whether_a_missing_stream_is_believed_is_asked_of_the_nodes_that_answer(settings: Settings, trio: Trio):
    async with watched(settings, trio) as watching:

        async def api(*_: Any, **__: Any) -> None:
            return None

        watching.api = api  # type: ignore[method-assign]
        with pytest.raises(BusRefused, match="stream EVENTS does not exist"):
            await watching.verify()
        trio.unwell = {"n1"}
        with pytest.raises(BusUnavailable, match="has not joined its cluster yet"):
            await watching.verify()


async def test_a_stream_that_finds_no_room_is_told_which_node_is_down(settings: Settings, trio: Trio):
    async with watched(settings, trio) as watching:

        async def made(name: str, declared: Any) -> Any:
            raise BusRefused("no suitable peers for placement")

        watching._found_or_made = made  # type: ignore[method-assign]
        with pytest.raises(BusUnavailable, match=r"EVENTS could not be made \(no suitable peers.*n2 is down.*start it, then try again"):
            await watching.ensure_streams()


@pytest.mark.law("nothing-lost")
async def test_nothing_is_published_while_a_node_that_was_down_takes_part_and_was_not_looked_at(settings: Settings, trio: Trio):
    async with watched(settings, trio) as watching:
        guard = asyncio.create_task(watching.guard(0.02))
        try:
            await until(said(watching, "stored", {"n2"}))
            trio.active_ns = HEARD
            await until(said(watching, "n2 takes part in the cluster", {"n2"}))
            trio.mute = set()
            await until(said(watching, "stored", set()))
            trio.lazy = {"n2"}
            await until(said(watching, "sync_interval: always", set()))
        finally:
            guard.cancel()


async def test_a_node_that_is_yet_to_be_found_down_stops_nothing_on_a_connection_that_was_looked_at(settings: Settings, trio: Trio):
    """The leaders miss it one after the other, and each node was seen to sync."""
    trio.mute = set()
    looks = 0

    def looked() -> None:
        nonlocal looks
        looks += 1

    async with watched(settings, trio) as watching:
        guard = asyncio.create_task(watching.guard(0.02, looked))
        try:
            await until(said(watching, "stored", set()))
            trio.mute, trio.stream_active_ns, looks = {"n2"}, HEARD, 0
            while looks < 5:
                await watching.publish(SUBJECT, b"{}", timeout=60)
            trio.stream_active_ns = SILENT
            while watching.down != {"n2"}:
                await watching.publish(SUBJECT, b"{}", timeout=60)
        finally:
            guard.cancel()


@pytest.mark.law("nothing-lost")
async def test_nothing_is_published_where_looks_have_failed_for_long(settings: Settings, trio: Trio, monkeypatch: pytest.MonkeyPatch):
    """A node may have come back with other settings between two looks, and so never have been found down."""
    clock, looks = [0.0], [0]
    monkeypatch.setattr("shared.bus.bus.monotonic", lambda: clock[0])
    trio.mute = set()

    def looked() -> None:
        looks[0] += 1

    async def three_looks() -> None:
        before = looks[0]

        async def over() -> bool:
            return looks[0] > before + 3

        await until(over)

    async with watched(settings, trio) as watching:
        guard = asyncio.create_task(watching.guard(0.02, looked))
        try:
            await until(said(watching, "stored", set()))
            clock[0] += UNSEEN_S + 1
            await three_looks()
            trio.mute, trio.active_ns = {"n2"}, HEARD
            await three_looks()
            assert await said(watching, "stored", set())(), "all were seen a moment ago"
            clock[0] += UNSEEN_S + 1
            await until(said(watching, "n2 takes part in the cluster", set()))
            trio.mute = set()
            await until(said(watching, "stored", set()))
        finally:
            guard.cancel()


@pytest.mark.law("nothing-lost")
async def test_nothing_is_published_where_a_look_ends_in_what_nobody_expected(
    settings: Settings, trio: Trio, everything_said: list[MutableMapping[str, Any]]
):
    trio.mute = set()
    async with watched(settings, trio) as watching:
        looked, looks = watching.verify, 0
        faults = [KeyError("config")]

        async def verify() -> None:
            nonlocal looks
            looks += 1
            if faults:
                raise faults[0]
            await looked()

        async def thrice() -> bool:
            return looks > 3

        watching.verify = verify  # type: ignore[method-assign]
        guard = asyncio.create_task(watching.guard(0.02))
        try:
            await until(said(watching, "the bus could not be looked at (KeyError)", set()))
            await until(thrice)
            faults.clear()
            await until(said(watching, "stored", set()))
        finally:
            guard.cancel()
    told = [line["event"] for line in everything_said if "bus" in line["event"] or "published" in line["event"]]
    assert told == [
        "the bus could not be looked at",
        "nothing is published until the bus was looked at again",
        "the bus keeps its durability contract",
    ]


@pytest.mark.law("nothing-lost")
async def test_nothing_is_published_where_a_look_does_not_end(settings: Settings, trio: Trio, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shared.bus.bus.UNSEEN_S", 0.1)
    trio.mute = set()
    async with watched(settings, trio) as watching:
        ended = asyncio.Event()

        async def verify() -> None:
            await ended.wait()

        watching.verify = verify  # type: ignore[method-assign]
        guard = asyncio.create_task(watching.guard(0.02))
        try:
            await until(said(watching, "the bus could not be looked at in time", set()))
            ended.set()
            await until(said(watching, "stored", set()))
        finally:
            guard.cancel()


def said(bus: Bus, words: str, down: set[str]) -> Any:
    async def found() -> bool:
        try:
            await bus.publish(SUBJECT, b"{}")
            answer = "stored"
        except BusError as fault:
            answer = str(fault)
        return words in answer and bus.down == down

    return found


@pytest.fixture
def everything_said() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged, whatever level tests before this one have asked for."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(0))
    try:
        with capture_logs() as logs:
            yield logs
    finally:
        structlog.configure(**before)


async def test_a_node_that_is_down_is_told_of_once_and_measured(
    engine: AsyncEngine, settings: Settings, trio: Trio, everything_said: list[MutableMapping[str, Any]]
):
    looks = 0

    async def counted(*_: Any, **__: Any) -> None:
        nonlocal looks
        looks += 1

    async with watched(settings, trio) as watching, Durability(engine, watching, 0.02, counted).held():

        async def measured() -> bool:
            return NODES_DOWN._value.get() == 1 and looks > 5

        await until(measured)
        trio.mute = set()

        async def none() -> bool:
            return NODES_DOWN._value.get() == 0

        await until(none)
    told = [(line["log_level"], line.get("nodes")) for line in everything_said if "NATS cluster" in line["event"]]
    assert told == [("warning", ["n2"]), ("info", None)]
