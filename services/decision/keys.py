"""The keys of the athletes a worker is about: read once, kept while there is room, made with the athlete's first event."""

from collections import OrderedDict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from services.decision.store import keys as stored
from services.decision.store.athletes import AthleteKey
from services.decision.store.connection import Connection
from services.decision.store.rows import KeyRow, Writes
from shared.proof import KeyFault, Keyring

ROOM: Final = 20_000


class AthleteKeys:
    """At most `room` unwrapped keys, the longest unused leave first. Never logged, never written anywhere."""

    def __init__(self, ring: Keyring, room: int = ROOM) -> None:
        self._ring = ring
        self._room = room
        self._known: OrderedDict[AthleteKey, bytes] = OrderedDict()

    async def provide(self, connection: Connection, writes: Writes, athletes: Iterable[AthleteKey]) -> None:
        """Puts the keys of these athletes into the batch, with new ones for those who have none. Raises `KeyFault`."""
        wanted = dict.fromkeys(athletes)
        missing = [athlete for athlete in wanted if athlete not in self._known]
        if missing:
            for athlete, wrapped in (await stored.wrapped(connection, missing)).items():
                if wrapped is None:
                    raise KeyFault(
                        "the key of an athlete with new events was destroyed; erase them under another name, or refuse the events"
                    )
                self._known[athlete] = self._ring.unwrap(wrapped, *athlete)
        for athlete in wanted:
            key = self._known.get(athlete)
            if key is None:
                key = self._ring.new()
                writes.new_keys.append(KeyRow(*athlete, self._ring.wrap(key, *athlete), datetime.now(UTC)))
            else:
                self._known.move_to_end(athlete)
            writes.keys[athlete] = key

    def stored(self, writes: Writes) -> None:
        """After COMMIT: the batch's new keys are in the database."""
        for row in writes.new_keys:
            self._known[row.tenant, row.athlete] = writes.keys[row.tenant, row.athlete]
        while len(self._known) > self._room:
            self._known.popitem(last=False)

    def clear(self) -> None:
        """Forgets all: somebody else may have destroyed some."""
        self._known.clear()
