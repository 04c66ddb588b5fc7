"""Whether the running task was told to stop.

`asyncio.wait_for` of Python 3.11 can swallow a cancellation that comes together with the result, and both client libraries use it; a
loop that only waits to be interrupted would then run for ever. So loops ask.
"""

import asyncio


def told_to_stop() -> bool:
    """True from the moment that somebody cancelled the running task, even when the interruption itself got lost."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
