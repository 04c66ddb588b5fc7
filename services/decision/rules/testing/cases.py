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
    """One line of the file. `name` is a rule, `steps` or `clean`; a case of `clean` asks about a session and has no situation."""

    line: int
    name: str
    words: str
    situation: Situation | None
    session: Said
    outcome: str


@dataclass(frozen=True, slots=True)
class Cases:
    """The recorded cases of one pack; `usual` holds in each unless it says otherwise."""

    file: str
    usual: Facts
    cases: tuple[Case, ...]

    def asked(self, protocol: Protocol) -> Iterator[tuple[Case, Facts, str, str]]:
        """Every case but those of `clean`, at each of its steps with each of its tissues, with all its facts."""
        for case in self.cases:
            if case.situation is not None:
                for step, tissue in product(case.situation.steps, case.situation.tissues):
                    for facts in each_of(case.situation.facts):
                        yield case, {**self.usual, **of_place(protocol, step, tissue), **facts}, step, tissue

    def sessions(self) -> Iterator[tuple[Case, Facts]]:
        """The cases of `clean`, with all their facts."""
        for case in self.cases:
            if case.situation is None:
                for facts in each_of(case.session):
                    yield case, {**self.usual, **facts}


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
        found.append(Case(0, name, "", one, (), outcome))
    for session in clean_boundaries(protocol):
        [facts] = each_of(session)
        found.append(Case(0, CLEAN, "", None, session, asked.clean({**normal, **facts})))
    for differing in (_steps, _tissues, _said):
        found = _together(found, differing)
    return Cases("", normal, tuple(found))


def _steps(case: Case) -> object | None:
    """What cases share that differ in the step alone; None for those that have none."""
    one = case.situation
    return None if one is None else (one.facts, one.tissues)


def _tissues(case: Case) -> object | None:
    one = case.situation
    return None if one is None else (one.facts, one.steps)


def _said(case: Case) -> object | None:
    """What cases share that differ in the value of their only fact."""
    one = case.situation
    facts = case.session if one is None else one.facts
    if len(facts) != 1:
        return None
    return (facts[0][0], None if one is None else (one.steps, one.tissues))


def _together(cases: Sequence[Case], sharing: Callable[[Case], object | None]) -> list[Case]:
    """Cases of one rule with one outcome that share the rest, as one; the first of them keeps its place."""
    merged: dict[object, Case] = {}
    for n, case in enumerate(cases):
        shared = sharing(case)
        key = (case.name, case.outcome, n if shared is None else shared)
        merged[key] = case if key not in merged else _joined(merged[key], case)
    return list(merged.values())


def _joined(one: Case, other: Case) -> Case:
    if one.situation is None or other.situation is None:
        return replace(one, session=_either(one.session, other.session))
    steps = tuple(dict.fromkeys((*one.situation.steps, *other.situation.steps)))
    tissues = tuple(dict.fromkeys((*one.situation.tissues, *other.situation.tissues)))
    return replace(one, situation=Situation(steps, tissues, _either(one.situation.facts, other.situation.facts)))


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
        words = facts_words(protocol, case.session) if case.situation is None else situation_words(protocol, case.situation)
        lines.append(f"    - {words}: {case.outcome}")
    return "\n".join(lines) + "\n"


def read_cases(protocol: Protocol, file: Path) -> Cases:
    """The recorded cases; raises `FaultyPack` where the file is missing or a line of it says nothing that this pack knows."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        told = f"there are no recorded cases; make them with `milepost protocol test --accept {protocol.id}` and read them"
        raise FaultyPack([PackFault(str(file), 1, 1, "", told)]) from None
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
            faults.append(PackFault(str(file), number, 1, name, told))
    if faults:
        raise FaultyPack(faults)
    return Cases(str(file), normal, tuple(cases))


def _case(protocol: Protocol, line: int, name: str, words: str, outcome: str) -> Case:
    if name == CLEAN:
        return Case(line, name, words, None, facts_of(protocol, words), outcome)
    return Case(line, name, words, situation_of(protocol, words), (), outcome)


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
    return faults
