"""`milepost keys`: create, list and revoke API keys in the running stack's database, or in the one that MILEPOST_DATABASE_URL names."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

import typer
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cli.terminal import EXIT_FAULT, complain, is_interactive, out, say, stop
from services.embedded import running
from shared.auth import ROLES, KeyRecord, create_key, list_keys, revoke_key
from shared.db import engine
from shared.settings import Settings, load

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Creates, lists and revokes API keys.")

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@app.command()
def create(
    tenant: Annotated[str, typer.Option(help="The clinic or organisation the key belongs to.")],
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}.")],
    name: Annotated[str, typer.Option(help="What the key is for, or whose it is.")],
    scopes: Annotated[str, typer.Option(help="Scopes with commas between; by default the role's own.")] = "",
    expires: Annotated[str, typer.Option(help="When it ends: 12h, 90d, 52w, or a date and time with offset. By default never.")] = "",
) -> None:
    """Creates a key and prints it, this once."""
    asked = [scope.strip() for scope in scopes.split(",") if scope.strip()] or None
    ends = _moment(expires, datetime.now(UTC))

    async def run(connection: AsyncConnection) -> tuple[KeyRecord, str]:
        return await create_key(connection, tenant, role, name, asked, ends)

    try:
        record, text = _on_database(run)
    except ValueError as fault:
        stop(f"milepost keys create: {fault}")
    # The key alone on standard output, so that KEY=$(milepost keys create …) works.
    say(text)
    until = f"until {record.expires_at:%Y-%m-%d %H:%M} UTC" if record.expires_at else "without end"
    complain(f"Key {record.id} of {record.tenant}, {record.role}, {until}. It is shown only now; keep it safe.")


@app.command("list")
def list_(tenant: Annotated[str, typer.Option(help="Only this tenant's keys.")] = "") -> None:
    """Lists the keys, oldest first; never their secrets."""
    records = _on_database(lambda connection: list_keys(connection, tenant or None))
    columns = ("id", "tenant", "role", "name", "scopes", "state", "last used")
    now = datetime.now(UTC)
    rows = [(r.id, r.tenant, r.role, r.name, ",".join(r.scopes), _state(r, now), _day(r.last_used_at)) for r in records]
    if is_interactive():
        table = Table(*columns)
        for row in rows:
            table.add_row(*row)
        out.print(table)
    else:
        for row in (columns, *rows):
            say("\t".join(row))


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `list` shows it.")]) -> None:
    """Revokes a key; services follow within seconds."""
    if not _on_database(lambda connection: revoke_key(connection, key_id, datetime.now(UTC))):
        stop(f"milepost keys revoke: no key {key_id} that is still in force; `milepost keys list` shows them", EXIT_FAULT)
    say(f"Key {key_id} is revoked.")


def _on_database(act: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    return asyncio.run(_act(_settings(), act))


async def _act(settings: Settings, act: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    database = engine(settings, pool_size=1)
    try:
        async with database.begin() as connection:
            return await act(connection)
    except (SQLAlchemyError, OSError, TimeoutError) as fault:
        why = str(fault.__cause__ or fault).splitlines()[0]
        stop(f"milepost keys: the database does not do this: {why}; is the stack running, and its schema up to date?", EXIT_FAULT)
    finally:
        await database.dispose()


def _settings() -> Settings:
    settings = load()
    if settings.database_url:
        return settings
    environment = running(settings.data_dir.resolve())
    if environment is None:
        stop(f"milepost keys: nothing runs on {settings.data_dir}; start `milepost up`, or set MILEPOST_DATABASE_URL")
    return load(database_url=environment["MILEPOST_DATABASE_URL"])


def _moment(text: str, now: datetime) -> datetime | None:
    """A time span from now, or a moment with its offset.

    >>> _moment("2d", datetime(2026, 1, 1, tzinfo=UTC))
    datetime.datetime(2026, 1, 3, 0, 0, tzinfo=datetime.timezone.utc)
    """
    if not text:
        return None
    try:
        if text[-1] in _UNITS and text[:-1].isdecimal():
            return now + int(text[:-1]) * _UNITS[text[-1]]
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        stop(f"milepost keys create: --expires {text!r}: expected 12h, 90d, 52w, or a moment as 2027-01-31T00:00:00Z")
    if moment.tzinfo is None:
        stop(f"milepost keys create: --expires {text!r}: expected an offset from UTC too, as in {text}Z")
    return moment


def _state(record: KeyRecord, now: datetime) -> str:
    if record.revoked_at is not None:
        return f"revoked {_day(record.revoked_at)}"
    if record.expires_at is not None and record.expires_at <= now:
        return f"expired {_day(record.expires_at)}"
    return f"until {_day(record.expires_at)}" if record.expires_at else "in force"


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "never"
