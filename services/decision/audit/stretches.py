"""Which whole stretches of a partition can be compared with what was proven of them, and which are checked row by row, and why."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from services.decision.audit.keys import Keys
from services.decision.audit.walk import Head
from services.decision.store import stretches
from services.decision.store.committing import EVENTS
from services.decision.store.connection import Connection
from services.decision.store.remains import GONE
from services.decision.store.stretches import Names, Proof
from shared.proof.stretches import Stretch

NOT_YET: Final = "not proven yet"
OTHER: Final = "not what was proven"
BEHIND: Final = "behind a fault"
_BEFORE: Final = "behind rows before the first"
_WITNESS: Final = "seen by a witness"
_KEYLESS: Final = "of athletes without a key"
_ERASED: Final = "proven before an erasure"


class Part(NamedTuple):
    """Leaves `begin` + 1 to `end` of a partition; None: all before, all behind. With `why` they are checked row by row."""

    begin: int | None
    end: int | None
    proof: Proof | None = None
    why: str | None = None
    gone: frozenset[tuple[str, str]] = frozenset()
    """(tenant, pseudonym) of whom erased events stand in it."""
    asked: frozenset[tuple[str, str]] = frozenset()
    """(tenant, pseudonym) for whom an event in it asks for the erasure."""


class Plan:
    """How each partition of a share is gone over. Without a proof nothing here decides what is right: it costs time only."""

    def __init__(self, leaves: int) -> None:
        self.leaves = leaves
        self._parts: dict[int, list[Part]] = {}
        self._before: set[int] = set()

    @classmethod
    async def load(
        cls,
        connection: Connection,
        leaves: int,
        partitions: list[int],
        heads: Mapping[int, Head],
        keys: Keys,
        witnessed: Mapping[tuple[str, int], int],
    ) -> "Plan":
        found = cls(leaves)
        proofs = [one for one in await stretches.proofs(connection, EVENTS, leaves) if one.partition in set(partitions)]
        if not proofs:
            return found
        ends = await stretches.ends(connection, partitions)
        found._before = await stretches.before_the_first(connection, partitions)
        keyless = await stretches.keyless(connection, leaves, partitions)
        for place, names in (await stretches.standing_of(connection, leaves, keys.broken())).items():
            keyless.setdefault(place, set()).update(names)
        left = {(tenant, GONE + pseudonym): (tenant, pseudonym) for tenant, pseudonym in keys.gone.values()}
        asked = await stretches.standing_of(connection, leaves, left.values(), asking=True)
        for proof in proofs:
            place = (proof.partition, proof.number)
            if 0 <= proof.number < ends[proof.partition] // leaves:
                begin, names = proof.number * leaves, keyless.get(place, set())
                gone = frozenset(left[name] for name in names if name in left)
                unproven = heads[proof.partition]["unproven"] if proof.partition in heads else 0
                why = _BEFORE if begin == 0 and proof.partition in found._before else None
                why = why or _why(proof, begin, unproven, witnessed.get((EVENTS, proof.partition), 0), names - left.keys(), bool(gone))
                part = Part(begin, begin + leaves, proof, why, gone, frozenset(asked.get(place, ())))
                found._parts.setdefault(proof.partition, []).append(part)
        return found

    def quick(self) -> list[tuple[int, int]]:
        """(partition, number) of the stretches of which the bytes alone are compared."""
        parts = (part for parts in self._parts.values() for part in parts)
        return [(part.proof.partition, part.proof.number) for part in parts if part.proof is not None and part.why is None]

    def parts(self, partition: int) -> Iterator[Part]:
        """All of a partition, in order, without a gap."""
        at: int | None = None
        for part in self._parts.get(partition, ()):
            if part.begin != (at or 0):
                yield Part(at, part.begin)
            elif at is None and partition in self._before:
                part = part._replace(begin=None)
            yield part
            at = part.end
        yield Part(at, None)


def stretch_of(part: Part, leaves: int) -> Stretch:
    """The stretch of a part that has a proof."""
    if part.proof is None:
        raise ValueError("a part without a proof is no stretch")
    return Stretch(EVENTS, part.proof.partition, part.proof.number, leaves)


def _why(proof: Proof, begin: int, unproven: int, witnessed: int, keyless: Names, gone: bool) -> str | None:
    """Why the stretch is checked row by row although there is a proof."""
    if unproven > begin:
        return NOT_YET
    if witnessed > begin:
        return _WITNESS
    if keyless:
        return _KEYLESS
    if gone != (proof.erased > 0):
        return _ERASED
    return None
