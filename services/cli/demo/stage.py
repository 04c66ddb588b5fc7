"""What the demonstration stands on: a stack of its own from an empty directory, keys, a receiver, and how it speaks while it starts."""

import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import psutil

from services.cli.demo.chain import Chain
from services.cli.demo.receiver import Receiver
from services.cli.stack import Stack
from services.embedded.files import sole_use
from services.embedded.process import stop_remains
from shared.auth import create_key
from shared.db import engine
from shared.settings import load

TENANT: Final = "demo"
ROLES: Final = ("clinician", "integrator")
SERVERS: Final = ("postgres", "nats-server")
STOP_WITHIN_S: Final = 20
# Whatever servers the operator names, the demonstration writes to none of them. Webhooks go to its own receiver on loopback, and each
# change is told by itself.
OVERRIDES: Final = {
    "database_url": "",
    "owner_database_url": "",
    "nats_url": "",
    "nats_monitor_url": "",
    "host": "127.0.0.1",
    "ingest_port": 0,
    "decision_port": 0,
    "notify_port": 0,
    "allow_loopback_webhooks": True,
    "notice_coalesce_s": 0,
}


@dataclass(frozen=True)
class Stage:
    """Everything runs: `keys` are API keys by role, `endpoint` is the id under which the receiver is registered."""

    stack: Stack
    chain: Chain
    receiver: Receiver
    endpoint: str
    keys: dict[str, str]


@dataclass(frozen=True)
class Course:
    """A course that was played, and whose it is."""

    subject: str
    name: str


@asynccontextmanager
async def stage(tell: Callable[[str], None]) -> AsyncIterator[Stage]:
    """Starts everything anew; `tell` hears what happens. Raises what `Stack` raises."""
    data_dir = _directory()
    tell("clearing what the last demonstration left")
    if _is_there(data_dir):
        await _clear(data_dir)
    async with AsyncExitStack() as held:
        stack = await held.enter_async_context(Stack(OVERRIDES, data_dir, watch=True, tell=tell))
        tell("making keys and registering the webhook receiver")
        keys = await _keys(stack)
        receiver = await held.enter_async_context(Receiver())
        # The services close a connection that was idle for 5 s; dropped here before, none is lost in the moment it is used again.
        connector = aiohttp.TCPConnector(keepalive_timeout=2)
        session = await held.enter_async_context(aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)))
        chain = Chain(stack, session, keys)
        endpoint = await chain.register(receiver.url)
        receiver.secret = endpoint["secret"]
        yield Stage(stack, chain, receiver, endpoint["id"], keys)


def logs() -> Path:
    """Where the services of the demonstration write their logs."""
    return _directory() / "logs"


def _directory() -> Path:
    return load().data_dir.resolve() / "demo"


def _is_there(data_dir: Path) -> bool:
    return data_dir.is_dir()


async def _clear(data_dir: Path) -> None:
    # Held while it is emptied, so that a demonstration that runs on it keeps its data.
    with sole_use(data_dir):
        await stop_remains(lambda process: _is_server_of(process, data_dir), signal.SIGINT, STOP_WITHIN_S)
        shutil.rmtree(data_dir)


def _is_server_of(process: psutil.Process, data_dir: Path) -> bool:
    return process.name() in SERVERS and any(str(data_dir) in word for word in process.cmdline())


async def _keys(stack: Stack) -> dict[str, str]:
    database = engine(stack.settings, pool_size=1)
    try:
        async with database.begin() as connection:
            return {role: (await create_key(connection, TENANT, role, f"demonstration, {role}"))[1] for role in ROLES}
    finally:
        await database.dispose()
