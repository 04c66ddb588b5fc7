"""Commitments to rows of history.

A row is committed to as SHA-256(row salt ‖ columns). Row salts come from HMAC(athlete's key, tree, partition, sequence) and are never
stored: with the key destroyed, nobody can test a guess of what a row said, and the commitment, which stays, keeps every proof valid.

Columns are written as PostgreSQL's binary COPY writes them (length, then bytes; -1 for null), so that `verify` hashes what the server
sends without taking it apart. Any two rows that differ in any column differ here.
"""

import hmac
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from struct import pack
from typing import Any, Final, NamedTuple

from shared.proof.merkle import leaf_hash

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NULL: Final = pack(">i", -1)

FORM: Final = b"milepost leaf 1\n"
"""First in every leaf: another form of leaf would begin otherwise."""


class Committed(NamedTuple):
    """A row with its place among the rows of one entry, and what it is committed to as."""

    columns: bytes
    commitment: bytes


def columns(values: Iterable[Any], kinds: str) -> bytes:
    """The columns of a row in PostgreSQL's binary form. One letter of `kinds` per value: i integer, q bigint, t text, z timestamptz,
    b bytea, u uuid, j jsonb as text; each may be None.
    """
    parts = []
    for value, kind in zip(values, kinds, strict=True):
        if value is None:
            parts.append(_NULL)
        elif kind == "t":
            text = value.encode()
            parts.append(pack(">i", len(text)))
            parts.append(text)
        elif kind == "b":
            parts.append(pack(">i", len(value)))
            parts.append(value)
        elif kind == "q":
            parts.append(pack(">iq", 8, value))
        elif kind == "i":
            parts.append(pack(">ii", 4, value))
        elif kind == "z":
            parts.append(pack(">iq", 8, (value - _EPOCH) // _MICROSECOND))
        elif kind == "u":
            parts.append(pack(">i", 16))
            parts.append(value.bytes)
        elif kind == "j":
            # jsonb travels as its version (1), then its text.
            text = value.encode()
            parts.append(pack(">ib", len(text) + 1, 1))
            parts.append(text)
        else:
            raise ValueError(f"kind {kind!r} of a column: expected one of i q t z b u j")
    return b"".join(parts)


def event_salt(key: bytes, tree: str, partition: int, seq: int) -> bytes:
    """The salt of everything under one leaf. Secret: whoever has it can test guesses of every row under that leaf."""
    return hmac.digest(key, tree.encode() + pack(">iq", partition, seq), "sha256")


def row_salt(salt: bytes, table: bytes, place: int) -> bytes:
    """The salt of one row under the leaf: its table's letter, and its place among that table's rows. May be shown with the row."""
    return sha256(salt + table + pack(">i", place)).digest()


def commitment(salt: bytes, row: bytes) -> bytes:
    """32 bytes that stand for the row: `salt` is its row salt, `row` its columns."""
    return sha256(salt + row).digest()


def entry(tree: str, partition: int, seq: int, *groups: Sequence[bytes]) -> bytes:
    """The content of a leaf: where it stands, and the commitments of the rows under it, table by table."""
    head = FORM + tree.encode() + pack(">iq", partition, seq)
    return head + b"".join(pack(">i", len(group)) + b"".join(group) for group in groups)


def leaf_of(tree: str, partition: int, seq: int, *groups: Sequence[bytes]) -> bytes:
    """The hash of the leaf with this content."""
    return leaf_hash(entry(tree, partition, seq, *groups))
