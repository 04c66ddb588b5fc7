"""The events accepted lately, so that most repeats can be answered as duplicates.

Best effort: it forgets, and other processes of ingest have their own. What holds is the unique key of history in decision.
"""

from collections import OrderedDict
from typing import Final, Literal

MOST: Final = 200_000

Key = tuple[str, str, str]
"""Tenant, source, id."""


class Remembered:
    """Digests of accepted events by key, the least recently seen forgotten first. About 250 bytes each."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._digests: OrderedDict[Key, bytes] = OrderedDict()

    def seen(self, key: Key, digest: bytes) -> Literal["new", "same", "other"]:
        """Whether an event with this key was accepted lately, and whether it said the same."""
        known = self._digests.get(key)
        if known is None:
            return "new"
        self._digests.move_to_end(key)
        return "same" if known == digest else "other"

    def accept(self, key: Key, digest: bytes) -> None:
        """Remember an event that is on disk on the bus. The first content of a key stays."""
        if key not in self._digests:
            self._digests[key] = digest
            if len(self._digests) > self._most:
                self._digests.popitem(last=False)
