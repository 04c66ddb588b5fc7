"""Processes for what takes long: checks, proofs, backtests, shadows. They end with their parent, however that ends."""

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from time import sleep
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


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
            self._executor = ProcessPoolExecutor(self.size, context, initializer=_end_with, initargs=(os.getpid(),))
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
