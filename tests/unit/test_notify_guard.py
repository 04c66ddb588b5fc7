"""Where webhooks may not go: by URL, by what a name resolves to, and by where a connection ended up."""

import asyncio
import socket
import threading
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given, strategies as st
from yarl import URL

from services.notify import client as client_module, guard
from services.notify.addresses import refusal
from services.notify.client import Client
from services.notify.guard import GuardedResolver, Refused, Rules, UrlFault, check_url

STRICT = Rules(frozenset({80, 443}), allow_loopback=False)
TRIAL = Rules(frozenset({80, 443}), allow_loopback=True)

REFUSED = [
    ("0.0.0.0", "an unspecified"), ("0.1.2.3", "an unspecified"), ("10.0.0.1", "a private"), ("100.64.0.1", "a carrier-grade NAT"),
    ("100.100.100.200", "a carrier-grade NAT"), ("100.127.255.255", "a carrier-grade NAT"), ("127.0.0.1", "a loopback"),
    ("127.255.255.254", "a loopback"), ("168.63.129.16", "a cloud metadata"), ("169.254.0.1", "a link-local"),
    ("169.254.169.254", "a link-local"), ("172.16.0.1", "a private"), ("172.31.255.255", "a private"),
    ("192.0.0.192", "a protocol assignment"), ("192.0.2.1", "a documentation"), ("192.88.99.1", "a 6to4 relay"),
    ("192.168.1.1", "a private"), ("198.18.0.1", "a benchmarking"), ("198.19.255.255", "a benchmarking"),
    ("198.51.100.7", "a documentation"), ("203.0.113.9", "a documentation"), ("224.0.0.1", "a multicast"),
    ("239.255.255.255", "a multicast"), ("240.0.0.1", "a reserved"), ("255.255.255.255", "a reserved"),
    ("::", "an unspecified"), ("::1", "a loopback"), ("::127.0.0.1", "an IPv4-compatible"), ("::ffff:127.0.0.1", "an IPv4-mapped"),
    ("::ffff:8.8.8.8", "an IPv4-mapped"), ("64:ff9b::7f00:1", "a NAT64"), ("64:ff9b:1::1", "a NAT64"), ("100::1", "a discard-only"),
    ("2001::1", "a Teredo"), ("2001:0:53aa:64c::1", "a Teredo"), ("2001:2::1", "a benchmarking"), ("2001:10::1", "a protocol assignment"),
    ("2001:db8::1", "a documentation"), ("2002:7f00:1::", "a 6to4"), ("2002:a9fe:a9fe::", "a 6to4"), ("3fff::1", "a documentation"),
    ("5f00::1", "a segment routing"), ("fc00::1", "a private"), ("fd00:ec2::254", "a private"), ("fe80::1", "a link-local"),
    ("fec0::1", "a site-local"), ("ff02::1", "a multicast"), ("4000::1", "a reserved"), ("::ffff:0:127.0.0.1", "a reserved"),
]  # fmt: skip

ALLOWED = ["1.1.1.1", "9.9.9.9", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "198.20.0.1", "223.255.255.255",
           "2606:4700:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888"]  # fmt: skip


@pytest.mark.parametrize(("address", "name"), REFUSED)
def test_an_address_that_is_not_global_is_refused(address: str, name: str) -> None:
    assert refusal(address, False) == f"{name} address"


@pytest.mark.parametrize("address", ALLOWED)
def test_a_global_address_is_allowed(address: str) -> None:
    assert refusal(address, False) is None


@pytest.mark.parametrize(("address", "name"), REFUSED)
def test_allowing_loopback_allows_loopback_only(address: str, name: str) -> None:
    assert (refusal(address, True) is None) == (name == "a loopback")


@given(st.ip_addresses())
def test_what_the_standard_library_calls_not_global_is_never_reached(address: Any) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert refusal(str(address), False) is not None


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "2130706433", "0x7f.1", "fe80::1%eth0", "1.1.1.1 ", "1.1.1.1.1"])
def test_what_is_no_plain_address_is_refused(text: str) -> None:
    assert refusal(text, True) is not None


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/",
        "ftp://hooks.example.org/",
        "//hooks.example.org/",
        "hooks.example.org",
        "https://",
        "https:///path",
        "https://user@hooks.example.org/",
        "https://user:word@hooks.example.org/",
        "https://:@hooks.example.org/",
        "https://hooks.example.org/#part",
        "https://hooks.example.org/#",
        "https://hooks.example.org:8443/",
        "https://hooks.example.org:22/",
        "https://hooks.example.org:0/",
        "https://hooks.example.org:99999/",
        "https://hooks.example.org/a b",
        "https://hooks.example.org/\r\nx: y",
        "https://hooks.example.org\\@127.0.0.1/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://a.localhost/",
        "https://2130706433/",
        "https://127.1/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.0.0.1:443/",
        "https://" + "a" * 2048 + ".org/",
    ],
)
def test_a_url_that_could_lead_inside_or_in_the_clear_is_refused(url: str) -> None:
    with pytest.raises(UrlFault):
        check_url(url, STRICT)


@pytest.mark.parametrize(
    "url", ["https://hooks.example.org/in?key=1", "https://hooks.example.org:443", "https://9.9.9.9/", "https://[2606:4700::1111]/x", "https://münchen.example/"]
)  # fmt: skip
def test_an_https_url_to_the_outside_is_accepted(url: str) -> None:
    check_url(url, STRICT)


def test_with_loopback_allowed_plain_http_and_any_port_lead_to_loopback_and_nowhere_else() -> None:
    for url in ("http://127.0.0.1:49152/", "http://[::1]:9/", "http://localhost:8000/x", "https://127.9.9.9/"):
        check_url(url, TRIAL)
    for url in ("http://hooks.example.org/", "https://hooks.example.org:8443/", "http://10.0.0.1/", "http://[::ffff:127.0.0.1]:80/"):
        with pytest.raises(UrlFault):
            check_url(url, TRIAL)


def _lookup(*addresses: str) -> Any:
    def lookup(host: str, port: int, family: int, kind: int) -> list[tuple[Any, ...]]:
        return [
            (socket.AF_INET6, kind, 6, "", (address, port, 0, 0)) if ":" in address else (socket.AF_INET, kind, 6, "", (address, port))
            for address in addresses
        ]

    return lookup


HEAD = b"host: hooks.example.org\r\ncontent-length: 0\r\n"


async def test_a_name_is_refused_when_any_of_its_addresses_is() -> None:
    resolver = GuardedResolver(STRICT, _lookup("9.9.9.9", "169.254.169.254"))
    with pytest.raises(Refused, match="link-local"):
        await resolver.resolve("rebinding.example", 443)
    resolver.close()


async def test_a_name_with_global_addresses_is_resolved_to_all_of_them() -> None:
    resolver = GuardedResolver(STRICT, _lookup("9.9.9.9", "2606:4700::1111"))
    assert [found[4][0] for found in await resolver.resolve("good.example", 443)] == ["9.9.9.9", "2606:4700::1111"]
    resolver.close()


@pytest.fixture
async def receiver() -> Any:
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(text="inside")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    yield server, asked
    await server.close()


async def test_a_literal_private_address_is_refused_in_the_client_too(receiver: Any) -> None:
    server, asked = receiver
    async with Client(STRICT, 60) as client:
        with pytest.raises(Refused, match="loopback"):
            await client.post(URL(f"http://127.0.0.1:{server.port}/"), HEAD, b"")
    assert asked == []


async def test_a_name_that_resolves_to_a_private_address_is_never_connected_to(receiver: Any) -> None:
    server, asked = receiver
    async with Client(STRICT, 60) as client:
        with pytest.raises(Refused, match="loopback"):
            await client.post(URL(f"http://localhost:{server.port}/"), HEAD, b"")
    assert asked == []


async def test_a_connection_that_ended_up_inside_is_closed_before_a_byte_is_sent(receiver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server, asked = receiver
    peers: list[str] = []

    def judge(address: str, rules: Rules) -> None:
        # Only the check of the peer is left: as if a route or a NAT had led elsewhere than the address said.
        peers.append(address)
        if len(peers) == 3:
            guard.check_address(address, rules)

    monkeypatch.setattr(client_module, "check_address", judge)
    async with Client(STRICT, 60) as client:
        with pytest.raises(Refused, match="loopback"):
            await client.post(URL(f"http://127.0.0.1:{server.port}/"), HEAD, b"")
    assert asked == [] and peers == ["127.0.0.1"] * 3


async def test_a_proxy_of_the_environment_is_not_used(receiver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server, asked = receiver
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with Client(TRIAL, 60) as client:
        assert (await client.post(URL(f"http://127.0.0.1:{server.port}/direct"), HEAD, b"")).status == 200
    assert asked == ["/direct"]


async def test_a_name_server_that_hangs_holds_up_only_its_own_names() -> None:
    hang, loop = asyncio.Event(), asyncio.get_running_loop()
    released = threading.Event()

    def lookup(host: str, port: int, family: int, kind: int) -> list[tuple[Any, ...]]:
        if host == "slow.example":
            loop.call_soon_threadsafe(hang.set)
            released.wait(120)
        return _lookup("9.9.9.9")(host, port, family, kind)

    resolver = GuardedResolver(STRICT, lookup)
    slow = asyncio.create_task(resolver.resolve("slow.example", 443))
    await hang.wait()
    async with asyncio.timeout(60):
        assert await resolver.resolve("quick.example", 443)
    released.set()
    await slow
    resolver.close()
