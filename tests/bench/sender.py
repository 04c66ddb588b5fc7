"""A load generator in a process of its own: sends prepared bodies over kept connections and notes when each left and was answered.

`python -m tests.bench.sender` reads one pickled `Task` from standard input and writes a pickled list of `Answered` to standard output.
"""

import asyncio
import pickle
import sys
from collections import deque
from dataclasses import dataclass
from subprocess import PIPE
from time import time
from typing import NamedTuple

import asyncpg
import uvloop


@dataclass(frozen=True)
class Task:
    """`bodies` go to `path` in order. With `rate`, each leaves at its time whether or not the former was answered, over `connections`
    kept connections; otherwise each connection sends its next when its last is answered. `most_waiting`, with `database`: no more than
    so many events may be accepted and not yet decided. Ends after `seconds` in any case.
    """

    host: str
    port: int
    path: str
    key: str
    content_type: str
    bodies: list[bytes]
    events_each: int
    connections: int
    seconds: float
    rate: float = 0.0
    most_waiting: int = 0
    database: str = ""
    stored_before: int = 0


class Answered(NamedTuple):
    """One request: its place among the bodies, when it left and when its answer was there (seconds since 1970), the status."""

    body: int
    sent: float
    done: float
    status: int


async def send(task: Task) -> list[Answered]:
    """Runs the task in another process."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.sender", stdin=PIPE, stdout=PIPE)
    output, _ = await process.communicate(pickle.dumps(task))
    assert process.returncode == 0, "the load generator failed"
    answered: list[Answered] = pickle.loads(output)
    return answered


class _Connection:
    def __init__(self, task: Task) -> None:
        self._task = task
        self._head = (
            f"POST {task.path} HTTP/1.1\r\nHost: {task.host}\r\nAuthorization: Bearer {task.key}\r\n"
            f"Content-Type: {task.content_type}\r\nContent-Length: %d\r\n\r\n"
        ).encode()

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._task.host, self._task.port, limit=2**22)

    async def post(self, place: int, due: float = 0.0) -> Answered:
        body = self._task.bodies[place]
        sent = due or time()
        self._writer.write(self._head % len(body) + body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await self._reader.readexactly(length)
        return Answered(place, sent, time(), int(head[9:12]))


async def _closed(task: Task, connections: list[_Connection]) -> list[Answered]:
    places, answered, end = deque(range(len(task.bodies))), list[Answered](), time() + task.seconds
    room = asyncio.Event()
    room.set()

    async def run(connection: _Connection) -> None:
        while places and time() < end:
            await room.wait()
            if places:
                answered.append(await connection.post(places.popleft()))

    async def hold_back() -> None:
        database = await asyncpg.connect(task.database)
        while True:
            stored = await database.fetchval("SELECT sum(seq) FROM partition_heads") - task.stored_before
            waiting = len(answered) * task.events_each - stored
            room.set() if waiting < task.most_waiting else room.clear()
            await asyncio.sleep(0.02)

    holding = asyncio.create_task(hold_back()) if task.most_waiting else None
    await asyncio.gather(*(run(connection) for connection in connections))
    if holding:
        holding.cancel()
    return answered


async def _offered(task: Task, connections: list[_Connection]) -> list[Answered]:
    free: asyncio.Queue[_Connection] = asyncio.Queue()
    for connection in connections:
        free.put_nowait(connection)
    answered: list[Answered] = []
    begin = time() + 0.05

    async def one(place: int, due: float) -> None:
        connection = await free.get()
        # From when it should have left: waiting for a connection counts as well.
        answered.append(await connection.post(place, due))
        free.put_nowait(connection)

    async with asyncio.TaskGroup() as tasks:
        for place in range(min(len(task.bodies), int(task.rate * task.seconds))):
            due = begin + place / task.rate
            await asyncio.sleep(max(0.0, due - time()))
            tasks.create_task(one(place, due))
    return answered


async def _main() -> None:
    task: Task = pickle.load(sys.stdin.buffer)
    connections = [_Connection(task) for _ in range(task.connections)]
    for connection in connections:
        await connection.open()
    answered = await (_offered if task.rate else _closed)(task, connections)
    sys.stdout.buffer.write(pickle.dumps(answered))


if __name__ == "__main__":
    # Pickled under this module's name, not as __main__.
    from tests.bench import sender

    uvloop.run(sender._main())
