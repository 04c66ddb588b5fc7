"""Webhook secrets at rest: AES-256-GCM under the installation's key, bound to the endpoint they belong to."""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES: Final = 12


class VaultFault(Exception):
    """A stored secret that this installation's key does not open: another key sealed it, or the row was altered or moved."""


class Vault:
    """Seals and opens secrets; `key` has 32 bytes (MILEPOST_SECRET_KEY)."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, secret: str, tenant: str, endpoint: str) -> bytes:
        """Nonce and ciphertext. Tenant and endpoint are authenticated, so a row copied to another endpoint does not open."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret.encode(), _bound(tenant, endpoint))

    def open(self, sealed: bytes, tenant: str, endpoint: str) -> str:
        """The secret as it was sealed. Raises `VaultFault`."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound(tenant, endpoint)).decode()
        except (InvalidTag, ValueError):
            raise VaultFault("the stored secret does not open with MILEPOST_SECRET_KEY; restore the key it was stored under") from None


def _bound(tenant: str, endpoint: str) -> bytes:
    return f"{tenant}\0{endpoint}".encode()
