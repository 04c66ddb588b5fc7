"""Law nothing-lost, looked at from outside the worker: what the bus took is in history, and what is not is fetched again."""

import asyncio
import base64
from collections.abc import Sequence

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.decision.reconciler import EMPTY, Message, Reconciler, _message, digest, named
from services.decision.store import leases, reconciliations
from services.decision.store.connection import borrowed
from shared.bus import Bus, BusUnavailable, Delivered, PullConsumer
from shared.proof import Keyring
from shared.settings import Settings
from tests.integration.decision.feeding import Run, pain, send, settled, started, until


async def windows(engine: AsyncEngine) -> Sequence[tuple[int, int, int, bool]]:
    async with borrowed(engine) as connection:
        return [one[1:] for one in await reconciliations.compared(connection, 10)]


async def passed(engine: AsyncEngine, stream_seq: int) -> None:
    """Waits until every partition has stored or passed this message."""

    async def every() -> bool:
        async with borrowed(engine) as connection:
            return await leases.checkpoint(connection) >= stream_seq

    await until(every)


@pytest.mark.law("nothing-lost")
async def test_what_history_lacks_is_named_counted_and_fetched_again(run: Run, engine: AsyncEngine, bus: Bus, settings: Settings):
    sent = [started("a", "c"), *(pain("a", "c", n) for n in range(1, 6))]
    reconciler = Reconciler(engine, bus)
    async with run():
        # One of them twice, and one with other content: both are accounted for.
        last = await send(bus, settings, "clinic", [*sent, sent[2], pain("a", "c", 3, nrs=7)])
        await settled(engine, "clinic", sent)
        await passed(engine, last)
    assert await reconciler.reconcile() == 0
    assert await windows(engine) == [(7, 7, 0, True)]
    assert await reconciler.reconcile() == 0, "nothing is new"
    key = Keyring(settings.secret_key_bytes).windows
    contents = [await sent_as(bus, number) for number in range(1, last + 1)]
    async with borrowed(engine) as connection:
        stored = await connection.fetchval("SELECT bus_digest FROM reconciliations")
    keyed, plain = (digest({named(one, each) for one in contents}) for each in (key, b""))
    assert stored == keyed != plain, "nobody without the installation's key can guess what was sent"
    owner = create_async_engine(settings.owner_database_url)
    async with owner.begin() as conn:
        await conn.exec_driver_sql("DELETE FROM events WHERE id = 'c-pain-4'")
        await conn.exec_driver_sql("DELETE FROM event_outcomes WHERE id = 'c-pain-4'")
        await conn.exec_driver_sql("DELETE FROM reconciled")
        await conn.exec_driver_sql("DELETE FROM reconciliations")
    await owner.dispose()
    assert await reconciler.reconcile() == 1
    assert await windows(engine) == [(7, 6, 1, False)]
    assert await bus.last_seq("EVENTS") == last + 1
    async with run():
        await settled(engine, "clinic", sent)
        await passed(engine, last + 1)
    assert await reconciler.reconcile() == 0


@pytest.mark.law("nothing-lost")
async def test_what_the_bus_hands_out_late_is_not_taken_for_erased(
    run: Run, engine: AsyncEngine, owner: AsyncEngine, bus: Bus, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """A fetch that brings nothing says only that the server took longer than its time."""
    reconciler = Reconciler(engine, bus)
    sent = [started("late", "handed-out"), pain("late", "handed-out", 1)]
    async with run():
        last = await send(bus, settings, "clinic", sent)
        await settled(engine, "clinic", sent)
        await passed(engine, last)
    async with owner.begin() as conn:
        await conn.exec_driver_sql("DELETE FROM events WHERE id = 'handed-out-pain-1'")
    fetch, empty = PullConsumer.fetch, [True]

    async def late(self: PullConsumer, n: int, wait_s: float) -> list[Delivered]:
        return [] if empty and empty.pop() else await fetch(self, n, wait_s)

    monkeypatch.setattr(PullConsumer, "fetch", late)
    assert await reconciler.reconcile() == 1
    assert not empty


@pytest.mark.law("nothing-lost")
async def test_a_consumer_that_is_served_nothing_any_more_is_given_up_and_made_anew(
    run: Run, engine: AsyncEngine, owner: AsyncEngine, bus: Bus, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """It would hold the lock and a connection for ever, and no other process could compare."""
    sent = [started("mute", "unserved"), pain("mute", "unserved", 1)]
    async with run():
        last = await send(bus, settings, "clinic", sent)
        await settled(engine, "clinic", sent)
        await passed(engine, last)
    async with owner.begin() as conn:
        await conn.exec_driver_sql("DELETE FROM events WHERE id = 'unserved-pain-1'")
    fetch, made, asked = PullConsumer.fetch, list[PullConsumer](), 0

    async def mute(self: PullConsumer, n: int, wait_s: float) -> list[Delivered]:
        nonlocal asked
        asked += 1
        assert asked <= 10 * EMPTY, "it is asked for ever"
        if self not in made:
            made.append(self)
        return [] if self is made[0] else await fetch(self, n, wait_s)

    monkeypatch.setattr(PullConsumer, "fetch", mute)
    with pytest.raises(BusUnavailable, match=f"{EMPTY} fetches in a row brought nothing"):
        await Reconciler(engine, bus).reconcile()
    assert asked == EMPTY
    made.clear()
    monkeypatch.setattr("services.decision.reconciler.EVERY_S", 0.01)
    running = asyncio.create_task(Reconciler(engine, bus).run())
    try:

        async def fetched_again() -> bool:
            return await bus.last_seq("EVENTS") > last

        await until(fetched_again)
        assert len(made) >= 2, "the first consumer was served nothing"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def sent_as(bus: Bus, number: int) -> Message:
    found = (await bus.api("STREAM.MSG.GET.EVENTS", {"seq": number}))["message"]
    return _message(number, found["subject"], base64.b64decode(found["data"]))


def test_a_digest_is_of_the_set_whatever_its_order():
    parts = [bytes([n]) * 32 for n in range(1, 5)]
    assert digest(parts) == digest(reversed(parts)) != digest(parts[1:])
    assert digest([]) == bytes(32)
