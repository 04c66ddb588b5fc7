"""Processes for what takes long: checks, proofs, backtests, shadows. They end with their parent, however that ends."""

import asyncio
import gc
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from time import sleep
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


YOUNG: Final = 20_000
"""So many new objects before the collector looks for cycles among them. Folding and deciding leave none: at Python's 700, looking cost a
replay 2 % of its time.
"""


def collect_rarely() -> None:
    """For a process that folds and decides and does little else."""
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])


def _begin(parent: int) -> None:
    collect_rarely()
    _end_with(parent)


def _end_with(parent: int) -> None:
    def watch() -> None:
        while os.getppid() == parent:
            sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Pool:
    """At most `size` processes, started when first needed."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._executor: ProcessPoolExecutor | None = None

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work` in another process; raises what it raises, and `BrokenProcessPool` when the process ended under it. The next call starts
        anew.
        """
        if self._executor is None:
            # Spawned: a fork of a process with threads and connections may hang.
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self.size, context, initializer=_begin, initargs=(os.getpid(),))
        executor = self._executor
        try:
            return await asyncio.wrap_future(executor.submit(work, *args, **kwargs))
        except BrokenProcessPool:
            if self._executor is executor:
                self._executor = None
                executor.shutdown(wait=False, cancel_futures=True)
            raise

    def close(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            for process in list((self._executor._processes or {}).values()):
                process.terminate()
            self._executor = None
