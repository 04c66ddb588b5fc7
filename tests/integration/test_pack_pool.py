"""The processes that check and compare packs: one that dies costs one answer, and none outlives its parent."""

import gc
import os
import signal
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest

from services.decision.lifecycle.pool import YOUNG, Pool

PARENT = """
import asyncio, os, time
from services.decision.lifecycle.pool import Pool

async def main():
    print(await Pool(1).run(os.getpid), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    asyncio.run(main())
"""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def test_after_a_process_died_under_its_work_the_next_call_has_another() -> None:
    pool = Pool(1)
    try:
        first = await pool.run(os.getpid)
        with pytest.raises(BrokenProcessPool):
            await pool.run(die)
        assert await pool.run(os.getpid) not in (first, os.getpid())
    finally:
        pool.close()


async def test_cycles_are_looked_for_rarely_in_a_process_of_the_pool_and_as_ever_in_its_parent() -> None:
    before, pool = gc.get_threshold(), Pool(1)
    try:
        assert (await pool.run(gc.get_threshold))[0] == YOUNG > before[0]
        assert gc.get_threshold() == before
    finally:
        pool.close()


def test_a_killed_parent_leaves_no_process_behind(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = monotonic() + 90
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
            assert monotonic() < deadline, "the child runs on without its parent"
            sleep(0.05)
