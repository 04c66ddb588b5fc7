"""Webhook secrets at rest: AES-256-GCM under the installation's key, bound to the endpoint they belong to."""

import base64
import hashlib
import hmac
import os
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES: Final = 12


class VaultFault(Exception):
    """A stored secret that this installation's key does not open: another key sealed it, or the row was altered or moved."""


class Vault:
    """Seals and opens secrets; `key` has 32 bytes (MILEPOST_SECRET_KEY)."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cipher = AESGCM(key)
        # What was opened once opens the same way again; deriving it anew for each attempt is what costs.
        self.open = lru_cache(maxsize=4096)(self._open)

    def challenge(self, tenant: str, endpoint: str, url: str) -> str:
        """What an endpoint has to give back to prove that it is its owner's: 160 bits, another for each endpoint and URL."""
        bound = f"challenge\0{tenant}\0{endpoint}\0{url}".encode()
        return base64.b32encode(hmac.digest(self._key, bound, hashlib.sha256)[:20]).decode().lower()

    def seal(self, secret: str, tenant: str, endpoint: str) -> bytes:
        """Nonce and ciphertext. Tenant and endpoint are authenticated, so a row copied to another endpoint does not open."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret.encode(), _bound(tenant, endpoint))

    def _open(self, sealed: bytes, tenant: str, endpoint: str) -> str:
        """The secret as it was sealed. Raises `VaultFault`."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound(tenant, endpoint)).decode()
        except (InvalidTag, ValueError):
            raise VaultFault("the stored secret does not open with MILEPOST_SECRET_KEY; restore the key it was stored under") from None


def _bound(tenant: str, endpoint: str) -> bytes:
    return f"{tenant}\0{endpoint}".encode()
