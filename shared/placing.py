"""Where an athlete's events go: one of 64 partitions, under a pseudonym that nobody without the key can trace back.

Both are the same on every machine and in every version: changing either would scatter an athlete's history.
"""

import hashlib
import hmac
import re
from typing import Final

PARTITIONS: Final = 64
"""Fixed for the life of the streams; see docs/design.md, "The way of an event"."""

_RESERVED: Final = re.compile("erased-[0-9a-f]{32}")


def partition(tenant: str, athlete: str) -> int:
    """The partition, 0 to 63, that holds everything of this athlete.

    >>> partition("clinic-a", "athlete-1")
    1

    Raises ValueError when either part is empty or contains NUL, because two athletes could then share one name.
    """
    return int.from_bytes(hashlib.sha256(_name(tenant, athlete)).digest()[:8], "big") % PARTITIONS


def pseudonym(key: bytes, tenant: str, athlete: str) -> str:
    """32 lower-case hexadecimal digits that stand for the athlete in bus subjects and logs: HMAC-SHA256 under `key`, shortened to 128 bits.

    `key` has at least 16 bytes. Raises ValueError for a shorter key, or for a name that `partition` refuses.
    """
    if len(key) < 16:
        raise ValueError(f"the pseudonym key has {len(key)} bytes; at least 16 are expected: set MILEPOST_PSEUDONYM_KEY to 64 hex digits")
    return hmac.new(key, _name(tenant, athlete), hashlib.sha256).hexdigest()[:32]


def is_reserved(athlete: str) -> bool:
    """Whether no athlete may have this name, because rows of the erased bear it.

    >>> is_reserved("erased-" + 32 * "0"), is_reserved("erased-by-hand")
    (True, False)
    """
    return _RESERVED.fullmatch(athlete) is not None


def _name(tenant: str, athlete: str) -> bytes:
    if not tenant or not athlete or "\0" in tenant or "\0" in athlete:
        raise ValueError("tenant and athlete must be non-empty text without NUL")
    return f"{tenant}\0{athlete}".encode()
