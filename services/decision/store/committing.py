"""What a transaction writes, made provable and unreadable: commitments and leaves under the salt of each athlete's key, and the bodies
sealed under it. Committed to is what was written, stored is what was sealed.

One leaf per event and partition sequence: the event's row, the outcomes that its arrival brought (by `n`), the decisions (by course and
seq). Conflicts have no sequence in history and stand in a second tree.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

from services.decision.store.rows import ConflictRow, DecisionRow, EventRow, OutcomeRow, Writes
from shared.proof import Envelope
from shared.proof.commitments import columns, commitment, event_salt, leaf_of, row_salt

EVENTS: Final = "events"
CONFLICTS: Final = "conflicts"

EVENT_COLUMNS: Final = (
    "partition",
    "seq",
    "tenant",
    "athlete",
    "source",
    "id",
    "type",
    "time",
    "recorded_at",
    "stream_seq",
    "digest",
    "body",
)
EVENT_KINDS: Final = "iqtttttzzqbb"
OUTCOME_COLUMNS: Final = ("tenant", "source", "id", "seq", "n", "status", "path", "reason", "partition")
OUTCOME_KINDS: Final = "tttqittti"
DECISION_COLUMNS: Final = (
    "tenant", "course", "seq", "id", "athlete", "partition", "event_seq", "cause_source", "cause_id", "as_of", "as_at", "body",
)  # fmt: skip
DECISION_KINDS: Final = "ttqutiqttzzb"
CONFLICT_COLUMNS: Final = ("tenant", "source", "id", "digest", "recorded_at", "body", "athlete", "partition", "n")
CONFLICT_KINDS: Final = "tttbzbtiq"

EVENT: Final = b"e"
OUTCOME: Final = b"o"
DECISION: Final = b"d"
CONFLICT: Final = b"c"


def commit_to(writes: Writes) -> None:
    """Fills in the commitments of every event, outcome and decision, and the leaves, and seals bodies, reasons, states and
    waiting messages. `writes.keys` has the key of each athlete.
    """
    outcomes: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, outcome in enumerate(writes.outcomes):
        outcomes[outcome.partition, outcome.seq].append(place)
    decisions: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, decision in enumerate(writes.decisions):
        decisions[decision.partition, decision.event_seq].append(place)
    for at, event in enumerate(writes.events):
        under = (event.partition, event.seq)
        salt = event_salt(writes.keys[event.tenant, event.athlete], EVENTS, *under)
        own = _event(salt, event)
        told = _outcomes(salt, writes.outcomes, outcomes.get(under, ()))
        made = _decisions(salt, writes.decisions, decisions.get(under, ()))
        sealed = _envelope(writes, event.tenant, event.athlete)
        leaf = leaf_of(EVENTS, *under, [own], told, made)
        writes.events[at] = event._replace(body=sealed.seal(event.body), commitment=own, leaf=leaf)
        for place in outcomes.get(under, ()):
            outcome = writes.outcomes[place]
            if outcome.reason is not None:
                writes.outcomes[place] = outcome._replace(reason=sealed.seal_text(outcome.reason))
        for place in decisions.get(under, ()):
            decision = writes.decisions[place]
            writes.decisions[place] = decision._replace(body=sealed.seal(decision.body))
    for course, standing in writes.courses.items():
        writes.courses[course] = standing._replace(state=_envelope(writes, standing.tenant, standing.athlete).seal(standing.state))
    for at, waiting in enumerate(writes.outbox):
        writes.outbox[at] = waiting._replace(body=_envelope(writes, waiting.tenant, waiting.athlete).seal(waiting.body))
    for at, (row, notice) in enumerate(writes.conflicts):
        writes.conflicts[at] = row, notice._replace(body=_envelope(writes, notice.tenant, notice.athlete).seal(notice.body))


def _envelope(writes: Writes, tenant: str, athlete: str) -> Envelope:
    found = writes.envelopes.get((tenant, athlete))
    if found is None:
        found = writes.envelopes[tenant, athlete] = Envelope(writes.keys[tenant, athlete])
    return found


def _event(salt: bytes, row: EventRow) -> bytes:
    return commitment(row_salt(salt, EVENT, 0), columns(row[: len(EVENT_KINDS)], EVENT_KINDS))


def _outcomes(salt: bytes, rows: list[OutcomeRow], places: Iterable[int]) -> list[bytes]:
    found = []
    for index, place in enumerate(sorted(places, key=lambda one: rows[one].n)):
        row = rows[place]
        found.append(commitment(row_salt(salt, OUTCOME, index), columns(row[: len(OUTCOME_KINDS)], OUTCOME_KINDS)))
        rows[place] = row._replace(commitment=found[-1])
    return found


def _decisions(salt: bytes, rows: list[DecisionRow], places: Iterable[int]) -> list[bytes]:
    found = []
    for index, place in enumerate(sorted(places, key=lambda one: (rows[one].course, rows[one].seq))):
        row = rows[place]
        found.append(commitment(row_salt(salt, DECISION, index), columns(row[: len(DECISION_KINDS)], DECISION_KINDS)))
        rows[place] = row._replace(commitment=found[-1])
    return found


class KeptConflict(NamedTuple):
    """A conflict with its number and commitment, in the order of its columns."""

    row: ConflictRow
    n: int
    commitment: bytes | None


def conflict(key: bytes | None, row: ConflictRow, n: int) -> KeptConflict:
    """The conflict as number `n` of its partition, sealed; without a key, in the clear and not committed to."""
    if key is None:
        return KeptConflict(row, n, None)
    salt = row_salt(event_salt(key, CONFLICTS, row.partition, n), CONFLICT, 0)
    committed = commitment(salt, columns((*row, n), CONFLICT_KINDS))
    return KeptConflict(row._replace(body=Envelope(key).seal(row.body)), n, committed)


def conflict_leaf(partition: int, n: int, committed: bytes) -> bytes:
    """The leaf of a conflict in the tree of conflicts."""
    return leaf_of(CONFLICTS, partition, n, [committed])
