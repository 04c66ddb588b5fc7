"""What a decision costs without any server: the fold on courses of growing length, and both engines per decision."""

import gc
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from services.decision.core.athlete import Athlete
from services.decision.core.question import Question
from services.decision.engines.durable import SecondEngine
from services.decision.engines.reference import ReferenceEngine, judge, trace
from services.decision.rules.library import PackLibrary
from shared.events import Event, content_digest, parse
from tests.bench.figures import Figure, quantiles
from tests.bench.histories import course

PACKS = PackLibrary(ReferenceEngine())
MEASURED = 200

Ready = tuple[Event, bytes]


def measure() -> list[Figure]:
    questions: list[Question] = []
    figures = [_in_order(length, questions) for length in (10, 1_000, 10_000)]
    figures += [_late(distance) for distance in (5, 50, 500)]
    return figures + _engines(questions[:2000])


def _ready(athlete: str, events: int) -> list[Ready]:
    return [(parse(raw), content_digest(raw)) for raw in course(athlete, events)]


def _in_order(length: int, questions: list[Question]) -> Figure:
    """Several athletes for the short course, so that as many events are measured."""
    per = MEASURED if length >= MEASURED else 10
    spent: list[float] = []
    for number in range(MEASURED // per):
        ready = _ready(f"a{number}", length + per)
        athlete = Athlete(PACKS)
        for one in ready[:length]:
            athlete.receive(*one)
        gc.collect()
        for one in ready[length:]:
            begin = perf_counter()
            receipt = athlete.receive(*one)
            spent.append((perf_counter() - begin) * 1000)
            questions += [decision.question for decision in receipt.decisions]
    return Figure(f"fold and decide one event in order, course of {length:,}", "events", _rate(spent), quantiles(spent))


def _late(distance: int) -> Figure:
    """The newest reports of a course of 1,000 events arrive; one from `distance` events ago has been missing until now."""
    spent = []
    for number in range(10):
        ready = _ready(f"late{number}", 1_001)
        missing = ready.pop(len(ready) - distance - number)
        athlete = Athlete(PACKS)
        for one in ready:
            athlete.receive(*one)
        begin = perf_counter()
        athlete.receive(*missing)
        spent.append((perf_counter() - begin) * 1000)
    return Figure(f"one event late by about {distance} events, course of 1,000", "events", _rate(spent), quantiles(spent))


def _engines(questions: Sequence[Question]) -> list[Figure]:
    def each(name: str, ask: Callable[[Any, Sequence[int | None], int, int], Any]) -> Figure:
        spent = []
        for question in questions:
            protocol = PACKS.by_hash[question.pack]
            begin = perf_counter()
            ask(protocol, question.values, question.rung, question.tissue)
            spent.append((perf_counter() - begin) * 1000)
        rules = len(PACKS.by_hash[questions[0].pack].rules)
        return Figure(f"{name}, {rules} rules", "decisions", _rate(spent), quantiles(spent))

    figures = [each("reference engine, answer", judge), each("reference engine, full trace", trace)]
    with SecondEngine(PACKS.by_hash) as second:
        second.judge_now(questions[:64])
        for together in (1, 64):
            spent = []
            for at in range(0, min(len(questions), 400 * together) - together + 1, together):
                begin = perf_counter()
                second.judge_now(questions[at : at + together])
                spent.append((perf_counter() - begin) * 1000)
            name = f"durable engine in its process, {together} asked together"
            figures.append(Figure(name, "decisions", _rate(spent) * together, quantiles(spent), note="ms of the whole request"))
    return figures


def _rate(spent_ms: Sequence[float]) -> float:
    return 1000 * len(spent_ms) / sum(spent_ms)
