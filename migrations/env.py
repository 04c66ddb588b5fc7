"""Alembic's entry: on the connection of `shared.db.migrate`, or by the `alembic` command on the database the settings name."""

import asyncio

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from migrations import walls
from migrations.grants import grant, grant_eraser
from shared.db import ERASER_ROLE, SERVICE_ROLE, DatabaseRefused
from shared.settings import load, require
from shared.tables import metadata
from shared.tenancy import missing


def run(connection: Connection, service_role: str, eraser_role: str) -> None:
    context.configure(connection=connection, target_metadata=metadata, compare_type=True, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()
    # Only a schema that has been brought to the newest revision has every table that rights are given on.
    if context.get_context().get_current_revision() == context.get_head_revision():
        if not walls.can_be_built(connection, service_role):
            raise DatabaseRefused(missing(service_role))
        grant(connection, service_role)
        grant_eraser(connection, eraser_role)
        walls.build(connection, service_role, eraser_role)


async def run_by_command() -> None:
    settings = load()
    require(settings, "owner_database_url")
    engine = create_async_engine(settings.owner_database_url, hide_parameters=True)
    service_role = (make_url(settings.database_url).username if settings.database_url else None) or SERVICE_ROLE
    eraser_role = (make_url(settings.eraser_database_url).username if settings.eraser_database_url else None) or ERASER_ROLE
    try:
        async with engine.begin() as connection:
            await connection.run_sync(run, service_role, eraser_role)
    except DatabaseRefused as fault:
        raise CommandError(str(fault)) from None
    finally:
        await engine.dispose()


handed = context.config.attributes
if "connection" in handed:
    run(handed["connection"], handed["service_role"], handed["eraser_role"])
else:
    asyncio.run(run_by_command())
