"""What the bus does while it has no connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.bus import Bus
from shared.settings import Settings

INFO = b'INFO {"server_id":"x","version":"2.15.1","proto":1,"host":"127.0.0.1","port":4222,"headers":true,"max_payload":1048576}\r\n'


class Speaking:
    """A server that greets and answers pings until it is `silent`: as one that stands still, whose connections the system takes."""

    def __init__(self) -> None:
        self.silent = False
        self.left: list[bytes] = []
        self.thrice = asyncio.Event()
        self._open: list[asyncio.StreamWriter] = []

    async def taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.silent:
            self.left.append(await reader.read())
            if len(self.left) == 3:
                self.thrice.set()
        else:
            self._open.append(writer)
            writer.write(INFO)
            while line := await reader.readline():
                if line == b"PING\r\n":
                    writer.write(b"PONG\r\n")
        writer.close()

    def falls_silent(self) -> None:
        self.silent = True
        for writer in self._open:
            writer.close()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Speaking, Bus]]:
    speaking = Speaking()
    async with await asyncio.start_server(speaking.taken, "127.0.0.1", 0) as server:
        bus = await Bus.connect(Settings(nats_url=f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        bus.client.options["connect_timeout"] = 0.1
        yield speaking, bus


async def test_a_server_that_takes_connections_and_says_nothing_is_left_with_none_of_them():
    async with connected() as (server, bus):
        server.falls_silent()
        async with asyncio.timeout(60):
            await server.thrice.wait()
        await bus.close()
        assert server.left[:3] == [b"", b"", b""]


async def test_a_bus_that_is_away_is_closed_without_a_fault_though_something_waits_to_be_sent():
    async with connected() as (server, bus):
        server.falls_silent()
        async with asyncio.timeout(60):
            await server.thrice.wait()
        await bus.client.publish("waits", b"for a connection")
        assert bus.client.pending_data_size
        await bus.close()
        assert bus.client.is_closed
