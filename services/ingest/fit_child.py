"""`python -m services.ingest.fit_child`: reads FIT files on standard input, writes what became of each to standard output.

A process of its own, because decoders of damaged files hang, and because they hold the interpreter for a second per long recording.
Framing, both ways: 4 bytes length, big endian, then that many bytes. In: JSON of the naming and the limit, then the file. Out: JSON with
`recording`, or `refused` with the sentence why. It ends with its input.
"""

import contextlib
import sys
from dataclasses import asdict
from typing import BinaryIO, Final

import orjson

from services.ingest.formats.fit import Naming, recording
from services.ingest.formats.fit_messages import FileFault

MEMORY: Final = 2 * 2**30
"""Bytes of address space; a file within the limits of records needs a quarter."""


def main() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while (head := _frame(source)) is not None:
        file = _frame(source)
        if file is None:
            return
        answer = orjson.dumps(_answer(head, file))
        sink.write(len(answer).to_bytes(4, "big") + answer)
        sink.flush()


def _answer(head: bytes, file: bytes) -> dict[str, object]:
    asked = orjson.loads(head)
    try:
        return {"recording": asdict(recording(file, Naming(**asked["naming"]), asked["max_records"]))}
    except FileFault as fault:
        return {"refused": str(fault)}
    except MemoryError:
        return {"refused": "the file needs more memory than one file may; send a shorter recording"}
    except Exception as fault:
        # What a decoder makes of garbage is not ours to foresee; the class tells the operator, nothing of the content leaves here.
        return {"refused": "the file cannot be read: its content contradicts itself", "error": type(fault).__name__}


def _frame(source: BinaryIO) -> bytes | None:
    head = source.read(4)
    if len(head) < 4:
        return None
    length = int.from_bytes(head, "big")
    body = source.read(length)
    return body if len(body) == length else None


if __name__ == "__main__":
    main()
