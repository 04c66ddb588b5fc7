"""The second engine: every question asked again, of durable-rules, in a process that may die without harm.

Its silence is never an answer. A question that cannot be answered in three tries, each in a fresh process, is a fault of the engine, told
as such; its neighbours are answered. A difference from the reference engine is for the caller to see (`Question.agrees`).
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from services.decision.core.protocol import Protocol
from services.decision.core.question import Answer, Question
from services.decision.engines.durable_pack import PackRefused
from services.decision.engines.durable_process import EngineProcess, Failed, Packs, SecondEngineMissing

__all__ = ["EngineFault", "PackRefused", "SecondEngine", "SecondEngineMissing"]

_T = TypeVar("_T")

TRIES = 3
_HOPELESS = 3
"""Questions lost in a row before the rest is tried as a whole instead of one by one: then the engine is broken, not the questions."""


@dataclass(frozen=True, slots=True)
class EngineFault:
    """No answer in `tries` tries; 0 where the question could not be asked at all. `detail` says how the last try ended."""

    tries: int
    detail: str


class SecondEngine:
    """durable-rules over one set of packs. Another set is another `SecondEngine`: a ruleset cannot be replaced in a live process.

    `timeout_s` is how long one answer may take; a batch has that and 5 ms for each question. After `recycle_after` evaluations the
    process is replaced, before the library's known leaks and false duplicates come near. Raises `PackRefused` for a pack it cannot hold.
    """

    def __init__(self, packs: Mapping[str, Protocol], timeout_s: float = 2.0, recycle_after: int = 100_000) -> None:
        self._packs = Packs.of(packs)
        self._timeout_s = timeout_s
        self._recycle_after = recycle_after
        self._process: EngineProcess | None = None
        self._turn = threading.Lock()
        self._thread: ThreadPoolExecutor | None = None
        self.starts = 0
        """Processes started so far."""

    async def __aenter__(self) -> "SecondEngine":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __enter__(self) -> "SecondEngine":
        self.start_now()
        return self

    def __exit__(self, *_: object) -> None:
        self.close_now()

    @property
    def pid(self) -> int | None:
        """The child process now, if there is one."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Starts the process before the first batch. Raises `SecondEngineMissing`, or `RuntimeError` if it does not start."""
        await self._in_thread(self.start_now)

    async def judge(self, questions: Sequence[Question]) -> list[Answer | EngineFault]:
        """One answer or fault for each question, in order. Whatever the engine does is in the list; only its absence raises."""
        asked = list(questions)
        return await self._in_thread(lambda: self.judge_now(asked))

    async def close(self) -> None:
        """Ends the process. The engine may be used again afterwards; it then starts a new one."""
        await self._in_thread(self.close_now)
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    def start_now(self) -> None:
        """`start` without an event loop."""
        with self._turn:
            try:
                self._ready()
            except Failed as failure:
                raise RuntimeError(f"The second rule engine {failure}.") from None

    def close_now(self) -> None:
        """`close` without an event loop."""
        with self._turn:
            self._drop()

    def judge_now(self, questions: Sequence[Question]) -> list[Answer | EngineFault]:
        """`judge` without an event loop."""
        results: list[Answer | EngineFault | None] = [None] * len(questions)
        waiting = []
        for index, question in enumerate(questions):
            unasked = self._unaskable(question)
            if unasked:
                results[index] = EngineFault(0, unasked)
            else:
                waiting.append(index)
        with self._turn:
            self._settle(questions, waiting, results)
        return [result for result in results if result is not None]

    def _settle(self, questions: Sequence[Question], waiting: list[int], results: list[Answer | EngineFault | None]) -> None:
        """Fills in a result for each waiting question.

        The first try asks all at once. After a failure the answers are taken one by one, so that the first one missing names the culprit:
        it alone is tried again until it is answered or lost, and the others go on in a fresh process.
        """
        tries = [0] * len(questions)
        lost_in_a_row = 0
        one_by_one = False
        while waiting:
            answers, failure = self._ask([questions[index] for index in waiting], one_by_one)
            for index, answer in zip(waiting, answers, strict=False):
                results[index] = answer
                lost_in_a_row = 0
            waiting = waiting[len(answers) :]
            if failure is None:
                continue
            self._drop()
            suspects = waiting[:1] if one_by_one else waiting
            for index in suspects:
                tries[index] += 1
                if tries[index] >= TRIES:
                    results[index] = EngineFault(tries[index], str(failure))
                    lost_in_a_row += 1
            waiting = [index for index in waiting if results[index] is None]
            one_by_one = lost_in_a_row < _HOPELESS

    def _ask(self, questions: Sequence[Question], one_by_one: bool) -> tuple[list[Answer], Failed | None]:
        try:
            process = self._ready()
        except Failed as failure:
            return [], failure
        return process.ask(questions, self._timeout_s, one_by_one)

    def _ready(self) -> EngineProcess:
        if self._process is not None and self._process.evaluations >= self._recycle_after:
            self._drop()
        if self._process is None:
            self._process = EngineProcess(self._packs)
            self.starts += 1
        return self._process

    def _drop(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None

    def _unaskable(self, question: Question) -> str:
        number = self._packs.number.get(question.pack)
        if number is None:
            return f"pack {question.pack} is not loaded in the second engine"
        if len(question.values) != self._packs.slots[number]:
            return f"pack {question.pack} has {self._packs.slots[number]} slots, the question has {len(question.values)} values"
        return ""

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        # A thread of its own: an executor shared with slow work elsewhere would make the engine look slow.
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="second-engine")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
