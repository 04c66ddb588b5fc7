"""An endpoint's signing keys: made, rotated, sealed, and opened for an attempt."""

from datetime import datetime
from typing import Final, NamedTuple

from services.notify import sign
from services.notify.sign import Key
from services.notify.vault import Vault

SCHEMES: Final = ("v1", "v1a")


class Keys(NamedTuple):
    """New keys of an endpoint: as they are kept (a secret), the secret to be shown once, the public key."""

    kept: str
    secret: str | None
    public_key: str | None


def make(schemes: list[str], secret: str | None = None) -> Keys:
    """Keys for these schemes; `secret` is the owner's own for `v1`. Raises `SecretFault` when that is none."""
    parts: list[str] = []
    shared = public = None
    if "v1" in schemes:
        shared = secret or sign.new_secret()
        sign.read_secret(shared)
        parts.append(shared)
    if "v1a" in schemes:
        private = sign.new_private_key()
        public = sign.public_key(sign.read_private_key(private))
        parts.append(private)
    return Keys(" ".join(parts), shared, public)


def opened(
    vault: Vault, tenant: str, endpoint: str, secret: bytes, retired: bytes | None, retired_until: datetime | None, now: datetime
) -> tuple[Key, ...]:
    """What signs at `now`: the keys in force, and for a while after a rotation those before. Raises `VaultFault` or `SecretFault`."""
    keys = sign.read_keys(vault.open(secret, tenant, endpoint))
    if retired is not None and retired_until is not None and now < retired_until:
        keys += sign.read_keys(vault.open(retired, tenant, endpoint))
    return keys
