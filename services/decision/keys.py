"""The keys of the athletes a worker is about: read once, kept while there is room, made with the athlete's first event."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from services.decision.store import keys as stored
from services.decision.store.athletes import AthleteKey
from services.decision.store.connection import Connection
from services.decision.store.rows import KeyRow, Writes
from shared.proof import Envelope, KeyFault, Keyring

ROOM: Final = 20_000


@dataclass(slots=True)
class BatchKeys:
    """The keys of the athletes that one batch is about, and those of them that the batch has to store."""

    keys: dict[AthleteKey, tuple[bytes, Envelope]] = field(default_factory=dict)
    new: list[KeyRow] = field(default_factory=list)

    def envelope(self, athlete: AthleteKey) -> Envelope:
        return self.keys[athlete][1]

    def into(self, writes: Writes) -> None:
        """Puts them into what is written."""
        writes.keys = {athlete: key for athlete, (key, _) in self.keys.items()}
        writes.envelopes = {athlete: envelope for athlete, (_, envelope) in self.keys.items()}
        writes.new_keys = list(self.new)


class AthleteKeys:
    """At most `room` unwrapped keys, the longest unused leave first. Never logged, never written anywhere."""

    def __init__(self, ring: Keyring, room: int = ROOM) -> None:
        self._ring = ring
        self._room = room
        self._known: OrderedDict[AthleteKey, tuple[bytes, Envelope]] = OrderedDict()

    async def provide(self, connection: Connection, athletes: Iterable[AthleteKey]) -> BatchKeys:
        """The keys of these athletes, with new ones for those who have none. Raises `KeyFault`."""
        batch = BatchKeys()
        wanted = dict.fromkeys(athletes)
        missing = [athlete for athlete in wanted if athlete not in self._known]
        if missing:
            for athlete, wrapped in (await stored.wrapped(connection, missing)).items():
                if wrapped is None:
                    raise KeyFault(
                        "the key of an athlete with new events was destroyed; erase them under another name, or refuse the events"
                    )
                self._known[athlete] = _with_envelope(self._ring.unwrap(wrapped, *athlete))
        for athlete in wanted:
            known = self._known.get(athlete)
            if known is None:
                known = _with_envelope(self._ring.new())
                batch.new.append(KeyRow(*athlete, self._ring.wrap(known[0], *athlete), datetime.now(UTC)))
            else:
                self._known.move_to_end(athlete)
            batch.keys[athlete] = known
        return batch

    def stored(self, batch: BatchKeys) -> None:
        """After COMMIT: the batch's new keys are in the database."""
        for row in batch.new:
            self._known[row.tenant, row.athlete] = batch.keys[row.tenant, row.athlete]
        while len(self._known) > self._room:
            self._known.popitem(last=False)

    def clear(self) -> None:
        """Forgets all: somebody else may have destroyed some."""
        self._known.clear()


def _with_envelope(key: bytes) -> tuple[bytes, Envelope]:
    return key, Envelope(key)
