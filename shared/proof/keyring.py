"""The keys of athletes, as they are stored: AES-256-GCM under the installation's secret key, bound to the athlete they belong to."""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class KeyFault(Exception):
    """A stored key that MILEPOST_SECRET_KEY does not open: another key wrapped it, or the row was altered or moved."""


class Keyring:
    """Makes, wraps and unwraps keys under `secret`, the 32 bytes of MILEPOST_SECRET_KEY."""

    def __init__(self, secret: bytes) -> None:
        # Not the secret itself: it also encrypts webhook secrets, and one key has one use.
        self._cipher = AESGCM(derived(secret, b"milepost athlete keys"))
        self.signing_seed = derived(secret, b"milepost checkpoints")
        self.own = derived(secret, b"milepost rows of no athlete")
        """The key of rows that belong to no athlete."""
        self.windows = derived(secret, b"milepost windows of reception")
        """The key of what stands for the contents of a window of reception."""
        self.remains = derived(secret, b"milepost erased rows")
        """The key of what an erasure leaves in a row."""
        self.stretches = derived(secret, b"milepost proven stretches")
        """The key of what stands for whole stretches of history that were checked row by row."""

    def new(self) -> bytes:
        return os.urandom(KEY_BYTES)

    def wrap(self, key: bytes, tenant: str, athlete: str) -> bytes:
        """Nonce and ciphertext; opens for this tenant and athlete only."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, key, _bound(tenant, athlete))

    def unwrap(self, wrapped: bytes, tenant: str, athlete: str) -> bytes:
        """The key as it was wrapped. Raises `KeyFault`."""
        try:
            return self._cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], _bound(tenant, athlete))
        except (InvalidTag, ValueError):
            raise KeyFault("an athlete's stored key does not open with MILEPOST_SECRET_KEY; restore the key it was stored under") from None


def derived(secret: bytes, use: bytes) -> bytes:
    """32 bytes for one use of the secret (HKDF-SHA256)."""
    return HKDF(hashes.SHA256(), KEY_BYTES, None, use).derive(secret)


def _bound(tenant: str, athlete: str) -> bytes:
    return f"{tenant}\0{athlete}".encode()
