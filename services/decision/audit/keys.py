"""Every athlete's key as a verification needs it: found by the bytes of the two columns as a scan brings them, opened when first used."""

from collections.abc import Iterable
from struct import pack

from services.decision.store import keys
from services.decision.store.connection import Connection
from services.decision.store.remains import GONE
from shared.proof import Envelope, KeyFault, Keyring


class NoKey(Exception):
    """There is no key for this athlete, not even a destroyed one."""


class Keys:
    def __init__(self, ring: Keyring, wrapped: dict[bytes, tuple[str, str, bytes | None]]) -> None:
        self._ring = ring
        self._wrapped = wrapped
        self.gone: dict[bytes, tuple[str, str]] = {}
        """(tenant, pseudonym) of those who were erased, by the two columns as they stand in an erased row."""
        self._open: dict[bytes, bytes | None] = {}
        self._envelopes: dict[bytes, tuple[bytes, Envelope] | None] = {}

    @classmethod
    async def load(cls, connection: Connection, ring: Keyring) -> "Keys":
        rows = await connection.fetch("SELECT tenant, athlete, wrapped FROM keys.athlete_keys")
        found = cls(ring, {_name(row["tenant"], row["athlete"]): tuple(row) for row in rows})
        await found._load_gone(connection)
        return found

    @classmethod
    async def of_some(cls, connection: Connection, ring: Keyring, athletes: Iterable[tuple[str, str]]) -> "Keys":
        """As `load`, with the keys of these athletes alone."""
        found = cls(ring, {_name(*one): (*one, wrapped) for one, wrapped in (await keys.wrapped(connection, athletes)).items()})
        await found._load_gone(connection)
        return found

    async def _load_gone(self, connection: Connection) -> None:
        for row in await connection.fetch("SELECT tenant, pseudonym FROM keys.erasures"):
            self.gone[_name(row["tenant"], GONE + row["pseudonym"])] = (row["tenant"], row["pseudonym"])

    def broken(self) -> list[tuple[str, str]]:
        """(tenant, athlete) of every key that does not open. Opens all."""
        found = []
        for name, (tenant, athlete, _) in self._wrapped.items():
            try:
                self.of(name)
            except KeyFault:
                found.append((tenant, athlete))
        return found

    def opening(self, athlete: bytes) -> tuple[bytes, Envelope] | None:
        """The key of an athlete with what opens their bodies; as `of`."""
        if athlete not in self._envelopes:
            key = self.of(athlete)
            self._envelopes[athlete] = None if key is None else (key, Envelope(key))
        return self._envelopes[athlete]

    def of(self, athlete: bytes, default: bytes | None = None) -> bytes | None:
        """The key of an athlete (tenant and athlete with their lengths in front); None where it was destroyed.

        Raises `KeyFault` for one that does not open, `NoKey` where there is none and no `default`.
        """
        if athlete in self._open:
            return self._open[athlete]
        found = self._wrapped.get(athlete)
        if found is None:
            if default is None:
                raise NoKey("its athlete has no key: the row names another athlete than was written, or the key was removed")
            return default
        tenant, name, wrapped = found
        self._open[athlete] = None if wrapped is None else self._ring.unwrap(wrapped, tenant, name)
        return self._open[athlete]


def _name(tenant: str, athlete: str) -> bytes:
    return b"".join(pack(">i", len(part)) + part for part in (tenant.encode(), athlete.encode()))
