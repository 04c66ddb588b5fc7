"""Answers to requests, through one inbox, so that a lost connection ends every wait at once instead of at its time limit."""

import asyncio
from itertools import count

from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.bus.errors import BusUnavailable


class Replies:
    """Hands each answer to the one who waits for it; answers that nobody waits for any more are dropped."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._numbers = count()
        self._waiting: dict[str, asyncio.Future[Msg]] = {}

    async def open(self) -> None:
        await self._client.subscribe(f"{self._inbox}.*", cb=self._deliver)

    def expect(self) -> tuple[str, asyncio.Future[Msg]]:
        """A fresh reply subject and the answer that will come to it. `forget` it in the end."""
        subject = f"{self._inbox}.{next(self._numbers)}"
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[subject] = answer
        return subject, answer

    def forget(self, subject: str) -> None:
        answer = self._waiting.pop(subject, None)
        if answer is not None and not answer.done():
            answer.cancel()

    def connection_lost(self) -> None:
        """End every wait with `BusUnavailable`: answers that were on their way will not come."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(BusUnavailable("the connection was lost while waiting for the answer"))
                answer.exception()  # Marks it as seen: of a batch's two answers one may never be awaited.

    async def _deliver(self, message: Msg) -> None:
        answer = self._waiting.get(message.subject)
        if answer is not None and not answer.done():
            answer.set_result(message)
