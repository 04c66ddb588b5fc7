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
    18: "before the notices of a batch are kept",
    19: "before COMMIT, with every notice of the batch written",
    20: "after COMMIT of the notices of a batch",
    21: "before what waited for its window is told",
    22: "before COMMIT, with what waited written",
    23: "after COMMIT of what waited",
    24: "before what nobody took up is said again",
    25: "before COMMIT, with what is said again written",
    26: "after COMMIT of what is said again",
    27: "before a webhook leaves",
    28: "after its receiver answered",
    29: "before ended attempts are recorded",
    30: "before COMMIT, with attempts and where their deliveries stand written",
    31: "after COMMIT of ended attempts",
    32: "before circuit breakers are noted",
    33: "before COMMIT, with circuit breakers written",
    34: "after COMMIT of circuit breakers",
    35: "before the lead is asked for",
    36: "after the lead was taken",
    37: "before the lead is given up",
    38: "after the lead was given up",
    39: "before deliveries are put off",
    40: "after deliveries were put off",
    41: "before the reconciler's place is kept",
    42: "after the reconciler's place was kept",
    43: "before the progress of a replay is kept",
    44: "after the progress of a replay was kept",
    45: "before the bus is cleared of an athlete to be erased",
    46: "after the bus was cleared of an athlete to be erased",
    47: "before COMMIT of an erasure, with every row replaced or removed",
    48: "after COMMIT of an erasure",
    49: "after an erasure was noted as carried out",
}
EXIT: Final = 86

_passed: dict[int, int] = {}


def arm(end: int = 0, stop: int = 0) -> None:
    """End, or stop, this process where it next passes the point; 0: nowhere."""
    global _end, _stop, _none
    _end, _stop, _none = (end, 1), (stop, 1), not (end or stop)
    _passed.clear()


def _armed(variable: str) -> tuple[int, int]:
    number, _, times = os.environ.get(variable, "0").partition(":")
    return int(number), int(times or 1)


_end = _armed("CRASH_AT")
_stop = _armed("STOP_AT")
_none = not (_end[0] or _stop[0])


def point(number: int) -> None:
    """The process passes point `number`."""
    if _none:
        return
    _passed[number] = times = _passed.get(number, 0) + 1
    if (number, times) == _end:
        os._exit(EXIT)
    if (number, times) == _stop:
        os.kill(os.getpid(), signal.SIGSTOP)
