"""What is stored of an athlete, sealed under a key that follows from theirs: with that key destroyed, nobody can read it."""

import base64
import binascii
import hmac
import os
from functools import cached_property
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.proof.keyring import KeyFault
from shared.proof.packing import Unpackable, packed, unpacked

PLAIN_MARK: Final = b"\1"
PACKED_MARK: Final = b"\3"
MARKS: Final = (PLAIN_MARK, PACKED_MARK)
"""First byte of everything sealed: as it was, or packed by `packing.py`. JSON never begins with either, so that what was stored before
bodies were sealed is told apart.
"""
TEXT_MARK: Final = "\2"
_NONCE_BYTES: Final = 12


class Envelope:
    """Seals and opens the bodies of one athlete (AES-256-GCM, a random nonce each), and turns content digests into keyed ones.

    Nothing binds a body to its row here: a moved one differs from its row's commitment, which `verify` finds. Never logged, never stored.
    """

    def __init__(self, key: bytes) -> None:
        """`key`: the athlete's 32 bytes."""
        self._key = key
        # One key, one use: HMAC is the expansion of HKDF, and the athlete's key is uniformly random already.
        self._cipher = AESGCM(hmac.digest(key, b"milepost bodies", "sha256"))

    @cached_property
    def _digests(self) -> bytes:
        return hmac.digest(self._key, b"milepost digests", "sha256")

    def seal(self, plain: bytes) -> bytes:
        """The packed body, and 29 bytes. Its length tells how alike the body is to others, and nothing else of it."""
        nonce = os.urandom(_NONCE_BYTES)
        return PACKED_MARK + nonce + self._cipher.encrypt(nonce, packed(plain), PACKED_MARK)

    def open(self, stored: bytes) -> bytes:
        """What was sealed, or what was stored in the clear. Raises `KeyFault` for anything that this athlete's key did not seal."""
        mark = stored[:1]
        if mark not in MARKS:
            return stored
        try:
            nonce, sealed = stored[1 : _NONCE_BYTES + 1], stored[_NONCE_BYTES + 1 :]
            if mark == PLAIN_MARK:
                return self._cipher.decrypt(nonce, sealed, None)
            return unpacked(self._cipher.decrypt(nonce, sealed, mark))
        except (InvalidTag, Unpackable, ValueError):
            raise KeyFault("a stored body does not open with its athlete's key: it was altered or moved; run `milepost verify`") from None

    def seal_text(self, plain: str) -> str:
        return TEXT_MARK + base64.b64encode(self.seal(plain.encode())).decode()

    def open_text(self, stored: str) -> str:
        """As `open`, of what `seal_text` made."""
        if stored[:1] != TEXT_MARK:
            return stored
        try:
            return self.open(base64.b64decode(stored[1:], validate=True)).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise KeyFault("a stored text does not open with its athlete's key: it was altered or moved; run `milepost verify`") from None

    def digest(self, content: bytes) -> bytes:
        """What stands for a content's digest in the database: a plain hash of what a person reported could be guessed."""
        return hmac.digest(self._digests, content, "sha256")
