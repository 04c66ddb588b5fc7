"""Keeps webhooks out of private networks, at the last moment before a connection is used.

A check before connecting is not enough: a name may resolve differently a moment later. So the guard judges the URL, every address the
resolver yields, and `client` the address each socket is made for, and the peer once connected.
"""

import asyncio
import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final, TypeAlias

from yarl import URL

from services.notify.addresses import is_loopback, refusal

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
    """A connection the guard did not let happen; the text says why. An OSError, as any connection that failed."""


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


AddressInfo: TypeAlias = tuple[int, int, int, str, tuple[Any, ...]]
"""As `socket.getaddrinfo` has it: family, kind, protocol, canonical name, and the address with its port."""


class GuardedResolver:
    """Resolves in threads of its own and refuses a name when any of its addresses is refused.

    Own threads, because a name server that hangs would otherwise fill the loop's shared ones and make everybody wait.
    """

    def __init__(self, rules: Rules, lookup: Callable[..., list[tuple[Any, ...]]] = socket.getaddrinfo) -> None:
        self._rules = rules
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(_RESOLVER_THREADS, thread_name_prefix="webhook-names")

    async def resolve(self, host: str, port: int) -> list[AddressInfo]:
        """Every address of the name, each checked. Raises `Refused`, `socket.gaierror`, or ValueError for what can be no name."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, lambda: self._lookup(host, port, socket.AF_UNSPEC, socket.SOCK_STREAM))
        for _, _, _, _, address in found:
            check_address(str(address[0]), self._rules)
        return [(family, socket.SOCK_STREAM, 0, "", address) for family, _, _, _, address in found]

    def close(self) -> None:
        """Ends the threads, those that a name server keeps waiting once it answers."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def check_address(address: str, rules: Rules) -> None:
    """Raises `Refused` for an address that no webhook may reach."""
    why = refusal(address, rules.allow_loopback)
    if why is not None:
        raise Refused(f"refused: the host leads to {why}")
