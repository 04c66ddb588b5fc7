"""The athletes a worker has at hand: folded from history when first asked for, kept while there is room."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

import orjson

from services.decision.core.athlete import Athlete, CourseMark, Library
from services.decision.core.places import MIGRATED
from services.decision.packs import PacksRefused, TenantPacks
from services.decision.store import athletes as stored
from services.decision.store.athletes import AthleteKey, History
from services.decision.store.connection import Connection
from shared.events import parse


class Athletes:
    """At most `room` folded athletes, the longest unused leave first. What is here is history plus the batch being worked on; `drop` an
    athlete whose batch was not committed.
    """

    def __init__(self, packs: TenantPacks, room: int) -> None:
        self.packs = packs
        self._room = room
        self._known: OrderedDict[AthleteKey, Athlete] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    async def at(self, connection: Connection, keys: Iterable[AthleteKey]) -> Mapping[AthleteKey, Athlete]:
        """The athletes of these keys; those not at hand are folded from history, one query for all."""
        wanted = list(keys)
        missing = [key for key in wanted if key not in self._known]
        for key, history in (await stored.histories(connection, missing)).items():
            self._known[key] = restored(self.packs.of(key[0]), history)
        for key in wanted:
            self._known.move_to_end(key)
        return {key: self._known[key] for key in wanted}

    def drop(self, keys: Iterable[AthleteKey]) -> None:
        for key in keys:
            self._known.pop(key, None)

    def clear(self) -> None:
        self._known.clear()

    def make_room(self) -> None:
        """Between batches: what a batch works on must not leave under it."""
        while len(self._known) > self._room:
            self._known.popitem(last=False)


def restored(packs: Library, history: History) -> Athlete:
    """The athlete that this history makes. Raises `PacksRefused` when a pack that it stands on is not at hand."""
    for _, latest in history.decisions.values():
        found = latest["protocol"]
        if packs.resolve(found["hash"]) is None and packs.resolve(f"{found['id']}@{found['version']}") is None:
            raise PacksRefused(f"a course stands on {found['id']}@{found['version']} ({found['hash']}), which this release does not have")
    received = []
    for body, digest in history.events:
        event = parse(orjson.loads(body), internal=True)
        if event.type == MIGRATED and packs.resolve(event.data["to_hash"]) is None:
            raise PacksRefused(
                f"a course went on under {event.data['protocol']} ({event.data['to_hash']}), which this release does not have"
            )
        received.append((event, digest, event.recordedtime or ""))
    return Athlete.restore(packs, received, {course: CourseMark(seq, body) for course, (seq, body) in history.decisions.items()})
