"""When a failed delivery is tried again: the published waits, spread a little, and what the receiver asked for, within bounds."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

JITTER: Final = 0.2
"""Waits vary by this share either way, so that deliveries that failed together do not come back together."""
RETRY_AFTER_MOST_S: Final = 86_400.0
PAUSE_MOST_S: Final = 30.0
PAUSE_ASKED_MOST_S: Final = 300.0
FAILURES_BEFORE_PAUSE: Final = 3


def wait_before(
    tries: int, waits_s: tuple[float, ...], asked_s: float | None = None, draw: Callable[[], float] = random.random
) -> float | None:
    """Seconds to wait before the next attempt when `tries` were made, or None when the schedule is at its end.

    `waits_s[0]` comes before the first attempt. `asked_s` is the receiver's Retry-After: it lengthens the wait, up to twice the
    scheduled one and never beyond a day; it never shortens it. `draw` yields numbers in [0, 1).

    >>> wait_before(1, (0, 5.0), draw=lambda: 0.5), wait_before(1, (0, 5.0), 60, lambda: 0.5), wait_before(2, (0, 5.0))
    (5.0, 10.0, None)
    """
    if tries >= len(waits_s):
        return None
    scheduled = waits_s[tries]
    wait = scheduled * (1 + JITTER * (2 * draw() - 1))
    return max(wait, honoured(tries, waits_s, asked_s))


def honoured(tries: int, waits_s: tuple[float, ...], asked_s: float | None) -> float:
    """How much of a Retry-After is heeded after that many tries: up to twice the scheduled wait and a day; 0 when none was asked.

    >>> honoured(1, (0, 5.0), 3600), honoured(1, (0, 5.0), 7), honoured(1, (0, 5.0), None)
    (10.0, 7, 0.0)
    """
    if asked_s is None or tries >= len(waits_s):
        return 0.0
    return min(asked_s, 2 * waits_s[tries], RETRY_AFTER_MOST_S)


def retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds asked for by a Retry-After header, as a number or as an HTTP date; None when absent, in the past or unreadable.

    >>> retry_after("120", datetime(2026, 1, 1, tzinfo=UTC)), retry_after("soon", datetime(2026, 1, 1, tzinfo=UTC))
    (120.0, None)
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), RETRY_AFTER_MOST_S) if text.strip("0") else None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    asked = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()
    return min(asked, RETRY_AFTER_MOST_S) if asked > 0 else None


def pause_after(failures: int, waits_s: tuple[float, ...], asked_s: float = 0.0) -> float:
    """Seconds an endpoint rests after that many failures in a row, so that a dead one costs little; 0 for the first two.

    Half the wait that the schedule gives for as many failures, at most 30 s: whatever waits for a recovered endpoint leaves soon. The
    receiver's Retry-After, given with 429, 502, 503 or 504, speaks for the whole endpoint: what is heeded of it rests it at once, up
    to 300 s.

    >>> [pause_after(failures, (0, 5, 300, 1800)) for failures in (1, 2, 3, 4, 9)]
    [0.0, 0.0, 2.5, 30.0, 30.0]
    """
    asked = min(asked_s, PAUSE_ASKED_MOST_S)
    if failures < FAILURES_BEFORE_PAUSE:
        return asked
    step = min(failures - FAILURES_BEFORE_PAUSE + 1, len(waits_s) - 1)
    return max(asked, min(waits_s[step] / 2, PAUSE_MOST_S))
