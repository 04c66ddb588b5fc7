"""How a process tells its task to stop, and whether the running task was told.

`asyncio.wait_for` of Python 3.11 can swallow a cancellation that comes together with the result, and both client libraries use it; a
loop that only waits to be interrupted would then run for ever. So loops ask.
"""

import asyncio
import signal


def told_to_stop() -> bool:
    """True from the moment that somebody cancelled the running task, even when the interruption itself got lost."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def told_ends(task: "asyncio.Task[None] | None") -> None:
    """From now on SIGTERM and SIGINT cancel `task`, and nothing else."""
    if task is not None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
