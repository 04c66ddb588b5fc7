"""Keeps webhooks out of private networks, at the last moment before a connection is used.

A check before connecting is not enough: a name may resolve differently a moment later. So the guard judges the URL, every address the
resolver yields, the address each socket is made for, and the peer once connected.
"""

import asyncio
import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from services.notify.addresses import is_loopback, refusal

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

MOST_URL_CHARACTERS: Final = 2048
_RESOLVER_THREADS: Final = 32
_SPACE_OR_CONTROL: Final = re.compile(r"[\x00-\x20\x7f\\]")
# Forms that a resolver would read as an address although they are not written as one: 2130706433, 127.1, 0x7f.1, 0177.0.0.1.
_ADDRESS_IN_DISGUISE: Final = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+))*\.?\Z", re.IGNORECASE)


class UrlFault(ValueError):
    """A URL that no webhook may go to; `expected` says in words what would do."""

    def __init__(self, expected: str) -> None:
        super().__init__(expected)
        self.expected = expected


class Refused(OSError):
    """A connection the guard did not let happen. An OSError, because that is what the client expects of a failed connection and wraps."""


def refusal_in(fault: BaseException | None) -> Refused | None:
    """The guard's refusal that a client's error wraps, if it does."""
    while fault is not None and not isinstance(fault, Refused):
        fault = getattr(fault, "os_error", None) or fault.__cause__
    return fault


@dataclass(frozen=True)
class Rules:
    """What the operator allows: TCP ports, and whether loopback (over plain http as well, at any port) is reachable."""

    ports: frozenset[int]
    allow_loopback: bool


@lru_cache(maxsize=4096)
def check_url(text: str, rules: Rules) -> URL:
    """The URL a webhook may be sent to, or `UrlFault`. Judges form only; names are judged when they are resolved.

    >>> check_url("https://hooks.example.org/in?tenant=7", Rules(frozenset({443}), False)).host
    'hooks.example.org'
    """
    if len(text) > MOST_URL_CHARACTERS:
        raise UrlFault(f"at most {MOST_URL_CHARACTERS} characters")
    if _SPACE_OR_CONTROL.search(text):
        raise UrlFault("no spaces, control characters or backslashes")
    try:
        url = URL(text)
        host, port = url.host, url.port
    except ValueError:
        raise UrlFault("an absolute URL, as in https://hooks.example.org/milepost") from None
    if url.scheme not in ("http", "https") or not host or port is None:
        raise UrlFault("an absolute https URL, as in https://hooks.example.org/milepost")
    if url.user is not None or url.password is not None or "@" in url.raw_authority:
        raise UrlFault("no user name or password in the URL; the signature tells who sends")
    if url.fragment or text.endswith("#"):
        raise UrlFault("no fragment (#…); it would never be sent")
    loopback = _check_host(host, rules)
    if url.scheme != "https" and not loopback:
        raise UrlFault("https; what is sent concerns a person's health")
    if not loopback and port not in rules.ports:
        raise UrlFault(f"a port among {', '.join(map(str, sorted(rules.ports)))}")
    return url


def _check_host(host: str, rules: Rules) -> bool:
    """Whether the host is loopback, where the rules allow that; raises `UrlFault` for a literal address that may not be reached."""
    try:
        address = ip_address(host)
    except ValueError:
        if _ADDRESS_IN_DISGUISE.match(host):
            raise UrlFault("a host name, or an address in its usual form") from None
        if "%" in host:
            raise UrlFault("a host name or an address without a zone") from None
        local = host.rstrip(".").lower()
        if local == "localhost" or local.endswith(".localhost"):
            if not rules.allow_loopback:
                raise UrlFault("a host that can be reached from outside, not a loopback address") from None
            return True
        return False
    why = refusal(host, rules.allow_loopback)
    if why is not None:
        raise UrlFault(f"a host that can be reached from outside, not {why}")
    return is_loopback(address)


def leads_to_loopback(url: URL) -> bool:
    """Whether a URL that `check_url` passed stays on this machine: whoever may reach that is the operator."""
    host = (url.host or "").rstrip(".").lower()
    try:
        return is_loopback(ip_address(host))
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class GuardedResolver(AbstractResolver):
    """Resolves in threads of its own and refuses a name when any of its addresses is refused.

    Own threads, because a name server that hangs would otherwise fill the loop's shared ones and make everybody wait.
    """

    def __init__(self, rules: Rules, lookup: Callable[..., list[tuple[Any, ...]]] = socket.getaddrinfo) -> None:
        self._rules = rules
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(_RESOLVER_THREADS, thread_name_prefix="webhook-names")

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, lambda: self._lookup(host, port, family, socket.SOCK_STREAM))
        addresses = [(entry[0], str(entry[4][0]), int(entry[4][1])) for entry in found]
        for _, address, _ in addresses:
            _refuse(address, self._rules)
        return [
            ResolveResult(hostname=host, host=address, port=number, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address, number in addresses
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class GuardedConnector(TCPConnector):
    """A connector whose every connection has passed the guard; proxies are refused, since behind one nothing could be judged."""

    def __init__(self, rules: Rules, resolver: GuardedResolver) -> None:
        self._guard_rules = rules
        self._guard_resolver = resolver
        super().__init__(resolver=resolver, limit=0, ttl_dns_cache=30, keepalive_timeout=30, socket_factory=self._socket)

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        # Also reached by literal addresses, which bypass the resolver.
        family, kind, proto, _, address = info
        _refuse(str(address[0]), self._guard_rules)
        return socket.socket(family, kind, proto)

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> "ResponseHandler":
        if req.proxy:
            raise Refused("refused: webhooks use no proxy")
        handler = await super()._create_connection(req, traces, timeout)
        peer = handler.transport.get_extra_info("peername") if handler.transport is not None else None
        try:
            _refuse(str(peer[0]) if peer else "", self._guard_rules)
        except Refused:
            handler.close()
            raise
        return handler

    async def close(self, *, abort_ssl: bool = False) -> None:
        await super().close(abort_ssl=abort_ssl)
        await self._guard_resolver.close()


def guarded_session(rules: Rules, timeout_s: float) -> ClientSession:
    """The only HTTP client of this service: guarded, without cookies, proxies, redirects from the environment, or decompression."""
    return ClientSession(
        connector=GuardedConnector(rules, GuardedResolver(rules)),
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=timeout_s),
        trust_env=False,
        auto_decompress=False,
    )


def _refuse(address: str, rules: Rules) -> None:
    why = refusal(address, rules.allow_loopback)
    if why is not None:
        raise Refused(f"refused: the host leads to {why}")
