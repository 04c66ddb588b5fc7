"""What happens to packs by itself: planned publications, and the word that a live pack has expired."""

import asyncio
from datetime import UTC, datetime
from time import monotonic
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.lifecycle.office import NotPermitted, Office, Who
from services.decision.packs import Published
from services.decision.store.connection import borrowed
from shared.stopping import told_to_stop

LOOK_EVERY_S: Final = 1.0
SAY_EXPIRED_EVERY_S: Final = 3600.0

_log = structlog.get_logger("milepost.decision")


async def keep(engine: AsyncEngine, packs: Published, office: Office) -> None:
    """Until cancelled. Several processes may: only one can write the event that publishes."""
    said = -SAY_EXPIRED_EVERY_S
    while not told_to_stop():
        try:
            async with borrowed(engine) as connection:
                await packs.refresh(connection)
            if monotonic() - said >= SAY_EXPIRED_EVERY_S:
                packs.expired()
                said = monotonic()
            for tenant, pack, revision in office.due(datetime.now(UTC)):
                person = revision.scheduled_by or ("", "")
                async with borrowed(engine) as connection:
                    try:
                        await office.publish(connection, tenant, pack, Who(*person), revision.hash, None, planned=True)
                        _log.info("a planned publication took place", tenant=tenant, protocol=pack)
                    except NotPermitted as fault:
                        if (await office.life(connection, tenant, pack)).live == revision.hash:
                            continue  # Another process did it.
                        _log.error("a planned publication did not take place", tenant=tenant, protocol=pack, reason=str(fault))
        except Exception as fault:
            _log.warning("packs could not be looked after; trying again", exc_info=fault)
        await asyncio.sleep(LOOK_EVERY_S)
