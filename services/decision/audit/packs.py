"""Which packs a fold sees when it is done again: those recorded, or others in their place."""

from collections.abc import Mapping
from typing import Final

from services.decision.core.athlete import Library
from services.decision.core.protocol import Protocol
from services.decision.core.verdict import Judge
from services.decision.engines.reference import ReferenceEngine
from shared.events import Event

STARTED: Final = "milepost.course.started"


class OnlyThese:
    """Packs by their hashes, without any library."""

    def __init__(self, packs: Mapping[str, Protocol]) -> None:
        self._packs = packs
        self._judges = {hash: Judge(protocol, ReferenceEngine()) for hash, protocol in packs.items()}

    def resolve(self, reference: str) -> Protocol | None:
        if reference in self._packs:
            return self._packs[reference]
        name, _, version = reference.partition("@")
        return next((one for one in self._packs.values() if one.id == name and version in ("", one.version)), None)

    def names(self) -> list[str]:
        return sorted({one.id for one in self._packs.values()})

    def judge(self, protocol: Protocol) -> Judge:
        return self._judges[protocol.hash]


class Pinned:
    """A library in which a course that is started gets the pack that it was given when that was recorded, whatever is live now.

    `about` says which event is folded next.
    """

    def __init__(self, packs: Library, pins: Mapping[str, str]) -> None:
        """`pins`: course to the content hash of the pack of its first decision."""
        self._packs = packs
        self._pins = pins
        self._next: str | None = None

    def about(self, event: Event) -> None:
        course = event.data.get("course") if event.type == STARTED else None
        self._next = None if course is None else self._pins.get(course)

    def resolve(self, reference: str) -> Protocol | None:
        pinned = None if self._next is None else self._packs.resolve(self._next)
        name, _, version = reference.partition("@")
        if pinned is not None and pinned.id == name and version in ("", pinned.version):
            return pinned
        return self._packs.resolve(reference)

    def names(self) -> list[str]:
        return self._packs.names()

    def judge(self, protocol: Protocol) -> Judge:
        return self._packs.judge(protocol)


class Instead:
    """A library in which every course follows other packs: `packs` by id, whatever version was asked for."""

    def __init__(self, packs: Library, others: Mapping[str, Protocol]) -> None:
        self._packs = packs
        self._others = others
        self._judges = {protocol.hash: Judge(protocol, ReferenceEngine()) for protocol in others.values()}

    def resolve(self, reference: str) -> Protocol | None:
        asked = self._packs.resolve(reference)
        name = reference.partition("@")[0] if asked is None else asked.id
        return self._others.get(name, asked)

    def names(self) -> list[str]:
        return sorted({*self._packs.names(), *self._others})

    def judge(self, protocol: Protocol) -> Judge:
        return self._judges[protocol.hash] if protocol.hash in self._judges else self._packs.judge(protocol)
