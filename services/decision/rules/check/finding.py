"""What a check finds, and what it is given to look at."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from typing import Any, Literal

from services.decision.core.protocol import Protocol
from services.decision.rules.check.lived import Lived
from services.decision.rules.library import Pack
from services.decision.rules.model import FloorText, PackText, SourceText
from services.decision.rules.prove.proof import Proof

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found: where, what, an athlete who shows it, and what to do. An error keeps a pack from being published."""

    code: str
    severity: Severity
    file: str
    line: int
    column: int
    path: str
    sentence: str
    athlete: str = ""
    """A counterexample in words; empty where none is needed to see it."""
    fix: str = ""
    waived: str = ""
    """By whom, until when and why, where the pack waives the check here."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.severity} {self.code} {self.path}: {self.sentence}"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "page": f"docs/checks/{self.code}.md"}


class Case:
    """One pack to be checked: as compiled, as written where it was read from a file, as laid out for proof, on which date, and what
    its rules said at stored decisions, where somebody looked.
    """

    def __init__(self, protocol: Protocol, pack: Pack | None = None, on: date | None = None, lived: Lived | None = None) -> None:
        self.protocol = protocol
        self.pack = pack
        self.on = on
        self.lived = lived

    @cached_property
    def proof(self) -> Proof:
        return Proof(self.protocol)

    @cached_property
    def _rules(self) -> dict[str, tuple[int, int]]:
        """Rule id to file (0 the pack, 1.. its floors) and index in it."""
        if self.pack is None:
            return {}
        texts: list[PackText | FloorText] = [self.pack.source.text, *(floor.text for floor in self.pack.floors)]
        return {rule.rule: (n, at) for n, text in reversed(list(enumerate(texts))) for at, rule in enumerate(text.rules)}

    def at_rule(self, rule: str, within: str = "") -> tuple[str, int, int, str]:
        """File, line, column and path of a rule, or of a part of it as `when[1]`."""
        if self.pack is None or rule not in self._rules:
            return self.protocol.id, 1, 1, ".".join(part for part in (rule, within) if part)
        file, index = self._rules[rule]
        return self._place(file, f"rules[{index}]" + (f".{within}" if within else ""))

    def at(self, path: str) -> tuple[str, int, int, str]:
        """File, line, column and path of a place in the pack itself."""
        return (self.protocol.id, 1, 1, path) if self.pack is None else self._place(0, path)

    def _place(self, file: int, path: str) -> tuple[str, int, int, str]:
        assert self.pack is not None
        source = self.pack.source if file == 0 else self.pack.floors[file - 1]
        fault = source.fault(path, "")
        return fault.file, fault.line, fault.column, path

    def tissues_of(self, cite: str) -> tuple[str, ...]:
        """The tissues that a source says it speaks for, `any` among them where it names none in particular; empty if it says nothing."""
        found = self._source(cite)
        return () if found is None else tuple(found[1].tissues)

    def at_source(self, cite: str) -> tuple[str, int, int, str]:
        """File, line, column and path of a source, in the pack or the floor that gives it."""
        found = self._source(cite)
        return self.at(f"sources.{cite}") if found is None else self._place(found[0], f"sources.{cite}")

    def _source(self, cite: str) -> tuple[int, SourceText] | None:
        texts: list[PackText | FloorText] = []
        if self.pack is not None:
            texts = [self.pack.source.text, *(floor.text for floor in self.pack.floors)]
        return next(((n, text.sources[cite]) for n, text in enumerate(texts) if cite in text.sources), None)

    def of_history(self, code: str) -> Iterator[Finding]:
        """What stored decisions say under one check. Never a fault: what was not seen yet may be seen tomorrow."""
        for said in () if self.lived is None else self.lived.said():
            if said.code != code:
                continue
            if code == "LIVE":
                rung = self.protocol.place.get(said.at, -1)
                place = self.at(f"ladder[{rung}]" if rung >= 0 else "rules")
            else:
                place = self.at_rule(said.at, "" if said.entry < 0 else f"when[{said.entry}]")
            yield Finding(code, "info", *place, said.sentence)

    def of_floor(self, rule: str) -> bool:
        """The rule stands in an included floor, which is checked with the packs but mended elsewhere."""
        return self._rules.get(rule, (0, 0))[0] != 0


Check = Callable[[Case], Iterator[Finding]]
