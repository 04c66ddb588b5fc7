"""How a key is written: `mp_live_<id>_<secret><check>`.

The id (12 characters of base32, 60 bits) may be shown and logged. The secret is 32 random bytes in base62. The check is the CRC-32
of everything before it, so that a mistyped or cut key is recognised without asking the database; it protects against slips, not guesses.
"""

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field
from typing import Final, Self

PREFIX: Final = "mp_live_"
FORM: Final = "mp_live_<12 characters>_<49 characters>"

_BASE32: Final = "abcdefghijklmnopqrstuvwxyz234567"
_BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_LENGTH: Final = 43  # 62**43 > 2**256
_CHECK_LENGTH: Final = 6  # 62**6 > 2**32
_PATTERN: Final = re.compile(rf"({PREFIX}([a-z2-7]{{12}})_[0-9A-Za-z]{{{_SECRET_LENGTH}}})([0-9A-Za-z]{{{_CHECK_LENGTH}}})")


@dataclass(frozen=True)
class KeyText:
    """A well-formed key: its public `id` and its whole `text`, which is a secret and never printed."""

    id: str
    text: str = field(repr=False)

    @classmethod
    def new(cls) -> Self:
        """A fresh key from the system's randomness."""
        key_id = "".join(secrets.choice(_BASE32) for _ in range(12))
        body = f"{PREFIX}{key_id}_{_base62(int.from_bytes(secrets.token_bytes(32), 'big'), _SECRET_LENGTH)}"
        return cls(key_id, body + _check(body))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key in `text`. Raises ValueError, without quoting it, when the form or the check is wrong."""
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(f"the key does not have the form {FORM}: look whether it was cut or another value was pasted")
        if _check(match[1]) != match[3]:
            raise ValueError("the key is mistyped: its last characters do not match the rest; copy it again")
        return cls(match[2], text)

    def digest(self) -> bytes:
        """What is stored: SHA-256 of the text. A slow hash would guard weak passwords; 256 random bits need none."""
        return hashlib.sha256(self.text.encode()).digest()


def _check(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
