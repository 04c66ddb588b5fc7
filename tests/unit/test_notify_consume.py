"""How decisions are read from the bus."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from services.notify.consume import Consumer
from services.notify.messages import Message
from shared.bus import Bus, Delivered
from shared.settings import Settings


class Enough(Exception):
    """Ends the reading."""


class Pulled:
    """A consumer of the bus that has two batches and says what is done with it."""

    def __init__(self, said: list[str]) -> None:
        self._said = said
        self._left = 2

    async def pull_consumer(self, *_: Any) -> "Pulled":
        return self

    async def api(self, *_: Any, **__: Any) -> None:
        return None

    async def fetch(self, *_: Any) -> Sequence[Delivered]:
        if not self._left:
            raise Enough
        self._left -= 1
        self._said.append("fetched")
        return [cast(Delivered, _Handed())]

    async def ack_all(self, _: Delivered) -> None:
        self._said.append("confirmed")

    async def close(self) -> None:
        self._said.append("closed")


class _Handed:
    data = b"{}"
    subject = "dec.0.p"
    stream_seq = 1


async def test_nothing_more_is_fetched_until_what_was_fetched_is_told_and_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    consumer = Consumer(cast(Any, None), cast(Bus, Pulled(said)), Settings(), cast(Any, None), lambda _: None, lambda: None)

    async def tell(batch: Sequence[Message], read_to: int) -> None:
        assert read_to == _Handed.stream_seq
        # Whatever was begun beside it would have its turn here.
        for _ in range(10):
            await asyncio.sleep(0)
        said.append("told")

    monkeypatch.setattr(consumer, "tell", tell)
    with pytest.raises(Enough):
        await consumer.run()
    assert said == ["fetched", "told", "confirmed", "fetched", "told", "confirmed", "closed"]
