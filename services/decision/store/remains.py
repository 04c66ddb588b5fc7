"""What an erased row holds: values that follow from its place and from whom it was of (a pseudonym), and nothing else.

So `verify` can demand exactly these values of it, and a flipped bit in what is left is found without the athlete's key.
"""

import hmac
from datetime import UTC, datetime
from struct import pack
from typing import Any, Final
from uuid import UUID

from services.decision.store.committing import CONFLICT, DECISION, EVENT

GONE: Final = "erased-"
"""Begins the athlete of every erased row; the pseudonym follows."""
WORD: Final = "erased"
NUL: Final = "\0"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

ERASED: Final = "milepost.athlete.erased"
"""The type of the event that asks for an erasure, and stands in history as its record."""
SOURCE: Final = "urn:milepost:erasures"
LATE: Final = "urn:milepost:erased"
"""The source of events that came of an athlete who was erased before."""


def event_id(pseudonym: str) -> str:
    """The id of the one event that asks for this erasure."""
    return f"erasure-{pseudonym}"


class Remains:
    """Rows as an erasure leaves them. `key` is the installation's (`Keyring.remains`): without it nobody can make such a row."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def event(self, partition: int, seq: int, tenant: str, pseudonym: str) -> tuple[Any, ...]:
        name = self._name(EVENT, partition, seq, 0, tenant, pseudonym)
        return (partition, seq, tenant, GONE + pseudonym, WORD, name, WORD, EPOCH, EPOCH, None, b"", b"")

    def outcome(self, partition: int, seq: int, place: int, tenant: str, pseudonym: str) -> tuple[Any, ...]:
        """Place 0, the event's own outcome, has the event's name: what became of it can still be asked by that."""
        return (tenant, WORD, self._name(EVENT, partition, seq, place, tenant, pseudonym), seq, place, WORD, None, None, partition)

    def decision(self, partition: int, event_seq: int, place: int, tenant: str, pseudonym: str) -> tuple[Any, ...]:
        """All decisions under a leaf have one course and are numbered by their place, so that their order under the leaf stays."""
        name = self._name(DECISION, partition, event_seq, 0, tenant, pseudonym)
        id = UUID(bytes=self._hash(DECISION, partition, event_seq, place + 1, tenant, pseudonym))
        return (tenant, name, place + 1, id, GONE + pseudonym, partition, event_seq, WORD, name, EPOCH, EPOCH, b"")

    def conflict(self, partition: int, n: int, tenant: str, pseudonym: str) -> tuple[Any, ...]:
        name = self._name(CONFLICT, partition, n, 0, tenant, pseudonym)
        return (tenant, WORD, name, b"", EPOCH, b"", GONE + pseudonym, partition, n)

    def seal(self, tree: str, n: int, tenant: str, pseudonym: str) -> str:
        """What names, in the seals of a table, a row that was removed."""
        return f"{GONE}{pseudonym}-{self._hash(tree.encode(), 0, n, 0, tenant, pseudonym).hex()}"

    def late(self, tenant: str, source: str, id: str, stream_seq: int) -> str:
        """The id under which one message of an erased athlete is kept as refused: each by itself, so that the bus is cleared of each."""
        return f"{GONE}{hmac.digest(self._key, NUL.join(('late', tenant, source, id)).encode(), 'sha256')[:16].hex()}-{stream_seq}"

    def late_content(self, digest: bytes) -> bytes:
        """What tells the contents of such events apart."""
        return hmac.digest(self._key, b"content" + digest, "sha256")

    def _name(self, letter: bytes, partition: int, seq: int, place: int, tenant: str, pseudonym: str) -> str:
        return GONE + self._hash(letter, partition, seq, place, tenant, pseudonym).hex()

    def _hash(self, letter: bytes, partition: int, seq: int, place: int, tenant: str, pseudonym: str) -> bytes:
        said = letter + pack(">iqi", partition, seq, place) + f"{tenant}\0{pseudonym}".encode()
        return hmac.digest(self._key, said, "sha256")[:16]
