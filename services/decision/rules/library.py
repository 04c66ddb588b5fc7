"""The packs there are: those shipped, and any given by path."""

from collections.abc import Iterable
from pathlib import Path

from services.decision.core.protocol import Protocol
from services.decision.core.question import Engine
from services.decision.core.verdict import Judge
from services.decision.rules.compiling import Compiler
from services.decision.rules.faults import FaultyPack, PackFault
from services.decision.rules.model import FloorText, PackText
from services.decision.rules.reading import read

SHIPPED = Path(__file__).parent.parent / "protocols"
FLOORS = ("floor",)


def load(path: Path) -> Protocol:
    """The pack file compiled; raises `FaultyPack` with every fault."""
    pack = read(path, PackText)
    unknown = [name for name in pack.includes if name not in FLOORS]
    if unknown or pack.includes != list(FLOORS):
        raise FaultyPack([PackFault(str(path), 1, 1, "includes", f"expected exactly [{', '.join(FLOORS)}]: every pack includes the floor")])
    return Compiler(pack, [read(SHIPPED / f"{name}.yaml", FloorText) for name in pack.includes], str(path)).compile()


class PackLibrary:
    """Protocols by id and version, each with its judge; immutable once made."""

    def __init__(self, engine: Engine, paths: Iterable[Path] | None = None, also: Iterable[Path] = ()) -> None:
        shipped = sorted(path for path in SHIPPED.glob("*.yaml") if path.stem not in FLOORS)
        self.protocols: dict[str, Protocol] = {}
        for path in [*(shipped if paths is None else paths), *also]:
            protocol = load(path)
            self.protocols[protocol.id] = protocol
        self.by_hash = {protocol.hash: protocol for protocol in self.protocols.values()}
        self._judges = {protocol.hash: Judge(protocol, engine) for protocol in self.protocols.values()}

    def resolve(self, reference: str) -> Protocol | None:
        """By `id` or `id@version`."""
        name, _, version = reference.partition("@")
        protocol = self.protocols.get(name)
        return protocol if protocol is not None and version in ("", protocol.version) else None

    def names(self) -> list[str]:
        return sorted(self.protocols)

    def judge(self, protocol: Protocol) -> Judge:
        return self._judges[protocol.hash]
