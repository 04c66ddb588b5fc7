"""DNS rebinding with a name server that changes its answer, asked by a real resolver: nothing inside is ever connected to."""

import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from dnslib import AAAA, QTYPE, RR, A, DNSHeader, DNSRecord
from dnslib.server import BaseResolver, DNSServer
from yarl import URL

from services.notify import guard
from services.notify.addresses import refusal
from services.notify.client import Client
from services.notify.guard import AddressInfo, GuardedResolver, Refused, Rules

STRICT = Rules(frozenset({80, 443}), allow_loopback=False)
OUTSIDE = "9.9.9.9"
INSIDE = [
    "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "168.63.129.16", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "192.88.99.1", "192.0.0.192", "::1", "::",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2001:0:53aa:64c::1", "fe80::1",
    "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "3fff::1", "::127.0.0.1",
]  # fmt: skip


class Changing(BaseResolver):  # type: ignore[misc]
    """Answers each question by the next of its answers, and by the last from then on."""

    def __init__(self) -> None:
        self.answers: list[list[str]] = [[OUTSIDE]]
        self.asked = 0

    def resolve(self, request: Any, handler: Any) -> Any:
        reply, question = request.reply(), request.q
        found = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += question.qtype == QTYPE.A
        for address in found:
            kind = QTYPE.AAAA if ":" in address else QTYPE.A
            rdata = AAAA(tuple(ip_address(address).packed)) if kind == QTYPE.AAAA else A(address)
            if kind == question.qtype:
                reply.add_answer(RR(question.qname, kind, ttl=0, rdata=rdata))
        return reply


@pytest.fixture
def names() -> Iterator[tuple[Changing, int]]:
    resolver = Changing()
    server = DNSServer(resolver, address="127.0.0.1", port=0, logger=_Silent())
    server.start_thread()
    yield resolver, server.server.server_address[1]
    server.stop()
    server.server.server_close()


class _Silent:
    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def _lookup(port: int) -> Any:
    """`socket.getaddrinfo`, asking this name server over UDP instead of the machine's."""

    def lookup(host: str, number: int, family: int, kind: int) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        for wanted, shape in (("AAAA", socket.AF_INET6), ("A", socket.AF_INET)):
            asked = DNSRecord(DNSHeader(rd=1), q=DNSRecord.question(host, wanted).q)
            reply = DNSRecord.parse(asked.send("127.0.0.1", port, timeout=60))
            for record in reply.rr:
                address = str(record.rdata)
                place = (address, number, 0, 0) if shape == socket.AF_INET6 else (address, number)
                found.append((shape, kind, 6, "", place))
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return found

    return lookup


@pytest.fixture
async def inside() -> Any:
    """A server on loopback that must hear nothing."""
    heard: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        heard.append(request.path)
        return web.Response(text="inside")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    yield server, heard
    await server.close()


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every address that a socket was made for."""
    made: list[str] = []
    before = Client._socket

    def noting(self: Client, info: AddressInfo) -> socket.socket:
        found = before(self, info)
        made.append(str(info[4][0]))
        return found

    monkeypatch.setattr(Client, "_socket", noting)
    return made


async def _attempt(port: int, url: str) -> Exception | None:
    """What comes of a request whose names are asked of the name server at this port."""
    async with Client(STRICT, 60) as client:
        client._resolver = GuardedResolver(STRICT, _lookup(port))
        try:
            await client.post(URL(url), b"host: hooks.example.org\r\ncontent-length: 0\r\n", b"")
        except (OSError, TimeoutError) as fault:
            return fault
        return None


async def test_a_name_that_leads_inside_by_any_of_its_addresses_is_never_connected_to(names: Any, inside: Any, tried: list[str]) -> None:
    resolver, port = names
    server, heard = inside
    for address in INSIDE:
        for addresses_ in ([address], [OUTSIDE, address], [address, "2606:4700::1111"]):
            resolver.answers, resolver.asked = [addresses_], 0
            fault = await _attempt(port, f"http://hooks.example.org:{server.port}/")
            assert isinstance(fault, Refused), addresses_
    assert heard == tried == []


async def test_a_name_that_changes_its_answer_after_it_was_checked_is_judged_by_the_answer_that_is_used(
    names: Any, inside: Any, tried: list[str]
) -> None:
    resolver, port = names
    server, heard = inside
    judge = GuardedResolver(STRICT, _lookup(port))
    resolver.answers, resolver.asked = [[OUTSIDE], ["127.0.0.1"], [OUTSIDE], ["169.254.169.254"]], 0
    assert [found[4][0] for found in await judge.resolve("hooks.example.org", 443)] == [OUTSIDE]
    # The second answer is the one a connection would be made by: a check of the first says nothing about it.
    fault = await _attempt(port, f"http://hooks.example.org:{server.port}/")
    assert isinstance(fault, Refused)
    assert [found[4][0] for found in await judge.resolve("hooks.example.org", 443)] == [OUTSIDE]
    fault = await _attempt(port, f"http://hooks.example.org:{server.port}/")
    assert isinstance(fault, Refused)
    judge.close()
    assert heard == tried == [] and resolver.asked == 4


async def test_the_addresses_that_were_checked_are_the_ones_connected_to_without_asking_again(
    names: Any, inside: Any, tried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver, port = names
    server, heard = inside
    resolver.answers, resolver.asked = [["127.0.0.1"], ["10.0.0.1"]], 0
    # Loopback stands for the outside here, so that a connection comes about; nothing else is let through.
    monkeypatch.setattr(guard, "refusal", lambda text, allow: None if text == "127.0.0.1" else refusal(text, allow))
    assert await _attempt(port, f"http://hooks.example.org:{server.port}/in") is None
    assert (heard, tried, resolver.asked) == (["/in"], ["127.0.0.1"], 1)


async def test_what_a_resolver_hides_behind_an_allowed_address_is_found_when_the_socket_is_made(inside: Any, tried: list[str]) -> None:
    server, heard = inside

    class Lying(GuardedResolver):
        async def resolve(self, host: str, port: int) -> list[AddressInfo]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    async with Client(STRICT, 60) as client:
        client._resolver = Lying(STRICT)
        with pytest.raises(Refused):
            await client.post(URL(f"http://hooks.example.org:{server.port}/"), b"content-length: 0\r\n", b"")
    assert heard == tried == []


def test_every_range_of_the_table_is_among_the_addresses_tried() -> None:
    reasons = {refusal(address, False) for address in INSIDE}
    assert None not in reasons
    wanted = ["loopback", "private", "carrier-grade NAT", "link-local", "cloud metadata", "multicast", "documentation", "NAT64", "6to4"]
    assert all(any(name in str(reason) for reason in reasons) for name in (*wanted, "Teredo", "IPv4-mapped"))
