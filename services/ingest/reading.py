"""Decoding of files in processes of their own, in bounds of time, size and number, off the event loop."""

import asyncio
import contextlib
import sys
from dataclasses import asdict
from typing import Any, Final

import orjson
import structlog

from services.ingest.formats.fit import Naming
from services.ingest.formats.fit_messages import FileFault

RECYCLED_AFTER: Final = 100
"""Files one process reads before a fresh one takes its place: decoders leak."""

QUEUE_S: Final = 20.0
"""How long a file may wait for a free process."""

_ANSWER_LIMIT: Final = 16 * 2**20

_log = structlog.get_logger("milepost.ingest")


class ReadersBusy(Exception):
    """No process came free in time; the file is to be sent again later."""


class _Reader:
    """One child process, started when it is first needed."""

    def __init__(self) -> None:
        self._child: asyncio.subprocess.Process | None = None
        self._files = 0

    async def ask(self, head: bytes, file: bytes) -> dict[str, Any]:
        child = self._child
        if child is None or child.returncode is not None or self._files >= RECYCLED_AFTER:
            await self.stop()
            child = self._child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "services.ingest.fit_child",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            self._files = 0
        self._files += 1
        assert child.stdin is not None
        assert child.stdout is not None
        for part in (head, file):
            child.stdin.write(len(part).to_bytes(4, "big"))
            child.stdin.write(part)
        await child.stdin.drain()
        length = int.from_bytes(await child.stdout.readexactly(4), "big")
        if length > _ANSWER_LIMIT:
            raise ValueError("the answer is longer than it may be")
        answer: dict[str, Any] = orjson.loads(await child.stdout.readexactly(length))
        return answer

    async def stop(self) -> None:
        if self._child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._child.kill()
        await self._child.wait()
        self._child = None


class FitReaders:
    """A few processes that decode FIT files, one file at a time each."""

    def __init__(self, workers: int, limit_s: float, max_records: int) -> None:
        self._limit_s = limit_s
        self._max_records = max_records
        self._free: asyncio.Queue[_Reader] = asyncio.Queue()
        self._readers = [_Reader() for _ in range(workers)]
        for reader in self._readers:
            self._free.put_nowait(reader)

    async def read(self, file: bytes, naming: Naming) -> dict[str, Any]:
        """The `Recording` of a file as a dictionary. Raises `FileFault` with the reason, or `ReadersBusy`."""
        try:
            async with asyncio.timeout(QUEUE_S):
                reader = await self._free.get()
        except TimeoutError:
            raise ReadersBusy from None
        try:
            head = orjson.dumps({"naming": asdict(naming), "max_records": self._max_records})
            async with asyncio.timeout(self._limit_s):
                answer = await reader.ask(head, file)
        except TimeoutError:
            await reader.stop()
            raise FileFault(f"the file takes longer to read than {self._limit_s:g} s; send a shorter recording") from None
        except (OSError, EOFError, ValueError):
            await reader.stop()
            raise FileFault("the file made its reader fail; send it as the device wrote it") from None
        except BaseException:
            # Left in the middle of an answer, the process would give the next file this one's.
            await reader.stop()
            raise
        finally:
            self._free.put_nowait(reader)
        if "refused" in answer:
            if "error" in answer:
                _log.warning("file not read", error=answer["error"])
            raise FileFault(answer["refused"])
        recording: dict[str, Any] = answer["recording"]
        return recording

    async def close(self) -> None:
        """End the processes."""
        await asyncio.gather(*(reader.stop() for reader in self._readers))
