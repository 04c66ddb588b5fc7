"""Where a fault happened, without what it said: an exception's text may quote an athlete's data."""

import traceback
from pathlib import PurePath
from types import TracebackType

FRAMES = 12


def frames(error: BaseException) -> list[str]:
    """The innermost 12 frames as `file:line function`, and the classes of the causes, outermost cause last.

    >>> frames(ValueError("athlete 7"))
    []
    """
    lines = _lines(error.__traceback__)
    seen = {id(error)}
    cause = error.__cause__ or error.__context__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        lines += [f"caused by {type(cause).__name__}", *_lines(cause.__traceback__)]
        cause = cause.__cause__ or cause.__context__
    return lines


def _lines(trace: TracebackType | None) -> list[str]:
    stack = traceback.extract_tb(trace)[-FRAMES:]
    return [f"{'/'.join(PurePath(frame.filename).parts[-3:])}:{frame.lineno} {frame.name}" for frame in stack]
