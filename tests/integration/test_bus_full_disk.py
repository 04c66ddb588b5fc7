"""Law nothing-lost on a disk that runs full: nothing is confirmed that is not kept, and room brings everything back."""

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from shared.bus import EVENTS, BusError, event_subject
from shared.settings import Settings
from tests.integration.ports import free_ports
from tests.integration.test_bus_cluster import formed

ROOM = 2_000_000
"""Bytes that one file may have: the server's blocks of messages are larger, so a write fails in the middle of one, as on a full disk."""
SUBJECT = event_subject(0, "a" * 32)
PROBE = Path(__file__).parents[2] / "deploy" / "nats" / "alive.sh"

# As much of nc as the probe uses: the server's image has one, a machine of a developer may not.
NC = """#!{python} -IS
import socket, sys
with socket.create_connection((sys.argv[-2], int(sys.argv[-1])), 3) as other:
    other.sendall(sys.stdin.buffer.read())
    while part := other.recv(65536):
        sys.stdout.buffer.write(part)
"""


class Server:
    """A server whose files may have `ROOM` bytes, until it is started again without a limit: JetStream stays off after a failed write."""

    def __init__(self, home: Path) -> None:
        self._home = home
        client, monitor = free_ports(2)
        self.settings = Settings(nats_url=f"nats://127.0.0.1:{client}", nats_monitor_url=f"http://127.0.0.1:{monitor}")
        (home / "conf").write_text(
            f'listen: "127.0.0.1:{client}"\nhttp: "127.0.0.1:{monitor}"\n'
            f'jetstream {{ store_dir: "{home}/store", sync_interval: always, max_file_store: 1GB }}\n'
        )
        self._words = [str(Path(sys.executable).with_name("nats-server")), "-c", str(home / "conf"), "-l", str(home / "log")]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, room: int = resource.RLIM_INFINITY) -> None:
        # Python ignores SIGXFSZ, and so does its child: a write beyond the limit fails instead of ending the server.
        self._process = subprocess.Popen(self._words, restore_signals=False)
        psutil.Process(self._process.pid).rlimit(psutil.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))

    async def probed(self) -> int:
        """What the probe of `deploy/` leaves with."""
        nc = self._home / "bin" / "nc"
        nc.parent.mkdir(exist_ok=True)
        nc.write_text(NC.format(python=sys.executable))
        nc.chmod(0o755)
        port = self.settings.nats_monitor_url.rpartition(":")[2]
        probe = await asyncio.create_subprocess_exec("sh", str(PROBE), port, env={"PATH": f"{nc.parent}:{os.defpath}"})
        return await probe.wait()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path)
    found.start(ROOM)
    yield found
    found.stop()


async def probe_says(server: Server, code: int) -> None:
    async with asyncio.timeout(60):
        while (said := await server.probed()) != code:
            # It waits three seconds for an answer.
            assert said == 1


@pytest.mark.law("nothing-lost")
async def test_a_disk_without_room_confirms_nothing_and_everything_confirmed_is_there_once_it_has_some(server: Server):
    bus = await formed(server.settings)
    await probe_says(server, 0)
    confirmed: list[int] = []

    async def publish(number: int, timeout: float = 2) -> None:
        await bus.publish(SUBJECT, b"%d " % number + bytes(50_000), timeout)
        confirmed.append(number)

    for number in range(200):
        try:
            await publish(number)
        except BusError:
            # One that stands still for a moment confirms nothing either, and does so again afterwards.
            if await server.probed() == 2:
                break
    assert 10 < len(confirmed) < 100
    with pytest.raises(BusError):
        await publish(1000)
    await bus.close()
    assert await server.probed() == 2, "nobody would start it again"
    server.stop()
    assert await server.probed() == 1
    server.start()
    bus = await formed(server.settings)
    await probe_says(server, 0)
    await publish(2000, timeout=60)
    consumer = await bus.pull_consumer(EVENTS, "judge", ["ev.>"], 1, 500)
    kept, last, place = list[int](), await bus.last_seq(EVENTS), 0
    while place < last:
        for message in await consumer.fetch(500, 0.5):
            kept.append(int(message.data.split(b" ", 1)[0]))
            place = message.stream_seq
    await bus.close()
    assert [number for number in kept if number in confirmed] == confirmed
