"""Publishing that returns only once the server has the message on disk: singly, or many as one atomic batch."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import uuid4

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.bus.errors import BusRefused, BusUnavailable, from_server, translated
from shared.bus.replies import Replies
from shared.bus.streams import MESSAGE_LIMIT, stream_of

BATCH_LIMIT: Final = 1000
"""Messages in one atomic batch; the server's limit."""

PAYLOAD_LIMIT: Final = MESSAGE_LIMIT - 160
"""Bytes of one payload: the rest is for the headers of a batch."""


@dataclass(frozen=True)
class PubAck:
    """What the server confirmed: the last of `count` consecutive sequences in `stream`."""

    stream: str
    seq: int
    count: int = 1

    @property
    def first_seq(self) -> int:
        return self.seq - self.count + 1


async def publish(client: Client, replies: Replies, subject: str, payload: bytes, timeout: float) -> PubAck:
    """One message. Errors as `Bus.publish` says."""
    stream = stream_of(subject)
    _fits(payload)
    _connected(client)
    reply, answer = replies.expect()
    try:
        with translated("publish"):
            async with asyncio.timeout(timeout):
                await client.publish(subject, payload, reply=reply)
                return _confirmed(await answer, stream, 1)
    finally:
        replies.forget(reply)


async def publish_batch(client: Client, replies: Replies, messages: Sequence[tuple[str, bytes]], timeout: float) -> PubAck:
    """All of them or none, in their order (ADR-50). Errors as `Bus.publish_batch` says."""
    if not 0 < len(messages) <= BATCH_LIMIT:
        raise BusRefused(f"a batch of {len(messages)} messages; expected 1 to {BATCH_LIMIT}")
    if len(messages) == 1:
        return await publish(client, replies, *messages[0], timeout)
    stream = stream_of(messages[0][0])
    for subject, payload in messages:
        if stream_of(subject) != stream:
            raise BusRefused("a batch with subjects of two streams; expected one stream")
        _fits(payload)
    _connected(client)
    # The server answers the first message (empty, or why it takes no batch) and the last; all are sent without waiting in between,
    # because a batch it did not open makes the last one's answer an error.
    opened_at, opened = replies.expect()
    stored_at, stored = replies.expect()
    batch, last = uuid4().hex, len(messages)
    try:
        with translated("publish of a batch"):
            async with asyncio.timeout(timeout):
                for number, (subject, payload) in enumerate(messages, 1):
                    headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
                    if number == last:
                        headers["Nats-Batch-Commit"] = "1"
                        await client.publish(subject, payload, reply=stored_at, headers=headers)
                    elif number == 1:
                        await client.publish(subject, payload, reply=opened_at, headers=headers)
                    else:
                        await client.publish(subject, payload, headers=headers)
                answer = await stored
                if opened.done() and opened.exception() is None and opened.result().data:
                    _read(opened.result())  # Raises why the batch was not opened: more telling than what came of it.
                return _confirmed(answer, stream, last)
    finally:
        replies.forget(opened_at)
        replies.forget(stored_at)


def _fits(payload: bytes) -> None:
    if len(payload) > PAYLOAD_LIMIT:
        raise BusRefused(f"a message of {len(payload)} bytes; expected at most {PAYLOAD_LIMIT}")


def _connected(client: Client) -> None:
    # The client would keep it in memory and send it after a reconnect, long after its sender was told that it failed.
    if not client.is_connected:
        raise BusUnavailable("not connected to the bus; the client keeps trying")


def _confirmed(answer: Msg, stream: str, count: int) -> PubAck:
    body = _read(answer)
    if body.get("stream") != stream or body.get("count", 1) != count:
        raise BusRefused(
            f"stream {body.get('stream')} confirmed {body.get('count', 1)} messages; expected {stream} to confirm {count}: "
            "another stream takes these subjects"
        )
    return PubAck(stream, int(body["seq"]), count)


def _read(answer: Msg) -> dict[str, Any]:
    if answer.headers and answer.headers.get("Status") == "503":
        raise BusUnavailable("no stream takes this subject now: JetStream is starting, electing a leader, or was not set up")
    try:
        body = cast(dict[str, Any], orjson.loads(answer.data))
    except orjson.JSONDecodeError:
        raise BusRefused("the answer is not a JetStream acknowledgement: another program answers on these subjects") from None
    if "error" in body:
        raise from_server(body["error"])
    return body
