"""Numbered places at which a test may end or stop a process: before and after whatever is written, confirmed, owned or signed.

Without the environment variable `CRASH_AT` nothing happens here, at the cost of one comparison. `CRASH_AT=7` ends the process with
`os._exit` where point 7 is passed first, `CRASH_AT=7:3` the third time; `STOP_AT` stops it there as SIGSTOP does.
"""

import os
import signal
from typing import Final

POINTS: Final = {
    1: "before a publish",
    2: "after the bus confirmed a publish",
    3: "before a batch's transaction",
    4: "before COMMIT, with every row of the batch written",
    5: "after COMMIT",
    6: "before an acknowledgement",
    7: "after an acknowledgement",
    8: "before leases are taken",
    9: "after leases were taken",
    10: "before leases are renewed",
    11: "after leases were renewed",
    12: "before leases are given back",
    13: "after leases were given back",
    14: "before a checkpoint is kept",
    15: "after a checkpoint was kept",
    16: "before published rows leave the outbox",
    17: "after published rows left the outbox",
}
EXIT: Final = 86

_passed: dict[int, int] = {}


def _armed(variable: str) -> tuple[int, int]:
    number, _, times = os.environ.get(variable, "0").partition(":")
    return int(number), int(times or 1)


_END: Final = _armed("CRASH_AT")
_STOP: Final = _armed("STOP_AT")
_NONE: Final = not (_END[0] or _STOP[0])


def point(number: int) -> None:
    """The process passes point `number`."""
    if _NONE:
        return
    _passed[number] = times = _passed.get(number, 0) + 1
    if (number, times) == _END:
        os._exit(EXIT)
    if (number, times) == _STOP:
        os.kill(os.getpid(), signal.SIGSTOP)
