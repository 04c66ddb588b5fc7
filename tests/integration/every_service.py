"""`python -m tests.integration.every_service HOME`: every service as a process of its own, the modules read once for all of them.

Says `NAME PID` of each when it is begun and `NAME CODE` when it ended; what each writes is in `HOME/NAME`.
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from services.decision import __main__ as decision, eraser, worker
from services.ingest import __main__ as ingest
from services.notify import __main__ as notify

MAINS: dict[str, Callable[[], int]] = {
    "ingest": ingest.main,
    "decision": decision.main,
    "notify": notify.main,
    "worker": partial(worker.main, []),
    "eraser": partial(eraser.main, []),
}


def become(main: Callable[[], int], log: Path) -> None:
    """Does not return."""
    with log.open("wb") as written:
        os.dup2(written.fileno(), 1)
        os.dup2(written.fileno(), 2)
    code = 70
    try:
        code = main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run(home: Path) -> None:
    begun: dict[int, str] = {}
    for name, main in MAINS.items():
        (home / name).touch()
        pid = os.fork()
        if pid == 0:
            become(main, home / name)
        begun[pid] = name
        print(name, pid, flush=True)
    for _ in MAINS:
        pid, status = os.wait()
        print(begun[pid], os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
