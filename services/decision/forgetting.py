"""What a lane makes of events about erased athletes: the erasure itself takes its place in history, and what comes later is refused.

An athlete who was erased is known by a keyed hash alone. Nothing of a late event is kept but that one came.
"""

from collections.abc import Iterable
from typing import Any, Final

from services.decision.arrivals import Arrival, Outside
from services.decision.store.remains import ERASED, LATE, SOURCE, Remains, event_id
from services.decision.store.rows import ErasureRow
from shared.events import canonical
from shared.placing import is_reserved, pseudonym
from shared.proof import Keyring

RESERVED: Final = "the subject is a name that stands for an erased athlete: name the athlete otherwise"
BEGIN_AGAIN: Final = "the athlete was erased on request: begin again under a new athlete identifier"


class Forgetting:
    """Who was erased, as far as one lane knows: read when it takes its partitions, and kept by what it stores itself."""

    def __init__(self, ring: Keyring, pseudonym_key: bytes) -> None:
        self._key = pseudonym_key
        self._remains = Remains(ring.remains)
        self._gone: set[str] = set()

    def know(self, pseudonyms: Iterable[str]) -> None:
        self._gone.update(pseudonyms)

    def screened(self, arrivals: Iterable[Arrival]) -> list[Arrival]:
        """The arrivals in their order, those of erased athletes without anything of theirs. Time itself is silent about them."""
        found = []
        gone = set(self._gone)
        for arrival in arrivals:
            if arrival.type == ERASED and arrival.source == SOURCE:
                gone.add(arrival.athlete)
            elif is_reserved(arrival.athlete):
                # Their key is destroyed: nothing can be stored under such a name, and the lane would try for ever.
                if arrival.stream_seq is not None:
                    found.append(self._late(arrival, pseudonym(self._key, arrival.tenant, arrival.athlete), RESERVED))
                continue
            elif gone and (name := pseudonym(self._key, arrival.tenant, arrival.athlete)) in gone:
                if arrival.stream_seq is not None:
                    found.append(self._late(arrival, name, BEGIN_AGAIN))
                continue
            found.append(arrival)
        return found

    def stored(self, arrivals: Iterable[Arrival]) -> bool:
        """After COMMIT: whether somebody was erased, so that what is at hand of them has to go."""
        new = {arrival.athlete for arrival in arrivals if arrival.type == ERASED and arrival.source == SOURCE}
        self._gone |= new
        return bool(new)

    def _late(self, arrival: Arrival, name: str, why: str) -> Arrival:
        return Arrival(
            partition=arrival.partition,
            stream_seq=arrival.stream_seq,
            tenant=arrival.tenant,
            athlete=name,
            source=LATE,
            id=self._remains.late(arrival.tenant, arrival.source, arrival.id, arrival.stream_seq or 0),
            type="erased",
            time=arrival.recorded_at,
            recorded_at=arrival.recorded_at,
            digest=self._remains.late_content(arrival.digest),
            body=b"{}",
            event=None,
            outside=Outside("refused", "subject", why),
        )


def erasure_event(tenant: str, name: str, data: dict[str, Any], at: str) -> bytes:
    """The event that asks for the erasure of the athlete with this pseudonym; there is one for each, whoever asks how often."""
    return canonical(
        {
            "specversion": "1.0",
            "id": event_id(name),
            "source": SOURCE,
            "type": ERASED,
            "subject": name,
            "time": at,
            "tenant": tenant,
            "recordedtime": at,
            "data": data,
        }
    )


def erasure_row(arrival: Arrival) -> ErasureRow:
    """What is kept with the keys."""
    return ErasureRow(arrival.tenant, arrival.athlete, arrival.partition, arrival.body, arrival.time)
