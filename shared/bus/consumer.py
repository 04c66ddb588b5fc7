"""Reading a stream in order, by short pulls, without ever skipping a message that got lost between server and reader.

The server would deliver a lost message again, but only after `ack_wait` and behind younger ones; a reader that moves its checkpoint
forward meanwhile would take it for one it already has, and lose it. So deliveries are counted: whenever the consumer's own sequence
has a gap, or the connection was renewed, the consumer is made anew behind the last message that was handed out.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Final

import nats.errors
import orjson
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from shared.bus.errors import BusUnavailable, translated
from shared.crash import point
from shared.stopping import told_to_stop

if TYPE_CHECKING:
    from shared.bus.bus import Bus

ACK_WAIT_S: Final = 30
ACK_LIMIT_S: Final = 10
ANSWER_LIMIT_S: Final = 1.0
_SECOND: Final = 1_000_000_000

_log = structlog.get_logger("milepost.bus")


@dataclass(frozen=True)
class Delivered:
    """One message: `stream_seq` is its place in the stream, `waiting` how many further ones the consumer had for us then."""

    subject: str
    data: bytes = field(repr=False)
    stream_seq: int
    waiting: int
    consumer_seq: int = field(repr=False)
    incarnation: int = field(repr=False)
    ack_subject: str = field(repr=False)


class PullConsumer:
    """A durable consumer of one reader. Not for concurrent use: one `fetch` at a time, and `ack_all` between fetches."""

    def __init__(self, bus: "Bus", stream: str, name: str, filter_subjects: Sequence[str], start_seq: int, max_ack_pending: int) -> None:
        self._bus = bus
        self._stream = stream
        self._name = name
        self._filters = tuple(filter_subjects)
        self._max_ack_pending = max_ack_pending
        self._position = max(start_seq, 1) - 1
        self._incarnation = 0
        self._consumer_seq = 0
        self._connection = -1
        self._pulls = count()
        self._ready: deque[Delivered] = deque()
        self._inbox = ""
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        """Delete what the server has under this name and create it behind the last message handed out. Raises `BusError`."""
        await self._unsubscribe()
        connection = self._bus.connections
        # A fresh inbox: what the former incarnation still has on its way ends nowhere.
        self._inbox = self._bus.client.new_inbox()
        with translated("consume"):
            self._subscription = await self._bus.client.subscribe(f"{self._inbox}.*", pending_bytes_limit=1 << 30)
        await self._bus.delete_consumer(self._stream, self._name)
        await self._bus.api(
            f"CONSUMER.CREATE.{self._stream}.{self._name}",
            {
                "stream_name": self._stream,
                "action": "create",
                "config": {
                    "name": self._name,
                    "durable_name": self._name,
                    "deliver_policy": "by_start_sequence",
                    "opt_start_seq": self._position + 1,
                    "ack_policy": "all",
                    "ack_wait": ACK_WAIT_S * _SECOND,
                    "max_deliver": -1,
                    "max_ack_pending": self._max_ack_pending,
                    "filter_subjects": list(self._filters),
                    "replay_policy": "instant",
                },
            },
        )
        self._incarnation += 1
        self._consumer_seq = 0
        self._connection = connection
        self._ready.clear()

    async def close(self) -> None:
        """Stop listening; the consumer stays on the server."""
        await self._unsubscribe()

    async def fetch(self, n: int, wait_s: float) -> list[Delivered]:
        """Up to `n` messages in stream order: at once when some are there, else the first that comes within `wait_s`, else none.

        Takes at most `wait_s` and a second. Raises `BusUnavailable` while there is no connection or no server behind it.
        """
        deadline = monotonic() + wait_s
        if not self._bus.is_ready:
            await self._bus.connected(wait_s)
        if self._connection != self._bus.connections:
            await self._renew("the connection was renewed")
        n = min(n, self._max_ack_pending)
        if not self._ready:
            await self._pull({"batch": n, "no_wait": True}, n, monotonic() + ANSWER_LIMIT_S)
        if not self._ready and (left := deadline - monotonic()) > 0:
            await self._pull({"batch": 1, "expires": max(int(left * _SECOND), 1_000_000)}, 1, deadline + ANSWER_LIMIT_S / 4)
            if self._ready and self._ready[-1].waiting and n > 1:
                await self._pull({"batch": n - 1, "no_wait": True}, n, monotonic() + ANSWER_LIMIT_S / 2)
        taken = [self._ready.popleft() for _ in range(min(n, len(self._ready)))]
        if taken:
            self._position = taken[-1].stream_seq
        return taken

    async def ack_all(self, last: Delivered) -> None:
        """Confirm `last` and everything before it, and wait for the server to know. Raises `BusUnavailable` after 10 s."""
        if last.incarnation != self._incarnation:
            return  # The consumer was made anew behind it; the server will not deliver it again.
        point(6)
        await self._bus.request(last.ack_subject, b"+ACK", ACK_LIMIT_S)
        point(7)

    async def _pull(self, request: dict[str, object], until: int, deadline: float) -> None:
        """Ask once, and gather into `_ready` until it holds `until`, the server has no more, it says so, or the deadline passes."""
        assert self._subscription is not None
        reply = f"{self._inbox}.{next(self._pulls)}"
        with translated("pull"):
            await self._bus.client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}", orjson.dumps(request), reply=reply)
        while len(self._ready) < until and (left := deadline - monotonic()) > 0:
            try:
                message = await self._subscription.next_msg(left)
            except (nats.errors.TimeoutError, TimeoutError):
                return
            except nats.errors.Error as fault:
                raise BusUnavailable(f"pull: {fault}") from fault
            if told_to_stop():
                # The client handed out the message that came with the cancellation, and the cancellation is lost with it.
                raise asyncio.CancelledError
            if message.subject.startswith(self._inbox):
                if message.subject == reply:
                    await self._ended(message)
                    return
                continue  # The end of an earlier pull, told late.
            delivered = _delivered(message, self._incarnation)
            if delivered.consumer_seq != self._consumer_seq + 1:
                await self._renew("a delivery was lost")
                return
            self._consumer_seq = delivered.consumer_seq
            if delivered.stream_seq <= (self._ready[-1].stream_seq if self._ready else self._position):
                continue  # Delivered again because its acknowledgement took longer than ack_wait.
            self._ready.append(delivered)
            if not delivered.waiting and not self._subscription.pending_msgs:
                # Nothing more there nor on its way. `waiting` alone would leave what came one by one to one fetch each.
                return

    async def _ended(self, status: Msg) -> None:
        code = (status.headers or {}).get("Status", "")
        if code in ("404", "408"):
            return
        # 409: deleted, or its leader moved; 503: nobody answers for it. Either way it must be made anew.
        await self._renew(f"the server ended the pull with {code}")

    async def _renew(self, why: str) -> None:
        _log.warning("consumer made anew", stream=self._stream, consumer=self._name, reason=why, stream_seq=self._position)
        self._connection = -1
        if self._ready:
            # In order up to the gap, and not yet seen by anybody: read again from the stream.
            self._ready.clear()
        await self.open()

    async def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        try:
            await subscription.unsubscribe()
        except nats.errors.Error:
            return  # The connection is gone, and the subscription with it.


def _delivered(message: Msg, incarnation: int) -> Delivered:
    # $JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>; behind a hub two tokens more come first.
    tokens = message.reply.split(".")
    stream_seq, consumer_seq, _, waiting = (int(token) for token in (tokens[-4:] if len(tokens) == 9 else tokens[7:11]))
    return Delivered(message.subject, message.data, stream_seq, waiting, consumer_seq, incarnation, message.reply)
