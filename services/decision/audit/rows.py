"""Rows of history as they are shown with their proof: columns as JSON, the salt of each row, and the leaf they stand under.

What is written here is checked here too, with nothing but the record itself: `checked` needs no database and no key.
"""

import base64
import binascii
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from services.decision.notary import signed_at
from services.decision.store.committing import (
    DECISION,
    DECISION_COLUMNS,
    DECISION_KINDS,
    EVENT,
    EVENT_COLUMNS,
    EVENT_KINDS,
    EVENTS,
    OUTCOME,
    OUTCOME_COLUMNS,
    OUTCOME_KINDS,
)
from services.decision.store.connection import Connection
from shared.proof import Envelope, ProofFault, commitment, event_salt, leaf_of, row_salt
from shared.proof.commitments import columns

Record = dict[str, Any]

_FORMS: Final = {
    "events": (EVENT, EVENT_COLUMNS, EVENT_KINDS),
    "event_outcomes": (OUTCOME, OUTCOME_COLUMNS, OUTCOME_KINDS),
    "decisions": (DECISION, DECISION_COLUMNS, DECISION_KINDS),
}
_ORDER: Final = tuple(_FORMS)

_EVENTS: Final = f"""SELECT {", ".join(EVENT_COLUMNS)}, commitment, leaf FROM events
WHERE tenant = $1 AND athlete = $2 AND partition = $3 AND ($4::bigint[] IS NULL OR seq = ANY($4)) ORDER BY seq"""
_OUTCOMES: Final = f"""SELECT {", ".join(f"o.{name}" for name in OUTCOME_COLUMNS)}, o.commitment FROM event_outcomes AS o
JOIN events AS e ON e.tenant = o.tenant AND e.source = o.source AND e.id = o.id
WHERE e.tenant = $1 AND e.athlete = $2 AND o.partition = $3 AND ($4::bigint[] IS NULL OR o.seq = ANY($4)) ORDER BY o.seq, o.n"""
_DECISIONS: Final = f"""SELECT {", ".join(DECISION_COLUMNS)}, commitment FROM decisions
WHERE tenant = $1 AND partition = $3 AND athlete = $2 AND ($4::bigint[] IS NULL OR event_seq = ANY($4))
ORDER BY event_seq, course COLLATE "C", seq"""


async def leaves_of(
    connection: Connection,
    key: bytes | None,
    tenant: str,
    athlete: str,
    partition: int,
    seqs: Sequence[int] | None = None,
    courses: Collection[str] | None = None,
) -> list[Record]:
    """The athlete's leaves (all, or those of `seqs`) with the rows under them. Decisions of courses other than `courses` are shown by their
    commitment alone. Without a key (it was destroyed) every row is.
    """
    wanted = None if seqs is None else list(seqs)
    sealed = None if key is None else Envelope(key)
    under: dict[int, list[Record]] = defaultdict(list)
    for table, query, at in (("events", _EVENTS, "seq"), ("event_outcomes", _OUTCOMES, "seq"), ("decisions", _DECISIONS, "event_seq")):
        letter, names, _ = _FORMS[table]
        places: dict[int, int] = defaultdict(int)
        for row in await connection.fetch(query, tenant, athlete, partition, wanted):
            seq = row[at]
            place, places[seq] = places[seq], places[seq] + 1
            shown: Record = {"table": table, "commitment": (row["commitment"] or b"").hex()}
            hidden = table == "decisions" and courses is not None and row["course"] not in courses
            if key is not None and sealed is not None and not hidden:
                shown["salt"] = row_salt(event_salt(key, EVENTS, partition, seq), letter, place).hex()
                shown["row"] = {name: _shown(_opened(sealed, row[name], name), name) for name in names}
            under[seq].append(shown)
    return [{"tree": EVENTS, "partition": partition, "seq": seq, "rows": rows} for seq, rows in sorted(under.items())]


def checked(leaf: Mapping[str, Any]) -> bytes:
    """The leaf hash that the rows of this record make. Raises `ProofFault` naming the first row that is not what it is committed to."""
    try:
        groups: dict[str, list[bytes]] = {table: [] for table in _ORDER}
        for number, shown in enumerate(leaf["rows"]):
            committed = bytes.fromhex(shown["commitment"])
            if "row" in shown:
                _hold(shown, committed, f"leaf {leaf['partition']}/{leaf['seq']}, row {number + 1} ({shown['table']})")
            if committed:
                groups[shown["table"]].append(committed)
        if not any(groups.values()):
            return leaf_of(EVENTS, leaf["partition"], leaf["seq"])
        return leaf_of(EVENTS, leaf["partition"], leaf["seq"], *groups.values())
    except (KeyError, TypeError, ValueError, binascii.Error) as fault:
        if isinstance(fault, ProofFault):
            raise
        raise ProofFault(f"a leaf cannot be read: {type(fault).__name__} {fault}") from None


def _hold(shown: Mapping[str, Any], committed: bytes, name: str) -> None:
    _, names, kinds = _FORMS[shown["table"]]
    values = [_stored(shown["row"], column, kind) for column, kind in zip(names, kinds, strict=True)]
    if commitment(bytes.fromhex(shown["salt"]), columns(values, kinds)) != committed:
        raise ProofFault(f"{name}: the row is not what was written")


def _opened(sealed: Envelope, value: Any, name: str) -> Any:
    if name == "body":
        return sealed.open(value)
    return sealed.open_text(value) if name == "reason" and value is not None else value


def _shown(value: Any, name: str) -> Any:
    if isinstance(value, bytes):
        if name != "body":
            return value.hex()
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, datetime):
        return signed_at(value)
    return str(value) if isinstance(value, UUID) else value


def _stored(row: Mapping[str, Any], name: str, kind: str) -> Any:
    value = row[name]
    if value is None:
        return None
    if kind == "b":
        if name != "body":
            return bytes.fromhex(value)
        return base64.b64decode(value["base64"], validate=True) if isinstance(value, dict) else value.encode()
    if kind == "z":
        return datetime.fromisoformat(value).astimezone(UTC)
    return UUID(value) if kind == "u" else value
