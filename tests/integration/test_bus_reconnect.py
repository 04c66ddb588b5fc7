"""What the bus does while it has no connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.bus import Bus, BusUnavailable, event_subject
from shared.settings import Settings

INFO = b'INFO {"server_id":"x","version":"2.15.1","proto":1,"host":"127.0.0.1","port":4222,"headers":true,"max_payload":1048576}\r\n'


class Speaking:
    """A server that greets and answers pings until it is `silent`: as one that stands still, whose connections the system takes.

    `slow`: it leaves the second ping of a connection unanswered, which is what the client asks after it has connected again.
    """

    def __init__(self) -> None:
        self.silent = self.slow = False
        self.asked_twice = asyncio.Event()
        self.published: list[bytes] = []
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
            pings = 0
            while line := await reader.readline():
                pings += line == b"PING\r\n"
                if line == b"PING\r\n" and self.slow and pings > 1:
                    self.asked_twice.set()
                elif line == b"PING\r\n":
                    writer.write(b"PONG\r\n")
                elif line.startswith((b"PUB", b"HPUB")):
                    self.published.append(line)
        writer.close()

    async def falls_silent(self) -> None:
        """Returns once the client has tried three times in vain."""
        self.silent = True
        self.hangs_up()
        async with asyncio.timeout(60):
            await self.thrice.wait()

    def hangs_up(self) -> None:
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
        await server.falls_silent()
        await bus.close()
        assert server.left[:3] == [b"", b"", b""]


async def test_a_bus_that_is_away_is_closed_without_a_fault_though_something_waits_to_be_sent():
    async with connected() as (server, bus):
        await server.falls_silent()
        await bus.client.publish("waits", b"for a connection")
        assert bus.client.pending_data_size
        await bus.close()
        assert bus.client.is_closed


@pytest.mark.law("nothing-lost")
async def test_nothing_is_published_over_a_renewed_connection_before_the_client_has_told_of_it():
    """Until then nobody can have looked at the server behind it."""
    async with connected() as (server, bus):
        server.slow = True
        server.hangs_up()
        async with asyncio.timeout(60):
            await server.asked_twice.wait()
        assert bus.client.is_connected and not bus.is_ready
        for publishing in (bus.publish(event_subject(0, "a" * 32), b"{}"), bus.publish_batch([(event_subject(0, "a" * 32), b"{}")] * 2)):
            with pytest.raises(BusUnavailable, match="not connected to the bus"):
                await publishing
        await bus.close()
        assert server.published == []
