"""How the commands speak: colour and tables to a terminal, plain lines to a pipe, faults as sentences on standard error."""

import sys
from typing import NoReturn

from rich.console import Console

EXIT_FAULT = 1
EXIT_BAD_INPUT = 2

out = Console(highlight=False, soft_wrap=True)


def is_interactive() -> bool:
    """Whether a person looks at standard output."""
    return out.is_terminal


def say(text: str) -> None:
    """One line on standard output, as it stands."""
    print(text, flush=True)


def complain(text: str) -> None:
    """A fault or a warning, on standard error, as it stands."""
    print(text, file=sys.stderr, flush=True)


def stop(text: str, code: int = EXIT_BAD_INPUT) -> NoReturn:
    """Says what was wrong and leaves with `code`."""
    complain(text)
    sys.exit(code)
