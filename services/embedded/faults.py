"""What can go wrong with an embedded server, as a sentence that says what to do."""

from pathlib import Path


class ServerFault(Exception):
    """An embedded server cannot run; the text says why and what to do."""


def last_lines(log: Path, count: int = 5) -> str:
    """The end of a log, for the sentence of a `ServerFault`; empty when there is none."""
    try:
        lines = log.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "".join(f"\n  {line}" for line in lines[-count:] if line.strip())
