"""Recorded cases: what a pack answers at its borders, kept beside it in words, so that a change of the pack shows as a difference.

A file holds what is usual, then for each rule its situations with their outcomes. `milepost protocol test --accept` writes it; a person
reads the difference before it is kept.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Final

from services.decision.core.protocol import Protocol
from services.decision.rules.faults import FaultyPack, PackFault
from services.decision.rules.testing.boundaries import boundaries, clean_boundaries, usual
from services.decision.rules.testing.histories import History, histories, history_of
from services.decision.rules.testing.outcomes import Asked
from services.decision.rules.testing.situations import (
    Facts,
    FaultySituation,
    Said,
    Seen,
    Situation,
    each_of,
    facts_of,
    facts_words,
    of_place,
    seen_words,
    situation_of,
    situation_words,
    values_of,
)

CLEAN: Final = "clean"
COURSE: Final = "course"
_HEAD: Final = """\
# What {pack} answers one step below, at and above each of its thresholds, where something is unknown, too old or told by somebody of
# lesser standing, and on both sides of where each rule applies. Whatever a line does not say is as usual. Written by
# `milepost protocol test --accept`; read the difference before it is kept.
"""
_SECTION: Final = re.compile(r"(\S+):")
_USUAL: Final = re.compile(r"  (\S+): (.+)")
_NAME: Final = re.compile(r"  (\S+):")
_CASE: Final = re.compile(r"    - (.+): (.+)")


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the file. `name` is a rule, `steps`, `clean` or `course`; those of `clean` ask about a session's facts."""

    line: int
    name: str
    words: str
    asks: Situation | History | Said
    outcome: str


@dataclass(frozen=True, slots=True)
class Cases:
    """The recorded cases of one pack; `usual` holds in each unless it says otherwise."""

    file: str
    usual: Facts
    cases: tuple[Case, ...]

    def asked(self, protocol: Protocol) -> Iterator[tuple[Case, Facts, str, str]]:
        """The situations, each at each of its steps with each of its tissues, with all its facts."""
        for case in self.cases:
            if isinstance(case.asks, Situation):
                for step, tissue in product(case.asks.steps, case.asks.tissues):
                    for facts in each_of(case.asks.facts):
                        yield case, {**self.usual, **of_place(protocol, step, tissue), **facts}, step, tissue

    def sessions(self) -> Iterator[tuple[Case, Facts]]:
        """The cases of `clean`, with all their facts."""
        for case in self.cases:
            if isinstance(case.asks, tuple):
                for facts in each_of(case.asks):
                    yield case, {**self.usual, **facts}

    def histories(self) -> Iterator[tuple[Case, History]]:
        """The cases of what the pack counts."""
        for case in self.cases:
            if not isinstance(case.asks, Situation | tuple):
                yield case, case.asks


def place_of(pack: Path) -> Path:
    """Where the cases of a pack file lie."""
    return pack.parent / "cases" / pack.name


def made(protocol: Protocol) -> Cases:
    """The cases that a pack has now, with what it answers now."""
    asked = Asked(protocol)
    normal = usual(protocol)
    found: list[Case] = []
    for name, one in boundaries(protocol):
        [step], [tissue] = one.steps, one.tissues
        [facts] = each_of(one.facts)
        outcome = asked.outcome({**normal, **of_place(protocol, step, tissue), **facts}, step, tissue)
        found.append(Case(0, name, "", one, outcome))
    for session in clean_boundaries(protocol):
        [facts] = each_of(session)
        found.append(Case(0, CLEAN, "", session, asked.clean({**normal, **facts})))
    found += [Case(0, COURSE, "", one, one.outcome(protocol)) for one in histories(protocol)]
    for differing in (_steps, _tissues, _said):
        found = _together(found, differing)
    return Cases("", normal, tuple(found))


def _steps(case: Case) -> object | None:
    """What cases share that differ in the step alone; None for those that have none."""
    return (case.asks.facts, case.asks.tissues) if isinstance(case.asks, Situation) else None


def _tissues(case: Case) -> object | None:
    return (case.asks.facts, case.asks.steps) if isinstance(case.asks, Situation) else None


def _said(case: Case) -> object | None:
    """What cases share that differ in the value of their only fact."""
    one = case.asks
    if isinstance(one, Situation):
        return (one.facts[0][0], one.steps, one.tissues) if len(one.facts) == 1 else None
    return one[0][0] if isinstance(one, tuple) and len(one) == 1 else None


def _together(cases: Sequence[Case], sharing: Callable[[Case], object | None]) -> list[Case]:
    """Cases of one rule with one outcome that share the rest, as one; the first of them keeps its place."""
    merged: dict[object, Case] = {}
    for n, case in enumerate(cases):
        shared = sharing(case)
        key = (case.name, case.outcome, n if shared is None else shared)
        merged[key] = case if key not in merged else _joined(merged[key], case)
    return list(merged.values())


def _joined(one: Case, other: Case) -> Case:
    if isinstance(one.asks, Situation) and isinstance(other.asks, Situation):
        steps = tuple(dict.fromkeys((*one.asks.steps, *other.asks.steps)))
        tissues = tuple(dict.fromkeys((*one.asks.tissues, *other.asks.tissues)))
        return replace(one, asks=Situation(steps, tissues, _either(one.asks.facts, other.asks.facts)))
    assert isinstance(one.asks, tuple) and isinstance(other.asks, tuple)
    return replace(one, asks=_either(one.asks, other.asks))


def _either(one: Said, other: Said) -> Said:
    return tuple((name, tuple(dict.fromkeys((*some, *more)))) for (name, some), (_, more) in zip(one, other, strict=True))


def written(protocol: Protocol, cases: Cases) -> str:
    """The file as text."""
    lines = [_HEAD.format(pack=protocol.id) + "usual:"]
    lines += [f"  {name}: {seen_words(protocol.facts[name], seen)}" for name, seen in cases.usual.items()]
    lines.append("cases:")
    name = ""
    for case in cases.cases:
        if case.name != name:
            name = case.name
            lines.append(f"  {name}:")
        lines.append(f"    - {_words(protocol, case.asks)}: {case.outcome}")
    return "\n".join(lines) + "\n"


def _words(protocol: Protocol, asks: Situation | History | Said) -> str:
    if isinstance(asks, Situation):
        return situation_words(protocol, asks)
    return facts_words(protocol, asks) if isinstance(asks, tuple) else asks.words()


def read_cases(protocol: Protocol, file: Path) -> Cases:
    """The recorded cases; raises `FaultyPack` where the file is missing or a line of it says nothing that this pack knows."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        told = f"there are no recorded cases; make them with `milepost protocol test --accept {protocol.id}` and read them"
        raise FaultyPack([PackFault(str(file), 1, 1, "", told)]) from None
    return cases_of(protocol, str(file), text)


def cases_of(protocol: Protocol, file: str, text: str) -> Cases:
    """The same of a text that is at hand; `file` is what faults call it."""
    normal: dict[str, Seen] = {}
    cases: list[Case] = []
    faults: list[PackFault] = []
    section = name = ""
    for number, line in enumerate(text.splitlines(), 1):
        try:
            if line.startswith("#") or not line:
                continue
            if found := _SECTION.fullmatch(line):
                section = found[1]
            elif section == "usual" and (found := _USUAL.fullmatch(line)):
                normal.update(next(each_of(facts_of(protocol, f"{found[1]} {found[2]}"))))
            elif section == "cases" and (found := _NAME.fullmatch(line)):
                name = found[1]
            elif section == "cases" and (found := _CASE.fullmatch(line)):
                cases.append(_case(protocol, number, name, found[1], found[2]))
            else:
                raise FaultySituation("is not a line of a file of cases")
        except FaultySituation as fault:
            told = f"{fault}; if the pack was changed on purpose, `milepost protocol test --accept` writes the cases anew"
            faults.append(PackFault(file, number, 1, name, told))
    if faults:
        raise FaultyPack(faults)
    return Cases(file, normal, tuple(cases))


def _case(protocol: Protocol, line: int, name: str, words: str, outcome: str) -> Case:
    if name == CLEAN:
        return Case(line, name, words, facts_of(protocol, words), outcome)
    if name == COURSE:
        history = history_of(protocol, words)
        if history is None:
            raise FaultySituation("a history names a step of this pack, then what happened, as in `W3, clean on days 1 3`")
        return Case(line, name, words, history, outcome)
    return Case(line, name, words, situation_of(protocol, words), outcome)


def replayed(protocol: Protocol, cases: Cases) -> list[PackFault]:
    """A fault with its line for each case that the pack now answers otherwise."""
    asked = Asked(protocol)
    faults: list[PackFault] = []

    def hold_against(case: Case, found: str, where: str) -> None:
        if found != case.outcome:
            faults.append(
                PackFault(cases.file, case.line, 1, case.name, f"{case.words}{where}: recorded is “{case.outcome}”, now “{found}”")
            )

    for case, facts, step, tissue in cases.asked(protocol):
        hold_against(case, asked.outcome_of(values_of(protocol, facts), step, tissue), f" (at {step}, {tissue})")
    for case, facts in cases.sessions():
        hold_against(case, asked.clean(facts), "")
    for case, history in cases.histories():
        hold_against(case, history.outcome(protocol), "")
    return faults
