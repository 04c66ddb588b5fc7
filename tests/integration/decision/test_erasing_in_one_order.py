"""Everybody takes locks in the order of shared/locks.py: an erasure between others' statements misses nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.eraser import opened
from services.decision.store import answer_links, erase
from services.decision.store.connection import borrowed
from services.decision.store.remains import Remains
from services.notify.notices import Course
from services.notify.store import courses, escalations, recalls, sending, taking, telling
from services.notify.store.sending import Attempt, Settled
from services.notify.store.telling import NewDelivery
from shared.answer_links import AnswerLink
from shared.locks import ERASING, POSITIONS, SEALS, STRETCHES
from shared.placing import pseudonym
from shared.proof import Keyring
from shared.settings import Settings
from tests.integration.decision.feeding import until

NOW = datetime(2026, 3, 2, 7, tzinfo=UTC)
TENANT, NAME, COURSE = "clinic", "between", "between-course"
KEPT = (
    "INSERT INTO courses VALUES ('clinic', 'between-course', 'between', 0, 'p', 'open', 1, 'hold', 'routine', false, now(), now(), '{}')",
    "INSERT INTO course_notices VALUES ('clinic', 'between-course', NULL, NULL, now(), NULL, NULL, NULL)",
    "INSERT INTO notices (id, outbox, tenant, athlete, course, seq, type, body, created_at)"
    " VALUES ('nb', 901, 'clinic', 'between', 'between-course', 1, 'course.referred', '{}', now())",
    "INSERT INTO escalations VALUES ('clinic', 'between-course', 'referral', 'between', 'nb', '{}', 0, NULL, now(), 'a newer one')",
    "INSERT INTO deliveries (id, tenant, endpoint, notice, state, tries, created_at, course)"
    " VALUES ('db', 'clinic', 'e', 'nb', 'pending', 0, now(), 'between-course'), ('dc', 'clinic', 'f', 'nb', 'pending', 0, now(), NULL)",
    "INSERT INTO keys.athlete_keys VALUES ('clinic', 'between', '', now(), NULL)",
)
HELD = ("courses", "course_notices", "notices", "escalations", "deliveries", "attempts", "acknowledgements", "answer_links")


@pytest.fixture(scope="module")
async def owning(settings: Settings) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(settings.owner_database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


@pytest.fixture
async def erasing(settings: Settings, owning: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Rows of one athlete everywhere, and what erases them."""
    # It waits for the test, which may take a while on a busy machine.
    monkeypatch.setattr(erase, "LOCK_WAIT_S", 60)
    for table in (*HELD, "keys.athlete_keys"):
        await owning.execute(f"DELETE FROM {table}")
    for statement in KEPT:
        await owning.execute(statement)
    async with AsyncExitStack() as stack:
        eraser, _ = await opened(stack, settings)

        async def carried_out() -> None:
            async with borrowed(eraser._engine) as connection:
                await erase.erase(
                    connection,
                    Remains(Keyring(settings.secret_key_bytes).remains),
                    TENANT,
                    NAME,
                    pseudonym(settings.pseudonym_key_bytes, TENANT, NAME),
                )

        yield carried_out


async def held(owning: Any) -> list[str]:
    return [table for table in HELD if await owning.fetchval(f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE '%between%'")]


async def waiting(owning: Any, times: int = 1) -> bool:
    return bool(await owning.fetchval("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted") == times)


@asynccontextmanager
async def beside(work: Callable[[], Awaitable[None]], owning: Any) -> AsyncIterator[None]:
    """Inside, the erasure has begun and waits for the test; it goes on and ends after."""
    task = asyncio.ensure_future(work())
    await until(lambda: waiting(owning))
    yield
    await asyncio.wait_for(task, 90)


def told() -> dict[tuple[str, str], Course]:
    return {(TENANT, COURSE): Course()}


async def tells(connection: Any) -> None:
    await taking.take(connection, told(), {})


async def puts_a_policy_in_force(connection: Any) -> None:
    await telling.in_line(connection)
    await courses.save(connection, told())


@pytest.mark.parametrize("begun", ["tells", "recalls"])
async def test_who_tells_and_who_erases_never_wait_for_one_another(
    engine: AsyncEngine, owning: Any, erasing: Callable[[], Awaitable[None]], begun: str
):
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(borrowed(engine))
        transaction = connection.transaction()
        await transaction.start()
        if begun == "tells":
            await courses.of(connection, [(TENANT, COURSE)])
        else:
            await recalls.alone(connection)
        await stack.enter_async_context(beside(erasing, owning))
        await (tells if begun == "tells" else puts_a_policy_in_force)(connection)
        await transaction.commit()
    assert await held(owning) == []


async def attempted(connection: Any) -> None:
    attempt = Attempt("dc", 1, TENANT, NOW, 1, 200, None, {}, b"between", b"between")
    await sending.record(connection, [attempt], [Settled(id, "delivered", None, 1, None, NOW) for id in ("dc", "db")])


async def acknowledged(connection: Any) -> None:
    await escalations.acknowledge(connection, TENANT, "nb", COURSE, "k", NOW)


async def answered(connection: Any) -> None:
    await answer_links.take(connection, AnswerLink(TENANT, COURSE, "d", "k", "nb", 2_000_000_000), NOW)


async def recovered(connection: Any) -> None:
    await telling.add_deliveries(connection, [NewDelivery(TENANT, "g", "nb", COURSE)], NOW)


WRITERS = {work.__name__: work for work in (attempted, acknowledged, answered, recovered)}


@pytest.mark.parametrize("name", WRITERS)
async def test_what_was_being_written_when_an_erasure_began_is_erased_too(
    engine: AsyncEngine, owning: Any, erasing: Callable[[], Awaitable[None]], name: str
):
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(borrowed(engine))
        transaction = connection.transaction()
        await transaction.start()
        await WRITERS[name](connection)
        await stack.enter_async_context(beside(erasing, owning))
        await transaction.commit()
    assert await held(owning) == []


@pytest.mark.parametrize("name", WRITERS)
async def test_what_is_written_after_an_erasure_brings_nothing_back(
    engine: AsyncEngine, owning: Any, erasing: Callable[[], Awaitable[None]], name: str
):
    await erasing()
    async with borrowed(engine) as connection:
        await WRITERS[name](connection)
    assert await held(owning) == []


def test_the_eraser_takes_its_locks_in_the_order_of_the_document():
    named = ("course_notices", str(POSITIONS), "deliveries", "acknowledgements", str(SEALS), str(STRETCHES), str(ERASING))
    assert all(word in lock for word, lock in zip(named, erase.LOCKS, strict=True))
