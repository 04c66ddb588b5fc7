"""The only HTTP client of this service: posts over kept connections, each of which has passed the guard. It knows no proxies, no redirects,
no cookies and no compression, so none can lead elsewhere."""

import asyncio
import socket
import ssl
from collections import defaultdict
from ipaddress import ip_address
from time import monotonic
from types import TracebackType
from typing import Final, NamedTuple, Self

from aiohappyeyeballs import start_connection
from yarl import URL

from services.notify.exchange import Answered, Exchange
from services.notify.guard import AddressInfo, GuardedResolver, Refused, Rules, check_address

KEPT_S: Final = 30.0
"""How long an unused connection is kept, and how long the addresses of a name count."""
_FALL_BACK_S: Final = 0.25
"""How long the first address of a name is waited for before the next is tried beside it (RFC 8305)."""


class NoConnection(OSError):
    """No connection came about; the text says why in words of our own, which name no address."""


class _Place(NamedTuple):
    """Where connections lead; only those to the same place are shared."""

    tls: bool
    host: str
    port: int


class Client:
    """`async with Client(rules, timeout_s) as client`: connections are closed when the block ends."""

    def __init__(self, rules: Rules, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._rules = rules
        self._resolver = GuardedResolver(rules)
        self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._free: defaultdict[_Place, list[tuple[Exchange, float]]] = defaultdict(list)
        self._known: dict[_Place, tuple[list[AddressInfo], float]] = {}
        self._asking: dict[_Place, asyncio.Task[list[AddressInfo]]] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connections in self._free.values():
            for exchange, _ in connections:
                exchange.close()
        self._free.clear()
        for asking in self._asking.values():
            asking.cancel()
        self._resolver.close()

    async def post(self, url: URL, head: bytes, body: bytes) -> Answered:
        """Sends a request of `head` (its header lines, each ended by CR LF) and `body`.

        Raises the guard's `Refused`, `NoConnection`, `exchange.Broken`, `exchange.Unintelligible`, `TimeoutError` when no answer came
        in time, or ValueError for a host that no name can be.
        """
        begin = monotonic()
        place = _Place(url.scheme == "https", url.raw_host or "", url.port or 0)
        exchange = self._kept(place, begin)
        if exchange is None:
            async with asyncio.timeout(self.timeout_s):
                exchange = await self._connect(place)
        request = b"POST %s HTTP/1.1\r\n%s\r\n%s" % (url.raw_path_qs.encode("ascii"), head, body)
        answered = await exchange.ask(request, max(0.0, begin + self.timeout_s - monotonic()))
        if exchange.is_free:
            self._free[place].append((exchange, monotonic()))
            if self._sweeping is None:
                self._sweeping = asyncio.get_running_loop().call_later(KEPT_S, self._sweep)
        return answered

    def _kept(self, place: _Place, now: float) -> Exchange | None:
        """The connection to that place that was used last, if one is still good."""
        connections = self._free.get(place)
        while connections:
            exchange, since = connections.pop()
            if exchange.is_free and now - since < KEPT_S:
                return exchange
            exchange.close()
        return None

    def _sweep(self) -> None:
        now = monotonic()
        for place, connections in list(self._free.items()):
            for exchange, since in connections:
                if now - since >= KEPT_S:
                    exchange.close()
            self._free[place] = [(exchange, since) for exchange, since in connections if exchange.is_free]
            if not self._free[place]:
                del self._free[place]
        self._known = {place: (found, until) for place, (found, until) in self._known.items() if until > now}
        self._sweeping = asyncio.get_running_loop().call_later(KEPT_S, self._sweep) if self._free else None

    async def _connect(self, place: _Place) -> Exchange:
        """A connection to a checked address whose peer was checked as well, with TLS where the URL says so."""
        addresses = await self._addresses(place)
        for _, _, _, _, address in addresses:
            check_address(str(address[0]), self._rules)
        try:
            connected = await start_connection(addresses, happy_eyeballs_delay=_FALL_BACK_S, socket_factory=self._socket)
        except Refused:
            raise
        except (OSError, RuntimeError) as fault:
            raise NoConnection("connection refused" if isinstance(fault, ConnectionRefusedError) else "no connection") from None
        try:
            check_address(str(connected.getpeername()[0]), self._rules)
            return await self._spoken(place, connected)
        except BaseException:
            connected.close()
            raise

    async def _spoken(self, place: _Place, connected: socket.socket) -> Exchange:
        loop = asyncio.get_running_loop()
        if not place.tls:
            return (await loop.create_connection(Exchange, sock=connected))[1]
        try:
            name = place.host.rstrip(".")
            return (await loop.create_connection(Exchange, sock=connected, ssl=self._tls, server_hostname=name))[1]
        except ssl.SSLCertVerificationError:
            raise NoConnection("the receiver's certificate is not valid for its name") from None
        except OSError:
            raise NoConnection("no TLS connection could be agreed on") from None

    def _socket(self, info: AddressInfo) -> socket.socket:
        # Once more where the socket is made: whatever a resolver hides, this is the address that is connected to.
        family, kind, proto, _, address = info
        check_address(str(address[0]), self._rules)
        return socket.socket(family, kind, proto)

    async def _addresses(self, place: _Place) -> list[AddressInfo]:
        try:
            literal = ip_address(place.host)
        except ValueError:
            pass
        else:
            family = socket.AF_INET if literal.version == 4 else socket.AF_INET6
            return [(family, socket.SOCK_STREAM, 0, "", (place.host, place.port))]
        known = self._known.get(place)
        if known is not None and known[1] > monotonic():
            return known[0]
        asking = self._asking.get(place)
        if asking is None:
            # One question for all that wait for the same name; whoever gives up leaves it to the others.
            asking = self._asking[place] = asyncio.create_task(self._ask(place), name="webhook name")
            asking.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return await asyncio.shield(asking)

    async def _ask(self, place: _Place) -> list[AddressInfo]:
        try:
            found = await self._resolver.resolve(place.host, place.port)
        except socket.gaierror:
            raise NoConnection("the host name is not known") from None
        finally:
            del self._asking[place]
        if not found:
            raise NoConnection("the host name is not known")
        self._known[place] = (found, monotonic() + KEPT_S)
        return found
