"""Law nothing-lost on a cluster of three: what was confirmed stays, in order, though the stream's leader is killed under load."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
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
        (self._home / "conf").write_text(
            f'server_name: {name}\nlisten: "127.0.0.1:{self.client}"\nhttp: "127.0.0.1:{self.monitor}"\n'
            f'jetstream {{ store_dir: "{self._home}", sync_interval: always, max_file_store: 1GB }}\n'
            f'cluster {{ name: trial, listen: "127.0.0.1:{cluster}", routes: [{routed}] }}\n'
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = [str(Path(sys.executable).with_name("nats-server")), "-c", str(self._home / "conf"), "-l", str(self._home / "log")]
        self.process = subprocess.Popen(words)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Node]]:
    ports = free_ports(9)
    found = [Node(tmp_path, f"n{n}", (ports[n], ports[3 + n], ports[6 + n]), ports[6:]) for n in range(3)]
    for node in found:
        node.start()
    yield found
    for node in found:
        node.kill()


@pytest.mark.law("nothing-lost")
@pytest.mark.timeout(600)
async def test_what_a_cluster_confirmed_outlives_its_leader_killed_under_load(nodes: list[Node]):
    settings = Settings(
        nats_url=",".join(f"nats://127.0.0.1:{node.client}" for node in nodes),
        nats_monitor_url=",".join(f"http://127.0.0.1:{node.monitor}" for node in nodes),
    )
    bus = await formed(settings)
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
        info = await bus.api(f"STREAM.INFO.{EVENTS}")
        assert info["config"]["num_replicas"] == 3
        leader = next(node for node in nodes if node.name == info["cluster"]["leader"])
        leader.kill()
        await grown(confirmed, 25)
        leader.start()
        await grown(confirmed, 10)
        ending.set()
    await bus.close()
    await held(settings, confirmed)


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
    consumer = await bus.pull_consumer(EVENTS, "judge", ["ev.>"], 1, 500)
    first: dict[int, list[int]] = {sender: [] for sender in confirmed}
    last = await bus.last_seq(EVENTS)
    place = 0
    while place < last:
        for message in await consumer.fetch(500, 1.0):
            sender, number = int(message.subject.split(".")[1]), int(message.data)
            if number not in first[sender][-50:]:
                first[sender].append(number)
            place = message.stream_seq
            final = message
        await consumer.ack_all(final)
    await bus.close()
    for sender, numbers in confirmed.items():
        assert first[sender][: len(numbers)] == numbers
