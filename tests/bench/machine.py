"""What the figures were measured on."""

import os
import platform
import subprocess
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil

from tests.bench.figures import quantiles


def described(where: Path) -> dict[str, Any]:
    """Processor, memory, kernel, Python, commit, and what one fsync in the directory `where` and a piece of plain Python cost."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "fsync_ms": _fsync_ms(where),
        "python_ms": _python_ms(),
        "load_before": round(os.getloadavg()[0], 2),
        "commit": _git("rev-parse", "--short=12", "HEAD") + ("" if not _git("status", "--porcelain", "-uno") else " with changes"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _fsync_ms(where: Path, times: int = 200) -> dict[str, float]:
    where.mkdir(parents=True, exist_ok=True)
    spent = []
    with tempfile.NamedTemporaryFile(dir=where) as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            file.flush()
            begin = perf_counter()
            os.fdatasync(file.fileno())
            spent.append((perf_counter() - begin) * 1000)
    return quantiles(spent)


def _python_ms(times: int = 30) -> dict[str, float]:
    """What a fixed piece of plain Python costs: runs on one machine compare only where this is alike."""
    spent = []
    for _ in range(times):
        begin = perf_counter()
        found: dict[str, int] = {}
        for number in range(20_000):
            key = f"k{number % 97}"
            found[key] = found.get(key, 0) + number
        spent.append((perf_counter() - begin) * 1000)
    return quantiles(spent)


def _git(*words: str) -> str:
    found = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    return found.stdout.strip() or ("" if words[0] == "status" else "unknown")
