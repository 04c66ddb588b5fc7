"""A service that starts waits for a server that does not answer yet, and ends at once where it is refused."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial
from itertools import count, repeat
from types import SimpleNamespace
from typing import Any, cast

import asyncpg
import pytest
import structlog
from sqlalchemy.exc import DBAPIError, TimeoutError as NoConnectionLent
from structlog.testing import capture_logs

from shared import db, starting
from shared.bus import BusRefused, BusUnavailable
from shared.settings import Settings
from shared.starting import Patience

AWAY = BusUnavailable("request: no answer in time")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "AGAIN_S", 0.001)


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Warnings are written, whatever was configured before."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    yield
    structlog.configure(**before)


class Server:
    """Raises `faults` one after the other, then answers."""

    def __init__(self, *faults: Exception) -> None:
        self.asked = 0
        self._faults = iter(faults)

    async def __call__(self) -> str:
        self.asked += 1
        for fault in self._faults:
            raise fault
        return "the answer"


async def test_a_server_that_does_not_answer_yet_is_asked_until_it_does_and_that_is_said_once():
    server = Server(*[AWAY] * 3, *[db.DatabaseUnreachable("PostgreSQL cannot be used: the database system is starting up")] * 3)
    with capture_logs() as said:
        assert await Patience(60).answered("the bus", server) == "the answer"
    assert server.asked == 7
    assert said == [{"event": "waiting for the bus to answer", "reason": "request: no answer in time", "limit": 60, "log_level": "warning"}]


@pytest.mark.law("nothing-lost")
@pytest.mark.parametrize(
    "refused",
    [
        BusRefused("stream EVENTS: max_age is 1, expected 0"),
        db.DatabaseRefused("PostgreSQL runs with fsync off"),
        db.DatabaseUnreachable("PostgreSQL cannot be used: password authentication failed", may_pass=False),
    ],
    ids=["bus", "database", "password"],
)
async def test_what_waiting_does_not_mend_is_refused_at_once(refused: Exception):
    server = Server(AWAY, refused)
    with pytest.raises(type(refused)) as raised:
        await Patience(60).answered("the bus", server)
    assert raised.value is refused and server.asked == 2


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is a second after the one before."""
    monkeypatch.setattr(starting, "monotonic", partial(next, count()))


@pytest.mark.parametrize("fault", [AWAY, db.DatabaseUnreachable(str(AWAY))], ids=["bus", "database"])
async def test_a_server_that_never_answers_ends_the_start_in_one_line_once_the_time_is_over(fault: Exception, seconds: None):
    server = Server(*repeat(fault, 1000))
    with capture_logs() as said, pytest.raises(type(fault)) as raised:
        await Patience(5).answered("the bus", server)
    assert str(raised.value) == "the bus did not answer within 5 s: request: no answer in time"
    assert (server.asked, len(said)) == (5, 1)


async def test_without_patience_a_server_is_asked_once():
    server = Server(AWAY, AWAY)
    with capture_logs() as said, pytest.raises(BusUnavailable, match=r"^request: no answer in time$"):
        await Patience(0).answered("the bus", server)
    assert (server.asked, said) == (1, [])


async def test_the_servers_of_one_start_share_its_time(seconds: None):
    patience, database, bus = Patience(5), Server(AWAY, AWAY, AWAY), Server(*repeat(AWAY, 1000))
    await patience.answered("the database", database)
    with pytest.raises(BusUnavailable):
        await patience.answered("the bus", bus)
    assert (database.asked, bus.asked) == (4, 2)


@pytest.mark.parametrize("answers", [True, False])
async def test_a_start_that_is_told_to_stop_ends_even_where_a_library_swallows_that(answers: bool):
    """As `asyncio.wait_for` of Python 3.11 does, which both client libraries use."""
    asked = asyncio.Event()

    async def swallows() -> None:
        if asked.is_set():
            await asyncio.Event().wait()
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not answers:
                raise AWAY from None

    task = asyncio.create_task(Patience(60).answered("the bus", swallows))
    await asked.wait()
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=30)
    task.cancel()
    assert task in done and task.cancelled()


class FakeBus:
    def __init__(self) -> None:
        self.verify = Server(AWAY, AWAY)
        self.closed = False

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("refused", [False, True])
async def test_one_connection_to_the_bus_is_kept_while_its_streams_are_waited_for_and_closed_in_the_end(monkeypatch: Any, refused: bool):
    made: list[FakeBus] = []

    async def connect(settings: Settings, name: str) -> FakeBus:
        if not connecting:
            connecting.append(name)
            raise AWAY
        made.append(FakeBus())
        if refused:
            made[-1].verify = Server(AWAY, BusRefused("no"))
        return made[-1]

    connecting: list[str] = []
    monkeypatch.setattr(starting, "Bus", SimpleNamespace(connect=connect))
    async with AsyncExitStack() as stack:
        looked = Server(db.DatabaseUnreachable("PostgreSQL cannot be used: no"))
        asking = starting.connected(stack, Settings(), cast(Any, None), "milepost-test", lambda engine: cast(Any, looked()))
        with capture_logs() as said:
            if refused:
                with pytest.raises(BusRefused):
                    await asking
            else:
                assert cast(Any, await asking) is made[0]
        assert [line["event"] for line in said] == ["waiting for the database to answer", "waiting for the bus to answer"]
        assert (len(made), looked.asked, made[0].closed) == (1, 2, False)
    assert made[0].closed


def driven(fault: BaseException) -> DBAPIError:
    """As SQLAlchemy raises it: the driver's fault below its own."""
    own = Exception("of the adapter")
    own.__cause__ = fault
    raised = DBAPIError("SELECT 1", {}, own)
    raised.__cause__ = own
    return raised


PASSING = [
    ConnectionRefusedError(),
    ConnectionResetError(),
    TimeoutError(),
    NoConnectionLent("QueuePool limit"),
    asyncpg.CannotConnectNowError("the database system is starting up"),
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    asyncpg.AdminShutdownError("terminating connection due to administrator command"),
    asyncpg.CrashShutdownError("terminating connection because of crash of another server process"),
    asyncpg.TooManyConnectionsError("sorry, too many clients already"),
    asyncpg.IdleInTransactionSessionTimeoutError("terminating connection due to idle-in-transaction timeout"),
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.InternalClientError("cannot switch to state 11; another operation (2) is in progress"),
]
LASTING = [
    asyncpg.InvalidPasswordError("password authentication failed"),
    asyncpg.InvalidAuthorizationSpecificationError("no pg_hba.conf entry"),
    asyncpg.InvalidCatalogNameError("database does not exist"),
    asyncpg.InsufficientPrivilegeError("permission denied for table events"),
    asyncpg.UndefinedTableError("relation does not exist"),
    asyncpg.exceptions.ClientConfigurationError("invalid port"),
]


@pytest.mark.parametrize("below", [False, True], ids=["bare", "below SQLAlchemy"])
@pytest.mark.parametrize("fault", [*PASSING, *LASTING], ids=lambda fault: type(fault).__name__)
def test_a_database_that_starts_is_told_apart_from_one_that_refuses(fault: Exception, below: bool):
    with pytest.raises(db.DatabaseUnreachable) as raised, db.reached():
        raise driven(fault) if below else fault
    assert raised.value.may_pass is (fault in PASSING)
