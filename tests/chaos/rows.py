"""A plugin of pytest that writes a row of the table for each part of a round: `-p tests.chaos.rows`, told by the environment."""

import os
from pathlib import Path
from time import monotonic
from typing import Final

import pytest

ROUND: Final = int(os.environ.get("CHAOS_ROUND", "1"))
INTO: Final = int(os.environ.get("CHAOS_ROWS", "2"))
"""The file descriptor that rows are written to: pytest keeps what goes to 1 and 2 for itself."""
PARTS: Final = {
    "decision/test_crash_points.py": "crash points of decision",
    "notify/test_crash_points.py": "crash points of notify",
    "integration/test_bus_full_disk.py": "full disk under NATS",
    "decision/test_model.py": "stateful model",
    "decision/test_verify.py": "tamper fuzz",
    "e2e/test_kill.py": "killed and paused under load",
    "e2e/test_kill_notify.py": "notify killed under notices",
    "e2e/test_full_disk.py": "full disks under everything",
    "e2e/test_erasure.py": "erasure canary",
}
"""File of tests to what it does."""


def row(number: int | str, seed: int | str, what: str, seconds: float | str, verdict: str) -> str:
    shown = f"{seconds:.1f}" if isinstance(seconds, float) else seconds
    return f"{number:>5}  {seed:>10}  {what:44}  {shown:>6}  {verdict}"


class Rows:
    """Collects what tests of one file say until the next file begins."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._begin = monotonic()
        self._file = ""
        self._passed = 0
        self._red = ""

    def pytest_runtest_logstart(self, location: tuple[str, int | None, str]) -> None:
        if location[0] != self._file:
            self._tell()
            self._file, self._passed, self._red, self._begin = location[0], 0, "", monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._red = report.nodeid.partition("::")[2]
        elif report.when == "call" and report.passed:
            self._passed += 1

    def pytest_sessionfinish(self) -> None:
        self._tell()

    def _tell(self) -> None:
        if not self._file:
            return
        what = next((name for end, name in PARTS.items() if self._file.endswith(end)), Path(self._file).stem)
        verdict = f"RED {self._red}" if self._red else f"ok, {self._passed} tests"
        os.write(INTO, f"{row(ROUND, self._seed, what, monotonic() - self._begin, verdict)}\n".encode())


def pytest_configure(config: pytest.Config) -> None:
    from tests.seeds import SEED

    config.pluginmanager.register(Rows(SEED), "chaos rows")
