"""What is kept at work stops when it is told to, whatever its work makes of that."""

import asyncio
from contextlib import suppress

import pytest

from services.notify import supervise
from services.notify.supervise import Supervised


async def test_a_fault_in_place_of_a_cancellation_still_ends_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Law nothing-lost: the lead waits for its tasks to end before it is taken anew."""
    monkeypatch.setattr(supervise, "FIRST_WAIT_S", 0)
    begun = asyncio.Event()
    times = 0

    async def work() -> None:
        nonlocal times
        times += 1
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("the connection is gone") from None

    task = asyncio.create_task(Supervised("consumer", work).run())
    await begun.wait()
    for _ in range(5):
        await asyncio.sleep(0)  # Until it waits for the work itself, past its first look.
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=10)
    ended = task in done
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert ended and times == 1
