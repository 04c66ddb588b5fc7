"""One server process: started on a leash, watched, stopped; and the remains of an earlier one found and stopped first."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import psutil

from services.embedded.account import Account
from services.embedded.faults import ServerFault, last_lines

_LEASH = Path(__file__).with_name("leash.py")
_LOG_LIMIT = 16 * 2**20
POLL_S = 0.02


def leash(mode: str, words: Iterable[str], account: Account | None, on_parent_death: signal.Signals = signal.SIGTERM) -> list[str]:
    """The command line that runs `words` on the leash (see leash.py) as `account`, or as this user."""
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    return [sys.executable, "-I", "-S", str(_LEASH), *map(str, (os.getpid(), int(on_parent_death), uid, gid)), mode, *words]


class Process:
    """A server of this process. Every wait has a limit; output goes to `log`."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self, words: list[str], environment: Mapping[str, str], cwd: Path | None = None) -> None:
        """Starts the command line. Raises `ServerFault` when it cannot be run."""
        self.log.parent.mkdir(mode=0o700, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            os.replace(self.log, self.log.with_name(self.log.name + ".old"))
        with open(self.log, "ab") as log:
            try:
                self._child = subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(environment), cwd=cwd, process_group=0
                )
            except OSError as fault:
                raise ServerFault(f"{self.name} cannot be started: {fault.strerror} ({words[0]})") from None

    async def ready(self, is_ready: Callable[[], bool], within_s: float) -> None:
        """Waits until `is_ready`. Raises `ServerFault` with the end of the log when the process ends first or the time is up."""
        deadline = time.monotonic() + within_s
        while self.alive():
            if is_ready():
                return
            if time.monotonic() > deadline:
                raise ServerFault(f"{self.name} was not ready within {within_s:.0f} s; its log {self.log} ends:{last_lines(self.log)}")
            await asyncio.sleep(POLL_S)
        raise self.ended()

    def ended(self) -> ServerFault:
        """That it ended when it should not have, with its exit code and the end of its log."""
        code = self._child.returncode if self._child else None
        return ServerFault(f"{self.name} ended (exit {code}); its log {self.log} ends:{last_lines(self.log)}")

    async def stop(self, how: signal.Signals, within_s: float) -> None:
        """Asks the process to end, and ends it for good when the time is up. Does nothing when it is gone."""
        if self._child is None:
            return
        if self.alive():
            self._child.send_signal(how)
            if not await _gone(lambda: not self.alive(), within_s):
                self._child.kill()
        await _gone(lambda: not self.alive(), 10)
        self._child = None

    async def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self._child is not None:
            self._child.kill()
            await _gone(lambda: not self.alive(), 10)


async def stop_remains(is_ours: Callable[[psutil.Process], bool], how: signal.Signals, within_s: float) -> int:
    """Stops processes that an earlier, killed parent left; returns how many there were.

    Only processes for which `is_ours` holds are touched; each is known by pid and start time, so a reused pid is never hit.
    The caller holds the data directory, so none of them can belong to a living milepost.
    """
    remains = [process for process in psutil.process_iter() if _holds(is_ours, process)]
    pids = {process.pid for process in remains}
    for one in remains:
        with contextlib.suppress(psutil.NoSuchProcess):
            # A server's own children follow it; a signal of their own could mean something else to them.
            if one.ppid() not in pids:
                one.send_signal(how)
    if not await _gone(lambda: not any(map(_lives, remains)), within_s):
        for one in remains:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        await _gone(lambda: not any(map(_lives, remains)), 10)
    return len(remains)


def _holds(is_ours: Callable[[psutil.Process], bool], process: psutil.Process) -> bool:
    try:
        return process.pid != os.getpid() and is_ours(process)
    except psutil.Error:
        return False


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def _gone(is_gone: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not is_gone():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True
