"""What is wrong with a pack: where, what was expected, what to do."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PackFault:
    file: str
    line: int
    column: int
    path: str
    sentence: str
    code: str = "FORM"
    """The check it fails, as named in docs/checks; FORM is the form of the file itself."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.path}: {self.sentence}"


class FaultyPack(Exception):
    """A pack with any fault is never half-loaded; all faults are told at once."""

    def __init__(self, faults: list[PackFault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults
