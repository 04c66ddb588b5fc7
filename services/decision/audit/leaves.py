"""The leaves of trees as their rows make them: every row that is not what it is committed to is named."""

from collections.abc import Callable
from functools import partial
from struct import pack
from typing import Final

from services.decision.audit.found import Found
from services.decision.audit.keys import Keys, NoKey
from services.decision.notary import sealed_commitment
from services.decision.store.committing import (
    CONFLICT,
    CONFLICT_COLUMNS,
    CONFLICT_KINDS,
    CONFLICTS,
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
    conflict_leaf,
)
from services.decision.store.remains import ERASED, GONE, Remains
from services.decision.store.scan import Row
from services.decision.store.sealed import Sealed
from shared.proof import Envelope, KeyFault, Keyring, commitment, event_salt, leaf_of, row_salt
from shared.proof.commitments import columns
from shared.proof.envelope import MARKS, TEXT_MARK

_ATHLETE, _COMMITMENT, _LEAF = 2, len(EVENT_COLUMNS), len(EVENT_COLUMNS) + 1
_TYPE, _ERASED = EVENT_COLUMNS.index("type"), ERASED.encode()
_BODY, _REASON, _MADE = EVENT_COLUMNS.index("body"), OUTCOME_COLUMNS.index("reason"), DECISION_COLUMNS.index("body")
_TOLD, _DECIDED, _KEPT = len(OUTCOME_COLUMNS), len(DECISION_COLUMNS), len(CONFLICT_COLUMNS)
_TEXT_MARKS: Final = (TEXT_MARK.encode(),)

Place = tuple[int, int]
Opening = tuple[bytes, Envelope]
"""A salt, or the key it comes from, and what opens the bodies beside it."""
Named = Callable[[], str]
"""How a row is named, made only when it has to be: there may be a hundred million."""


class Leaves:
    """Tells `found` of every row that is not what was written, or not what an erasure leaves."""

    def __init__(self, ring: Keyring, keys: Keys, found: Found) -> None:
        self._ring = ring
        self._keys = keys
        self._found = found
        self._remains = Remains(ring.remains)
        self._by_pseudonym = {whose[1]: whose for whose in keys.gone.values()}

    def event(self, row: Row, place: Place, told: list[Row], made: list[Row], unproven: bool) -> bytes:
        """The leaf of an event with the outcomes and decisions that stand under it. `unproven`: it is older than commitments."""
        found, count = self._found, 1 + len(told) + len(made)
        found.rows += count
        if unproven:
            found.unproven += 1
            if row.value(_COMMITMENT) is not None or row.value(_LEAF) is not None:
                found.fault(f"{event_name(place)}: it has a commitment although it is older than those")
            return leaf_of(EVENTS, *place)
        athlete = row.raw(_ATHLETE, _ATHLETE + 2)
        gone = self._keys.gone.get(athlete)
        if gone is not None:
            return self._gone(row, place, told, made, gone)
        before = found.faulted
        salt = self._salt(athlete, EVENTS, place, partial(event_name, place), count)
        own = self._held(row, _COMMITMENT, salt, (EVENT, 0, _BODY), partial(event_name, place))
        told_as = [self._held(one, _TOLD, salt, (OUTCOME, n, _REASON), partial(_outcome_name, place, one)) for n, one in enumerate(told)]
        made_as = [self._held(one, _DECIDED, salt, (DECISION, n, _MADE), partial(_decision_name, one)) for n, one in enumerate(made)]
        leaf = self._leaf(row, place, own, told_as, made_as)
        # Only a row that a living key proves: of one whose key is destroyed, anything could be written into the columns.
        if row.value(_TYPE) == _ERASED and salt is not None and found.faulted == before:
            found.asked.add((row.text(_ATHLETE), row.text(_ATHLETE + 1)))
        return leaf

    def conflict(self, row: Row, at: int, n: int) -> bytes:
        """The leaf of conflict number `n` of a partition."""
        self._found.rows += 1
        name = partial(str, f"event_conflicts, partition {at}, n {n}")
        athlete = row.raw(0, 1) + row.raw(6, 7)
        whose = self._keys.gone.get(athlete)
        if whose is not None:
            self._found.gone.add(whose)
            self._found.erased += 1
            return conflict_leaf(at, n, self._left(row, _KEPT, columns(self._remains.conflict(at, n, *whose), CONFLICT_KINDS), name))
        salt = self._salt(athlete, CONFLICTS, (at, n), name, 1)
        return conflict_leaf(at, n, self._held(row, _KEPT, salt, (CONFLICT, 0, CONFLICT_COLUMNS.index("body")), name))

    def sealed(self, table: Sealed, row: Row) -> bytes:
        """The leaf of a seal: number, name of its row, commitment; then that row's own name, tenant, athlete, and what is sealed of it."""
        self._found.rows += 1
        n, stored = row.number(0), row.value(2) or b""
        name = f"{table.table}, row {row.text(1)}"
        if row.value(3) is None and self._removed(table, row.text(1), n):
            self._found.erased += 1
        elif row.value(3) is None:
            self._found.fault(f"{name}: it was sealed as number {n} and is not there")
        else:
            self._seal(table, row, n, stored, name)
        return leaf_of(table.table, 0, n, [stored])

    def _leaf(self, row: Row, place: Place, own: bytes, told: list[bytes], made: list[bytes]) -> bytes:
        leaf = leaf_of(EVENTS, *place, [own], told, made)
        if row.value(_LEAF) != leaf:
            self._found.fault(f"{event_name(place)}: its leaf is not that of its rows; one was changed, added or removed")
        return leaf

    def _gone(self, row: Row, place: Place, told: list[Row], made: list[Row], whose: tuple[str, str]) -> bytes:
        """The leaf of an erased event: its commitments stand as they were, and beside them nothing but what an erasure leaves."""
        self._found.gone.add(whose)
        self._found.erased += 1 + len(told) + len(made)
        own = self._left(row, _COMMITMENT, columns(self._remains.event(*place, *whose), EVENT_KINDS), partial(event_name, place))
        told_as = [
            self._left(one, _TOLD, columns(self._remains.outcome(*place, n, *whose), OUTCOME_KINDS), partial(_outcome_name, place, one))
            for n, one in enumerate(told)
        ]
        made_as = [
            self._left(one, _DECIDED, columns(self._remains.decision(*place, n, *whose), DECISION_KINDS), partial(_decision_name, one))
            for n, one in enumerate(made)
        ]
        return self._leaf(row, place, own, told_as, made_as)

    def _left(self, row: Row, at: int, expected: bytes, name: Named) -> bytes:
        if row.raw(0, at) != expected:
            self._found.fault(f"{name()}: the row is not what an erasure leaves")
        return row.value(at) or b""

    def _salt(self, athlete: bytes, tree: str, place: Place, name: Named, rows: int) -> Opening | None:
        try:
            opening = self._keys.opening(athlete)
        except NoKey as fault:
            self._found.fault(f"{name()}: {fault}")
            return None
        except KeyFault as fault:
            self._found.fault(f"keys.athlete_keys, the row that {name()} needs: {fault}")
            return None
        if opening is None:
            self._found.erased += rows
            self._found.gone.add(_parts(athlete))
            return None
        return event_salt(opening[0], tree, *place), opening[1]

    def _held(self, row: Row, at: int, salt: Opening | None, form: tuple[bytes, int, int], name: Named) -> bytes:
        """The commitment that stands in column `at`, behind the columns it stands for. `form`: the table's letter, the row's place among
        those of its table, and the column that is sealed.
        """
        stored = row.value(at)
        if stored is None:
            self._found.fault(f"{name()}: it has no commitment; it was not written by a worker")
            return b""
        if salt is not None:
            table, place, sealed = form
            written = _written(row, at, sealed, salt[1], text=table == OUTCOME)
            if written is None or commitment(row_salt(salt[0], table, place), written) != stored:
                self._found.fault(f"{name()}: the row is not what was written")
        return stored

    def _removed(self, table: Sealed, name: str, n: int) -> bool:
        """Whether a seal says that its row was removed by an erasure."""
        whose = self._by_pseudonym.get(name.removeprefix(GONE).partition("-")[0])
        if whose is None or name != self._remains.seal(table.table, n, *whose):
            return False
        self._found.gone.add(whose)
        return True

    def _seal(self, table: Sealed, row: Row, n: int, stored: bytes, name: str) -> None:
        try:
            key = self._keys.of(row.raw(4, 6), default=self._ring.own)
        except KeyFault as fault:
            self._found.fault(f"keys.athlete_keys, the row that {name} needs: {fault}")
            return
        if key is None:
            self._found.erased += 1
            self._found.gone.add(_parts(row.raw(4, 6)))
        elif sealed_commitment(table, key, n, row, 6) != stored:
            self._found.fault(f"{name}: the row is not what was written")


def event_name(place: Place) -> str:
    return f"events, partition {place[0]}, seq {place[1]}"


def _parts(athlete: bytes) -> tuple[str, str]:
    """Tenant and athlete out of the two columns, each with its length in front."""
    end = 4 + int.from_bytes(athlete[:4], "big")
    return athlete[4:end].decode(), athlete[end + 4 :].decode()


def _written(row: Row, end: int, sealed: int, envelope: Envelope, text: bool) -> bytes | None:
    """The columns up to `end` as they were written, with column `sealed` opened; None where it does not open."""
    stored = row.value(sealed)
    if stored is None or stored[:1] not in (_TEXT_MARKS if text else MARKS):
        return row.raw(0, end)
    try:
        plain = envelope.open_text(stored.decode("ascii")).encode() if text else envelope.open(stored)
    except (KeyFault, UnicodeDecodeError):
        return None
    return b"".join((row.raw(0, sealed), pack(">i", len(plain)), plain, row.raw(sealed + 1, end)))


def _outcome_name(place: Place, row: Row) -> str:
    return f"event_outcomes, partition {place[0]}, seq {place[1]}, n {row.number(4)}"


def _decision_name(row: Row) -> str:
    return f"decisions, course {row.text(1)}, seq {row.number(2)}, tenant {row.text(0)}"
