"""The connection to NATS JetStream and everything the services do through it."""

import asyncio
import base64
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final, Self, cast

import orjson
import structlog
from nats.aio.client import Client

from shared.bus import monitor, publishing, silence
from shared.bus.consumer import PullConsumer
from shared.bus.errors import BusError, BusRefused, BusUnavailable, from_server, translated
from shared.bus.publishing import PubAck
from shared.bus.replies import Replies
from shared.bus.streams import STREAMS, compare
from shared.crash import point
from shared.settings import Settings
from shared.stopping import told_to_stop

OLDEST_SERVER: Final = (2, 15, 1)
CONNECT_LIMIT_S: Final = 10.0
API_LIMIT_S: Final = 5.0
CREATE_LIMIT_S: Final = 5.0
GUARD_EVERY_S: Final = 5.0
UNSEEN_S: Final = 30.0
"""How long looks may fail under `guard`; a cluster needs 10 s to say that its leader is down, and a look at a mute monitor takes 5 s."""
# Typed as int by the client, used as a number of seconds by it.
RECONNECT_S: Final = 0.2
JOIN_LIMIT_S: Final = 30.0
"""How long a node of a cluster may take to join it before a stream of several replicas is given up."""
AWAY: Final = "not connected to the bus; the client keeps trying"
_NO_STREAM: Final = 10059
_NOT_JOINED: Final = 10074
"""What a server says of several replicas where it is in no cluster, and a node of one until it has joined."""
_NO_CONSUMER: Final = 10014
_NO_MESSAGE: Final = 10037

_log = structlog.get_logger("milepost.bus")


class Bus:
    """One connection, kept for ever: it reconnects by itself, and what is asked meanwhile raises `BusUnavailable`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._addresses = [part.strip() for part in settings.nats_url.split(",")]
        self._refusals = 0
        self.client = Client()
        self.connections = 0
        """How often the connection was made; readers that hold deliveries compare it."""
        self._up = asyncio.Event()
        self._trusted = asyncio.Event()
        self._trusted.set()
        self._guarded = False
        self._doubt = asyncio.Event()
        self._broken: BusError | None = None
        """Why nothing may be published: the contract is broken, or was not looked at since the connection was renewed."""
        self.down: frozenset[str] = frozenset()
        """The nodes of the cluster that the last `verify` left out because they are down, by name."""
        self._replies: Replies

    @classmethod
    async def connect(cls, settings: Settings, name: str = "milepost") -> Self:
        """Connect to `settings.nats_url` within 10 s. Raises `BusUnavailable`, or `BusRefused` for credentials that are not accepted."""
        bus = cls(settings)
        try:
            with translated("connect to the bus"):
                async with asyncio.timeout(CONNECT_LIMIT_S):
                    await bus.client.connect(
                        servers=bus._addresses,
                        name=name,
                        allow_reconnect=True,
                        max_reconnect_attempts=-1,
                        reconnect_time_wait=cast(int, RECONNECT_S),
                        connect_timeout=2,
                        ping_interval=10,
                        max_outstanding_pings=2,
                        error_cb=bus._on_error,
                        disconnected_cb=bus._on_disconnected,
                        reconnected_cb=bus._on_connected,
                        closed_cb=bus._on_closed,
                    )
                    bus._replies = Replies(bus.client)
                    await bus._replies.open()
        except BaseException:
            await bus.close()
            raise
        await bus._on_connected()
        return bus

    async def close(self) -> None:
        """End the connection; waits for nothing."""
        if not self.client.is_closed:
            if not self.client.is_connected:
                # The client would send it over the connection that was lost, and raise.
                self.client._pending, self.client._pending_data_size = [], 0
            await self.client.close()

    async def publish(self, subject: str, payload: bytes, timeout: float = 5.0) -> PubAck:
        """Store one message; returns once it is on disk.

        Raises `BusUnavailable` when no confirmation came within `timeout` seconds (it may have been stored), `BusFull` or `BusRefused`
        when it was not.
        """
        self._permitted()
        point(1)
        stored = await publishing.publish(self.client, self._replies, subject, payload, timeout)
        point(2)
        return stored

    async def publish_batch(self, messages: Sequence[tuple[str, bytes]], timeout: float = 10.0) -> PubAck:
        """Store 1 to 1,000 messages of one stream, all or none, at consecutive sequences in their order; errors as `publish`."""
        self._permitted()
        point(1)
        stored = await publishing.publish_batch(self.client, self._replies, messages, timeout)
        point(2)
        return stored

    async def pull_consumer(
        self, stream: str, name: str, filter_subjects: Sequence[str], start_seq: int, max_ack_pending: int
    ) -> PullConsumer:
        """A durable consumer that begins at `start_seq` (1: the first message); one of the same name is deleted before.

        `max_ack_pending` is also the most that one `fetch` returns.
        """
        consumer = PullConsumer(self, stream, name, filter_subjects, start_seq, max_ack_pending)
        await consumer.open()
        return consumer

    async def delete_consumer(self, stream: str, name: str) -> None:
        """Delete a consumer, or nothing when there is none of that name."""
        await self.api(f"CONSUMER.DELETE.{stream}.{name}", missing=_NO_CONSUMER)

    async def last_seq(self, stream: str) -> int:
        """The sequence of the stream's last message; 0 when it is empty."""
        return int((await self.api(f"STREAM.INFO.{stream}"))["state"]["last_seq"])

    async def last_of(self, stream: str, subject: str) -> bytes | None:
        """What the last message of the subject holds, of everything that was confirmed before; None when the stream has none of it."""
        found = await self.api(f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject}, missing=_NO_MESSAGE)
        return None if found is None else base64.b64decode(found["message"].get("data", ""))

    async def next_seq(self, stream: str, subject: str, start: int) -> int | None:
        """The sequence of the first message of the subject (wildcards too) from `start` on; None when the stream has none."""
        found = await self.api(f"STREAM.MSG.GET.{stream}", {"next_by_subj": subject, "seq": start}, missing=_NO_MESSAGE)
        return None if found is None else int(found["message"]["seq"])

    async def check(self) -> None:
        """Raises `BusUnavailable` when JetStream does not answer within a second, and why `publish` stores nothing: for readiness."""
        self._permitted()
        await self.api("INFO", timeout=1.0)

    async def connected(self, wait_s: float) -> None:
        """Wait for the connection to be there and, under `guard`, looked at. Raises `BusUnavailable` or the breach after `wait_s`."""
        try:
            async with asyncio.timeout(wait_s):
                await self._up.wait()
                await self._trusted.wait()
        except TimeoutError:
            self._permitted()
            raise BusUnavailable(AWAY) from None

    @property
    def is_ready(self) -> bool:
        """Connected, and not in doubt."""
        return self.client.is_connected and self._up.is_set() and self._trusted.is_set()

    async def ensure_streams(self) -> None:
        """Create the streams that are missing, with a credential that may.

        Raises `BusRefused` naming the first difference of one that exists, and `BusUnavailable` where one is missing and finds no room
        because a node of the cluster is down.
        """
        facts = await monitor.read(self._settings)
        account = (await self.api("INFO"))["limits"]["max_storage"]
        storage = min(limit for limit in (facts.max_storage, account) if limit > 0)
        for stream in STREAMS:
            declared = stream.configuration(facts.replicas, int(storage * stream.share))
            try:
                found = await self._found_or_made(stream.name, declared)
            except BusRefused as fault:
                if not facts.down:
                    raise
                why = f"{', '.join(sorted(facts.down))} is down, and each replica needs a node of its own: start it, then try again"
                raise BusUnavailable(f"stream {stream.name} could not be made ({fault}): {why}") from fault
            compare(declared, found["config"])

    async def _found_or_made(self, name: str, declared: Mapping[str, Any]) -> Any:
        """The stream. A node that has not joined its cluster yet knows of none and makes none, whatever the others' monitors say."""
        until = asyncio.get_running_loop().time() + JOIN_LIMIT_S
        while True:
            found = await self.api(f"STREAM.INFO.{name}", missing=_NO_STREAM)
            if found is not None:
                return found
            try:
                made = await self.api(f"STREAM.CREATE.{name}", declared, CREATE_LIMIT_S, missing=_NOT_JOINED)
            except BusUnavailable as fault:
                # A server does not answer what a credential may not ask.
                why = "may this credential make streams? MILEPOST_OWNER_NATS_URL is for that"
                raise BusUnavailable(f"stream {name} could not be made ({fault}); {why}") from fault
            if made is not None:
                return made
            if asyncio.get_running_loop().time() > until:
                why = "MILEPOST_NATS_MONITOR_URL is of a cluster, and the server that MILEPOST_OWNER_NATS_URL names is in none"
                raise BusRefused(f"stream {name} could not be made: {why}; name the same servers in both")
            await asyncio.sleep(0.2)

    async def verify(self) -> None:
        """Refuse, with `BusRefused`, a server that could lose what it confirmed or whose streams are not as declared.

        A node of a cluster that does not answer is left out where the others hear nothing of it and no stream's leader does.
        """
        version = self.client.connected_server_version
        numbers = tuple(int(part) for part in re.findall(r"\d+", str(version))[:3])
        if numbers < OLDEST_SERVER:
            found, oldest = ".".join(map(str, numbers)), ".".join(map(str, OLDEST_SERVER))
            raise BusRefused(f"nats-server {found} is too old; {oldest} or newer is expected: upgrade the server")
        facts = await monitor.read(self._settings)
        if not facts.down:
            self._note(facts.down)
        if not facts.sync_always:
            raise BusRefused(monitor.UNSYNCED)
        for stream in STREAMS:
            found = await self.api(f"STREAM.INFO.{stream.name}", missing=_NO_STREAM)
            if found is None:
                # A server knows of none before it has joined its cluster; from then on its word counts.
                await monitor.joined(facts.addresses)
                found = await self.api(f"STREAM.INFO.{stream.name}", missing=_NO_STREAM)
            if found is None:
                raise BusRefused(f"stream {stream.name} does not exist: run `milepost migrate`")
            compare(stream.configuration(facts.replicas, 1), found["config"])
            if facts.down:
                # What is confirmed is agreed on by the stream's own group: it may hear whom the cluster's leader does not.
                group = found.get("cluster") or {}
                silence.confirms_nothing(group.get("leader"), group.get("replicas") or (), facts.answered)
        self._note(facts.down)

    def _note(self, down: frozenset[str]) -> None:
        if down and down != self.down:
            _log.warning("nodes of the NATS cluster are down; the others are at work without them", nodes=sorted(down))
        elif self.down and not down:
            _log.info("every node of the NATS cluster answers again")
        self.down = down

    @property
    def breach(self) -> BusRefused | None:
        """Why the server breaks its contract, as `guard` found it last."""
        return self._broken if isinstance(self._broken, BusRefused) else None

    async def guard(self, every_s: float = GUARD_EVERY_S, looked: Callable[[], None] = lambda: None) -> None:
        """Until cancelled: holds the server to its contract while running; `looked` is called after each look.

        While it is broken, and from a renewed connection until the server was looked at again, `publish` stores nothing and raises: a
        server may come back with other settings than it went with. So may a node that was left out as down: it is looked at within
        `every_s` and the monitor's time limit of its return, and where it cannot be, `publish` stores nothing until it can. So may any
        other node, unseen: where looks have failed for `UNSEEN_S`, `publish` stores nothing until one succeeds.
        """
        self._guarded = True
        seen = monotonic()
        while not told_to_stop():
            self._doubt.clear()
            connections = self.connections
            try:
                # A look that never ends is one that failed.
                async with asyncio.timeout(UNSEEN_S):
                    await self.verify()
            except (BusUnavailable, TimeoutError) as error:
                fault = error if isinstance(error, BusUnavailable) else BusUnavailable("the bus could not be looked at in time")
                # Says nothing of the contract, and mends no breach; publishing fails by itself where the bus does not answer. But a node
                # that was down, or was not seen for long, may take part again and not have been looked at.
                if self.breach is None and (self._broken is not None or self.down or monotonic() - seen > UNSEEN_S):
                    self._distrust(fault)
            except BusError as fault:
                if self.breach is None:
                    _log.error("nothing is confirmed any more: the bus breaks its durability contract", reason=str(fault))
                self._distrust(fault)
            except Exception as unexpected:
                # Nobody would look any more, and what was seen last would be believed for ever.
                unseen = BusUnavailable(f"the bus could not be looked at ({type(unexpected).__name__}); the log says more")
                if str(self._broken) != str(unseen):
                    _log.error("the bus could not be looked at", exc_info=unexpected)
                if self.breach is None:
                    self._distrust(unseen)
            else:
                if self.connections != connections:
                    # What was seen before the connection was renewed says nothing of the server behind it now.
                    continue
                if self._broken is not None:
                    _log.info("the bus keeps its durability contract")
                self._broken, seen = None, monotonic()
                self._trusted.set()
            looked()
            with suppress(TimeoutError):
                async with asyncio.timeout(every_s if self._broken is None else min(every_s, 0.5)):
                    await self._doubt.wait()

    def _distrust(self, fault: BusError) -> None:
        if self._broken is None and isinstance(fault, BusUnavailable):
            _log.warning("nothing is published until the bus was looked at again", reason=str(fault))
        self._broken = fault
        self._trusted.clear()

    def _permitted(self) -> None:
        # The client calls itself connected some time before it tells of a renewed connection: its server was not looked at either.
        if not self._up.is_set() and self.breach is None:
            raise BusUnavailable(AWAY)
        if self._broken is not None:
            raise self._broken

    async def api(
        self, subject: str, body: Mapping[str, Any] | None = None, timeout: float = API_LIMIT_S, missing: int | None = None
    ) -> Any:
        """A JetStream API request, `$JS.API.<subject>`, and its answer; None when it says `missing`. Raises `BusError`."""
        answer = await self.request(f"$JS.API.{subject}", orjson.dumps(body) if body is not None else b"", timeout)
        document = cast(dict[str, Any], orjson.loads(answer))
        if error := document.get("error"):
            if error.get("err_code") == missing and missing is not None:
                return None
            raise from_server(error)
        return document

    async def request(self, subject: str, payload: bytes, timeout: float) -> bytes:
        """A request and its answer's payload. Raises `BusUnavailable` when none comes."""
        if not self.client.is_connected:
            raise BusUnavailable(AWAY)
        reply, answer = self._replies.expect()
        try:
            with translated("request"):
                async with asyncio.timeout(timeout):
                    await self.client.publish(subject, payload, reply=reply)
                    message = await answer
        finally:
            self._replies.forget(reply)
        if message.headers and message.headers.get("Status") == "503":
            raise BusUnavailable("JetStream does not answer: it is starting, or not enabled on this server")
        return message.data

    async def _on_connected(self) -> None:
        self.connections += 1
        self._up.set()
        if self.connections > 1:
            if self._guarded and self._broken is None:
                self._distrust(BusUnavailable("the connection was renewed, and the server has not been checked yet"))
                self._doubt.set()
            _log.info("connected to the bus again", count=self.connections)

    async def _on_disconnected(self) -> None:
        self._up.clear()
        if hasattr(self, "_replies"):
            self._replies.connection_lost()
        if not self.client.is_closed:
            _log.warning("connection to the bus lost")

    async def _on_closed(self) -> None:
        self._up.clear()

    async def _on_error(self, fault: Exception) -> None:
        if not self.connections:
            # Servers are tried in turn: so many refusals in a row are of each of them. One alone may not have the new credentials yet.
            self._refusals = self._refusals + 1 if "authorization violation" in str(fault).lower() else 0
            if self._refusals >= len(self._addresses):
                # Out of the client's loop of tries, which would go on until its time is over.
                raise BusRefused("connect to the bus: no server accepts the credentials in MILEPOST_NATS_URL") from fault
        if self.client._transport is not None and asyncio.current_task() is self.client._reconnection_task:
            # The next try forgets this one, open as it is where the server took the connection and said nothing.
            self.client._transport.close()  # type: ignore[no-untyped-call]
        # Every failed try to reconnect comes here as well, five a second; that the connection is lost was said once.
        write = _log.warning if self._up.is_set() else _log.debug
        write("bus client fault", error=type(fault).__name__)
