"""Law nothing-lost on a cluster of three: what was confirmed stays, in order, though the stream's leader is killed under load, and a
node that is down stops nobody."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

import pytest

from shared.bus import EVENTS, Bus, BusError, event_subject
from shared.settings import Settings
from tests.integration.ports import free_ports

SENDERS = 8
WITHIN_S = 180


class Node:
    """One server of the cluster; keeps its store when it is killed."""

    def __init__(self, home: Path, name: str, ports: tuple[int, int, int], routes: list[int]) -> None:
        self.name = name
        self.client, self.monitor, cluster = ports
        self._home = home / name
        self._home.mkdir()
        routed = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        self._cluster = f'cluster {{ name: trial, listen: "127.0.0.1:{cluster}", routes: [{routed}] }}'
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, sync_interval: str = "always", monitored: bool = True) -> None:
        (self._home / "conf").write_text(
            f'server_name: {self.name}\nlisten: "127.0.0.1:{self.client}"\n'
            + (f'http: "127.0.0.1:{self.monitor}"\n' if monitored else "")
            + f'jetstream {{ store_dir: "{self._home}", sync_interval: {sync_interval}, max_file_store: 1GB }}\n{self._cluster}\n'
        )
        words = [str(Path(sys.executable).with_name("nats-server")), "-c", str(self._home / "conf"), "-l", str(self._home / "log")]
        self.process = subprocess.Popen(words)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)


@contextmanager
def three_at_work(home: Path) -> Iterator[list[Node]]:
    ports = free_ports(9)
    found = [Node(home, f"n{n}", (ports[n], ports[3 + n], ports[6 + n]), ports[6:]) for n in range(3)]
    for node in found:
        node.start()
    yield found
    for node in found:
        node.kill()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    """A cluster at work; a test leaves it as it found it."""
    with three_at_work(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture(scope="module")
def cluster(nodes: list[Node]) -> Settings:
    return Settings(
        nats_url=",".join(f"nats://127.0.0.1:{node.client}" for node in nodes),
        nats_monitor_url=",".join(f"http://127.0.0.1:{node.monitor}" for node in nodes),
    )


@pytest.mark.law("nothing-lost")
@pytest.mark.timeout(600)
async def test_what_a_cluster_confirmed_outlives_its_leader_killed_under_load(nodes: list[Node], cluster: Settings):
    bus = await formed(cluster)
    confirmed: dict[int, list[int]] = {sender: [] for sender in range(SENDERS)}
    ending = asyncio.Event()

    async def sends(sender: int) -> None:
        number = 0
        while not ending.is_set():
            try:
                await bus.publish(event_subject(sender, "a" * 32), b"%d" % number, timeout=2)
            except BusError:
                # Unknown: sent again under the same number, as a reader that knows numbers can bear.
                await asyncio.sleep(0.05)
                continue
            confirmed[sender].append(number)
            number += 1

    async with asyncio.TaskGroup() as tasks:
        for sender in range(SENDERS):
            tasks.create_task(sends(sender))
        await grown(confirmed, 25)
        leader = await leading(bus, nodes)
        leader.kill()
        try:
            await grown(confirmed, 25)
        finally:
            leader.start()
        await grown(confirmed, 10)
        ending.set()
    await bus.close()
    await held(cluster, confirmed)


@pytest.mark.law("nothing-lost")
@pytest.mark.timeout(600)
async def test_a_cluster_takes_what_is_published_while_a_node_is_down_and_nothing_once_it_is_back_and_not_seen_to_sync(
    nodes: list[Node], cluster: Settings
):
    """The node is the one of the connection, which is renewed and so has to be looked at again before anything is published."""
    bus = await formed(cluster)
    guard = asyncio.create_task(bus.guard(0.2))
    assert bus.client.connected_url is not None
    node = next(node for node in nodes if node.client == bus.client.connected_url.port)
    try:
        node.kill()
        await said_of_publishing(bus, "stored")
        assert bus.connections > 1 and bus.down == {node.name}
        further = await formed(cluster)
        await said_of_publishing(further, "stored")
        await further.close()
        node.start(monitored=False)
        await said_of_publishing(bus, "monitor does not answer")
        node.kill()
        node.start(sync_interval="2m")
        await said_of_publishing(bus, "sync_interval: always")
        assert bus.breach is not None
        node.kill()
        node.start()
        await said_of_publishing(bus, "stored")
    finally:
        guard.cancel()
        await bus.close()
        node.kill()
        node.start()


async def leading(bus: Bus, nodes: list[Node]) -> Node:
    """The node that leads the stream, once one does and says so."""
    deadline = monotonic() + WITHIN_S
    while True:
        with suppress(BusError):
            info = await bus.api(f"STREAM.INFO.{EVENTS}")
            assert info["config"]["num_replicas"] == 3
            for node in nodes:
                if node.name == info["cluster"].get("leader"):
                    return node
        assert monotonic() < deadline, "nobody leads the stream"
        await asyncio.sleep(0.2)


async def said_of_publishing(bus: Bus, words: str) -> None:
    """Publishes until that is what comes of it, five times in a row."""
    deadline, row = monotonic() + WITHIN_S, 0
    while row < 5:
        try:
            await bus.publish(event_subject(0, "a" * 32), b"{}", timeout=3)
            said = "stored"
        except BusError as fault:
            said = str(fault)
        row = row + 1 if words in said else 0
        assert monotonic() < deadline, said
        await asyncio.sleep(0.02)


async def formed(settings: Settings) -> Bus:
    """A connection to a cluster whose streams are there: forming takes some seconds."""
    deadline = monotonic() + WITHIN_S
    while True:
        bus = None
        try:
            bus = await Bus.connect(settings)
            await bus.ensure_streams()
            await bus.verify()
            return bus
        except BusError as fault:
            if bus is not None:
                await bus.close()
            assert monotonic() < deadline, fault
            await asyncio.sleep(0.2)


async def grown(confirmed: dict[int, list[int]], more: int) -> None:
    """Waits until every sender had so many more confirmed."""
    wanted = {sender: len(numbers) + more for sender, numbers in confirmed.items()}
    deadline = monotonic() + WITHIN_S
    while any(len(confirmed[sender]) < count for sender, count in wanted.items()):
        assert monotonic() < deadline, "the cluster confirms nothing"
        await asyncio.sleep(0.02)


async def held(settings: Settings, confirmed: dict[int, list[int]]) -> None:
    """Every confirmed number is in the stream, and first seen in its sender's order."""
    bus = await formed(settings)
    first: dict[int, list[int]] = {sender: [] for sender in confirmed}
    deadline, last, place = monotonic() + WITHIN_S, 0, 0
    consumer = None
    while consumer is None or place < last:
        assert monotonic() < deadline, "the stream cannot be read"
        try:
            if consumer is None:
                last = await bus.last_seq(EVENTS)
                consumer = await bus.pull_consumer(EVENTS, "judge", ["ev.>"], 1, 500)
            found = await consumer.fetch(500, 1.0)
            for message in found:
                sender, number = int(message.subject.split(".")[1]), int(message.data)
                if number not in first[sender][-50:]:
                    first[sender].append(number)
                place = message.stream_seq
            if found:
                await consumer.ack_all(found[-1])
        except BusError:
            # Elections go on.
            await asyncio.sleep(0.1)
    await bus.close()
    for sender, numbers in confirmed.items():
        assert first[sender][: len(numbers)] == numbers
