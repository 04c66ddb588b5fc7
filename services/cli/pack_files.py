"""Which packs a command means: files by their path, shipped packs by their id, and a tenant's own in the installation."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from services.cli.installation import reachable
from services.cli.terminal import EXIT_BAD_INPUT, stop
from services.decision.lifecycle.installed import SeveralTenants, published
from services.decision.rules.faults import FaultyPack
from services.decision.rules.library import FLOORS, SHIPPED, Pack, load_pack
from services.decision.store.connection import Database
from shared import db

ENDINGS = (".yaml", ".yml")


def shipped_files() -> list[Path]:
    return sorted(path for path in SHIPPED.glob("*.yaml") if path.stem not in FLOORS)


def files_of(command: str, names: Sequence[str] | None) -> list[Path]:
    """The files of these ids and paths; of every shipped pack if there are none. Leaves with a sentence where there is no such pack."""
    return [_file_of(command, name) for name in names] if names else shipped_files()


def _file_of(command: str, name: str) -> Path:
    file = SHIPPED / f"{name.partition('@')[0]}.yaml"
    if name.endswith(ENDINGS) or "/" in name or (not file.exists() and Path(name).exists()):
        return Path(name)
    if name in FLOORS or not file.exists():
        known = ", ".join(path.stem for path in shipped_files())
        stop(f"milepost {command}: there is no pack {name}; there are {known}, or give the path of a pack file")
    return file


def pack_of(command: str, name: str, tenant: str | None = None) -> Pack:
    """The pack that a path, `id`, `id@version` or content hash names: a file, a shipped pack, or one published in the installation.

    With a tenant its own packs come before the shipped ones of the same id. Leaves with a sentence where there is none.
    """
    if name.endswith(ENDINGS):
        try:
            return load_pack(Path(name))
        except FaultyPack as faulty:
            stop(str(faulty))
    shipped = [load_pack(path) for path in shipped_files()]
    id, _, version = name.partition("@")
    found = next(
        (one for one in shipped if name == one.protocol.hash or (one.protocol.id == id and version in ("", one.protocol.version))), None
    )
    if found is not None and tenant is None:
        return found
    return _published(command, name, tenant) or found or _nothing(command, name, tenant, shipped)


def _published(command: str, name: str, tenant: str | None) -> Pack | None:
    settings = reachable()
    if settings is None:
        return None
    try:
        return asyncio.run(published(Database.of(settings), name, tenant))
    except SeveralTenants as several:
        stop(f"milepost {command}: {several}")
    except FaultyPack as faulty:
        stop(f"milepost {command}: {name} was published, and this release cannot run it: {faulty.faults[0]}")
    except db.FAULTS as fault:
        why = (str(fault) or type(fault).__name__).splitlines()[0]
        stop(f"milepost {command}: {name} is no shipped pack, and the database that may know it does not answer: {why}", EXIT_BAD_INPUT)


def _nothing(command: str, name: str, tenant: str | None, shipped: Sequence[Pack]) -> Pack:
    who = "nobody here" if tenant is None else f"{tenant} has not"
    where = "nothing runs here whose tenants could have one" if reachable() is None else f"{who} published one of that name"
    known = ", ".join(one.protocol.id for one in shipped)
    stop(f"milepost {command}: there is no pack {name}; there are {known}; {where}; or give the path of a pack file")
