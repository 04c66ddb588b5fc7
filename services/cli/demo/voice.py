"""How the demonstration speaks: a line that moves while something takes time, on a terminal; plain lines in a pipe."""

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.status import Status
from rich.text import Text

from services.cli.demo.table import fitting
from services.cli.terminal import complain, is_interactive, out

PIPE_WIDTH = 100


class Voice:
    """Everything goes to standard output, save what is under way, which a pipe gets on standard error."""

    def __init__(self) -> None:
        # A pipe in a narrow encoding gets a question mark where a sign is missing, never a fault.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        self.width = fitting(out.width) if is_interactive() else PIPE_WIDTH
        self._status: Status | None = None

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Shows what is under way until it ends."""
        if not is_interactive():
            yield
            return
        with out.status("starting") as status:
            self._status = status
            try:
                yield
            finally:
                self._status = None

    def doing(self, what: str, often: bool = False) -> None:
        """What is under way now; `often`: so often told that a pipe can do without."""
        if self._status is not None:
            self._status.update(Text(what))
        elif not often and not is_interactive():
            complain(what)

    def say(self, lines: Iterable[str | Text]) -> None:
        for line in lines:
            out.print(line if isinstance(line, Text) else Text(line))
