"""After an erasure the database's files still hold old bytes: dead rows, indexes, statistics, the write-ahead log. This rewrites them.

Only what nobody holds any more can be rewritten: PostgreSQL keeps dead rows for old snapshots and old log for its readers. So it is waited
for, and refused in words, before an erasure is called scrubbed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, NamedTuple

import asyncpg

from migrations.grants import ERASABLE, REMOVABLE
from services.decision.store import erasures, holding
from services.decision.store.connection import Connection
from services.decision.store.holding import Edge

TABLES: Final = (*ERASABLE, *REMOVABLE, "keys.athlete_keys", "keys.erasures", "pg_statistic")
"""Everything that held something of an athlete, and the samples that the planner takes of it."""
WAIT_S: Final = 60.0
LOCK_WAIT_S: Final = 60
"""How long a table may be in use by others: whoever wants it meanwhile waits behind the scrub."""
_LOOK_AGAIN_S: Final = 0.5

_SETTINGS: Final = {
    "wal_recycle": ("off", "PostgreSQL uses old segments of its log again, with their bytes"),
    "wal_keep_size": ("0", "PostgreSQL keeps old segments of its log for standbys"),
}


class NotScrubbed(Exception):
    """Old bytes may be left, and no erasure is called scrubbed; the text says what holds them and what to do."""


class Scrubbed(NamedTuple):
    """How many erasures it ended; `outside`: where else the bytes may be, one sentence each."""

    erasures: int
    outside: tuple[str, ...]


async def scrub(
    owner_url: str, wait_s: float = WAIT_S, tell: Callable[[str], None] = lambda line: None, if_needed: bool = False
) -> Scrubbed | None:
    """Rewrites every table that an erasure touches, with its indexes, and leaves no old segment of the log.

    `owner_url`: the role that owns the schema. Each table is locked while it is rewritten, and needs its own size of free disk. Waits
    `wait_s` seconds at most for what holds old rows or old log; `tell` hears what that is. With `if_needed`, None and nothing
    done where every erasure was scrubbed. Raises `NotScrubbed`, and what the driver raises.
    """
    connection = await asyncpg.connect(owner_url.replace("+asyncpg", ""), timeout=10)
    try:
        if if_needed and not (await erasures.unscrubbed(connection)).number:
            return None
        await _check(connection)
        erased = await connection.fetch(
            "SELECT tenant, pseudonym, erased_at FROM keys.erasures WHERE erased_at IS NOT NULL AND scrubbed_at IS NULL"
        )
        # Every row that these removed was dead before this moment.
        moment = await holding.edge(connection)
        await _unheld(connection, moment, wait_s, tell)
        await _rewrite(connection)
        # A standby or a slot may ask for older rows than it did; then they were kept.
        await _unheld(connection, moment, 0, tell)
        logged = await _trimmed(connection, wait_s, tell)
        await connection.executemany(
            "UPDATE keys.erasures SET scrubbed_at = clock_timestamp() WHERE tenant = $1 AND pseudonym = $2 AND erased_at = $3",
            [tuple(row) for row in erased],
        )
        return Scrubbed(len(erased), await _outside(connection, logged))
    finally:
        await connection.close(timeout=5)


async def _check(connection: Connection) -> None:
    for name, (expected, why) in _SETTINGS.items():
        if await connection.fetchval("SELECT current_setting($1)", name) != expected:
            raise NotScrubbed(f"{why}: set {name} = {expected} and reload it")
    if not await connection.fetchval("SELECT has_function_privilege('pg_ls_waldir()', 'EXECUTE')"):
        raise NotScrubbed("this role may not list the segments of the log: run the grants at the end of deploy/postgres/roles.sql")


async def _unheld(connection: Connection, moment: Edge, wait_s: float, tell: Callable[[str], None]) -> None:
    """Waits until nobody holds anything from before the moment: from then on nobody can any more."""

    async def held() -> str:
        return "; ".join(await holding.holders(connection, moment))

    await _gone(held, wait_s, tell)


async def _gone(held: Callable[[], Awaitable[str]], wait_s: float, tell: Callable[[str], None]) -> None:
    deadline, told = monotonic() + wait_s, ""
    while by := await held():
        if monotonic() >= deadline:
            raise NotScrubbed(f"old bytes are held, and nothing was called scrubbed: {by}; then run it again")
        if by != told:
            told = by
            tell(f"waiting for what holds old bytes: {by}")
        await asyncio.sleep(_LOOK_AGAIN_S)


async def _rewrite(connection: Connection) -> None:
    await connection.execute(f"SET lock_timeout = '{LOCK_WAIT_S}s'")
    # Statistics first: their own old rows are among what is rewritten.
    await connection.execute("ANALYZE", timeout=3600)
    for table in TABLES:
        try:
            await connection.execute(f"VACUUM (FULL) {table}", timeout=24 * 3600)
        except asyncpg.LockNotAvailableError:
            users = ", ".join(map(str, await holding.using(connection, table))) or "a process that has ended since"
            raise NotScrubbed(f"{table} was in use for {LOCK_WAIT_S} s by {users}: let it end, then run it again") from None


async def _trimmed(connection: Connection, wait_s: float, tell: Callable[[str], None]) -> Edge:
    """Leaves no segment of the log that was written before now; now. Before it, images of pages may hold the bytes still."""
    moment = await holding.edge(connection)
    for _ in range(2):
        # A checkpoint keeps the segment it stands in: the second removes that of the first.
        await connection.execute("SELECT pg_switch_wal()")
        await connection.execute("CHECKPOINT", timeout=3600)

    async def held() -> str:
        if not await holding.segments(connection, moment):
            return ""
        await connection.execute("CHECKPOINT", timeout=3600)
        if not (left := await holding.segments(connection, moment)):
            return ""
        by = [one for one in await holding.holders(connection, moment) if one.startswith("replication slot")]
        by += [words for words in (await holding.archiving(connection),) if words]
        return f"{left} segments of the log from before {moment.lsn} are left ({'; '.join(by) or 'the next checkpoint may remove them'})"

    await _gone(held, wait_s, tell)
    return moment


async def _outside(connection: Connection, logged: Edge) -> tuple[str, ...]:
    found = []
    if await holding.archiving(connection) is not None:
        found.append(
            f"the log is archived: archived segments and base backups from before {logged.lsn} ({logged.at.isoformat(sep=' ')}) "
            "hold bytes of the erased; remove them"
        )
    if standbys := await holding.standbys(connection):
        found.append(
            f"{standbys} servers receive the log: they rewrite their tables as this one did, their own log segments are theirs to remove"
        )
    return tuple(found)
