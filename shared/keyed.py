"""Connections to PostgreSQL that know the installation's secret, so that who reads by them can open what an athlete's key sealed."""

from functools import lru_cache
from typing import ClassVar, cast

import asyncpg

from shared.proof import Keyring


class Keyed(asyncpg.Connection):
    """A driver connection with the keyring under which athletes' keys are stored."""

    ring: ClassVar[Keyring]


@lru_cache(maxsize=8)
def connection_class(secret: bytes) -> type[Keyed]:
    """The class of connections with this secret: `asyncpg.connect(url, connection_class=connection_class(secret))`."""
    return cast("type[Keyed]", type("Keyed", (Keyed,), {"ring": Keyring(secret)}))


def ring_of(connection: object) -> Keyring:
    """The keyring of a connection. Raises `RuntimeError` for one that was opened without the secret."""
    ring = getattr(connection, "ring", None)
    if not isinstance(ring, Keyring):
        raise RuntimeError("the connection was opened without MILEPOST_SECRET_KEY, and a row needs it: set it as decision has it")
    return ring
