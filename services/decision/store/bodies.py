"""The one place that opens what history stores: bodies, reasons and waiting messages lie under their athlete's key.

A reader fetches rows with tenant and athlete, asks `envelopes` once for all their athletes, and opens each body by `Envelopes`. Rows from
before bodies were sealed open as they are. Keys are read anew each time and kept nowhere. Who derives something of an athlete and keeps it
(what another pack would have decided, what a replay found) seals it by the same envelopes.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from services.decision.store import keys
from services.decision.store.connection import Connection
from services.decision.store.keys import AthleteKey
from shared.keyed import ring_of
from shared.proof import Envelope, KeyFault, Keyring
from shared.proof.envelope import MARKS, TEXT_MARK


class Erased(Exception):
    """The athlete was erased while the row was read: nothing of theirs can be told any more."""


class NoKey(KeyFault):
    """A sealed row names an athlete without a key: it was altered or moved, or the athlete was erased since it was read."""

    def __init__(self, tenant: str, athlete: str) -> None:
        super().__init__("a sealed row names an athlete without a key: it was altered or moved; run `milepost verify`")
        self.tenant = tenant
        self.athlete = athlete


class Envelopes:
    """Opens what some athletes' rows hold."""

    def __init__(self, ring: Keyring | None, wrapped: Mapping[AthleteKey, bytes | None]) -> None:
        self._ring = ring
        self._wrapped = wrapped
        self._open: dict[AthleteKey, Envelope] = {}

    def of(self, tenant: str, athlete: str) -> Envelope:
        """Raises `Erased`, `NoKey` for an athlete that has no key, and `KeyFault` where it does not open."""
        key = (tenant, athlete)
        found = self._open.get(key)
        if found is None:
            if key not in self._wrapped or self._ring is None:
                raise NoKey(tenant, athlete)
            wrapped = self._wrapped[key]
            if wrapped is None:
                raise Erased
            found = self._open[key] = Envelope(self._ring.unwrap(wrapped, tenant, athlete))
        return found

    def body(self, tenant: str, athlete: str, stored: bytes) -> bytes:
        """A body as it was written. Raises as `of`."""
        return stored if stored[:1] not in MARKS else self.of(tenant, athlete).open(stored)

    def opener(self, tenant: str, athlete: str) -> Callable[[bytes], bytes]:
        """`body` of one athlete of whom there are many."""
        return self.of(tenant, athlete).open if self._wrapped.get((tenant, athlete)) is not None else partial(self.body, tenant, athlete)

    def text(self, tenant: str, athlete: str, stored: str | None) -> str | None:
        """A reason as it was written; None stays None."""
        return stored if stored is None or stored[:1] != TEXT_MARK else self.of(tenant, athlete).open_text(stored)

    def sealed(self, tenant: str, athlete: str, record: bytes | None) -> bytes | None:
        """What is derived of the athlete, as it is kept; None stays None. In the clear for one from before there were keys, as all their
        history is. Raises `Erased`."""
        return record if record is None or (tenant, athlete) not in self._wrapped else self.of(tenant, athlete).seal(record)

    def sealed_text(self, tenant: str, athlete: str, said: str | None) -> str | None:
        """As `sealed`."""
        return said if said is None or (tenant, athlete) not in self._wrapped else self.of(tenant, athlete).seal_text(said)


async def envelopes(connection: Connection, athletes: Iterable[AthleteKey]) -> Envelopes:
    """What opens the rows of these athletes; one query for all."""
    wanted = list(dict.fromkeys(athletes))
    if not wanted:
        return Envelopes(None, {})
    return Envelopes(ring_of(connection), await keys.wrapped(connection, wanted))
