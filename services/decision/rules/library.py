"""The packs there are: those shipped, and any given by path."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from services.decision.core.protocol import Protocol
from services.decision.core.question import Engine
from services.decision.core.verdict import Judge
from services.decision.rules.compiling import Compiler
from services.decision.rules.faults import FaultyPack
from services.decision.rules.model import FloorText, PackText
from services.decision.rules.reading import Source, bytes_of, parse
from services.decision.rules.salvaging import beyond

SHIPPED = Path(__file__).parent.parent / "protocols"
FLOORS = ("floor",)
HASH = "sha256:"


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack as written and as compiled."""

    source: Source[PackText]
    floors: tuple[Source[FloorText], ...]
    protocol: Protocol


def load(path: Path) -> Protocol:
    """The pack file compiled; raises `FaultyPack` with every fault."""
    return load_pack(path).protocol


def load_pack(path: Path) -> Pack:
    """The pack file as written and as compiled; raises `FaultyPack` with every fault."""
    return load_text(str(path), bytes_of(path))


def load_text(name: str, raw: bytes) -> Pack:
    """A pack that is at hand as bytes; `name` is what faults call it. Raises `FaultyPack` with every fault, of form and of meaning."""
    try:
        source = parse(name, raw, PackText)
    except FaultyPack as faulty:
        more = beyond(name, raw, faulty.faults, _floors(FLOORS))
        raise FaultyPack(sorted([*faulty.faults, *more], key=lambda fault: (fault.line, fault.column))) from None
    return compiled(source)


def load_recorded(name: str, raw: bytes, floors: Sequence[bytes]) -> Pack:
    """A pack as it was recorded, with the floors it included then: it was published, so only what keeps it from running is a fault.

    Raises `FaultyPack` where this release cannot run it; `recorded.at_hand` puts something in its place that holds.
    """
    source = parse(name, raw, PackText)
    included = tuple(parse(f"{name}, its floor", floor, FloorText) for floor in floors)
    return Pack(source, included, Compiler(source, included, recorded=True).compile())


def compiled(source: Source[PackText]) -> Pack:
    """The pack with its floors; raises `FaultyPack` with every fault."""
    floors = _floors(FLOORS)
    compiler = Compiler(source, floors)
    if source.text.includes != list(FLOORS):
        compiler.faults.append(source.fault("includes", f"expected exactly [{', '.join(FLOORS)}]: every pack includes the floor"))
    return Pack(source, floors, compiler.compile())


def _floors(names: Sequence[str]) -> tuple[Source[FloorText], ...]:
    paths = [SHIPPED / f"{name}.yaml" for name in names]
    return tuple(_floor(path, bytes_of(path)) for path in paths)


@lru_cache(maxsize=8)
def _floor(path: Path, raw: bytes) -> Source[FloorText]:
    # Once for all packs: to read it again with each is a third of what loading them takes.
    return parse(str(path), raw, FloorText)


class PackLibrary:
    """Protocols by id and version, each with its judge; immutable once made."""

    def __init__(self, engine: Engine, paths: Iterable[Path] | None = None, also: Iterable[Path] = ()) -> None:
        shipped = sorted(path for path in SHIPPED.glob("*.yaml") if path.stem not in FLOORS)
        self.packs = [load_pack(path) for path in [*(shipped if paths is None else paths), *also]]
        self.protocols = {pack.protocol.id: pack.protocol for pack in self.packs}
        self.by_hash = {protocol.hash: protocol for protocol in self.protocols.values()}
        self._judges = {protocol.hash: Judge(protocol, engine) for protocol in self.protocols.values()}

    def resolve(self, reference: str) -> Protocol | None:
        """By `id`, `id@version` or content hash."""
        if reference.startswith(HASH):
            return self.by_hash.get(reference)
        name, _, version = reference.partition("@")
        protocol = self.protocols.get(name)
        return protocol if protocol is not None and version in ("", protocol.version) else None

    def of(self, tenant: str) -> "PackLibrary":
        """The packs of a tenant: these, whoever asks."""
        return self

    def names(self) -> list[str]:
        return sorted(self.protocols)

    def judge(self, protocol: Protocol) -> Judge:
        return self._judges[protocol.hash]
