"""Standard Webhooks 1.0 signatures over `id.timestamp.body`: `v1`, HMAC-SHA256 with a shared secret, and `v1a`, Ed25519.

With `v1a` a receiver holds our public key only, so whoever robs the receiver cannot sign in our name.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

Scheme = Literal["v1", "v1a"]
Key = bytes | Ed25519PrivateKey
"""What signs: a shared secret's bytes for `v1`, a private key for `v1a`."""

PREFIX: Final = "whsec_"
PRIVATE_PREFIX: Final = "whsk_"
PUBLIC_PREFIX: Final = "whpk_"
MADE_BYTES: Final = 32
_SEED_BYTES: Final = 32
LEAST_BYTES: Final = 24
MOST_BYTES: Final = 64
TOLERANCE_S: Final = 300
"""How far a receiver lets `webhook-timestamp` lie from its own clock, either way: five minutes, as the specification advises."""

_DIGITS: Final = re.compile(r"[0-9]{1,12}\Z", re.ASCII)


class SecretFault(ValueError):
    """The text is not a secret of the scheme; the message says what was expected and never repeats the text."""


class SignatureFault(Exception):
    """The signed message is not to be believed; the message says which part is at fault."""


def new_secret() -> str:
    """A fresh secret: `whsec_` and the base64 of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(MADE_BYTES)).decode()


def read_secret(text: str) -> bytes:
    """The key bytes of `whsec_…`. Raises `SecretFault` for another prefix, broken base64, or a length outside 24 to 64 bytes."""
    if not text.startswith(PREFIX):
        raise SecretFault(f"expected {PREFIX} followed by base64")
    try:
        key = base64.b64decode(text[len(PREFIX) :], validate=True)
    except (binascii.Error, ValueError):
        raise SecretFault(f"expected padded standard base64 after {PREFIX}") from None
    if not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise SecretFault(f"expected {LEAST_BYTES} to {MOST_BYTES} bytes, found {len(key)}")
    return key


def new_private_key() -> str:
    """A fresh Ed25519 key: `whsk_` and the base64 of its 32 bytes. It never leaves this service; `public_key` is what receivers get."""
    return PRIVATE_PREFIX + base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()


def read_private_key(text: str) -> Ed25519PrivateKey:
    """The key of `whsk_…`: 32 bytes, or 64 with the public half behind, as some write it. Raises `SecretFault`."""
    raw = _decoded(text.removeprefix(PRIVATE_PREFIX)) if text.startswith(PRIVATE_PREFIX) else b""
    if len(raw) not in (_SEED_BYTES, 2 * _SEED_BYTES):
        raise SecretFault(f"expected {PRIVATE_PREFIX} followed by the base64 of {_SEED_BYTES} bytes")
    key = Ed25519PrivateKey.from_private_bytes(raw[:_SEED_BYTES])
    if raw[_SEED_BYTES:] not in (b"", key.public_key().public_bytes_raw()):
        raise SecretFault(f"expected {PRIVATE_PREFIX} with a public half that belongs to the private one")
    return key


def public_key(private: Ed25519PrivateKey) -> str:
    """What receivers verify `v1a` with: `whpk_` and the base64 of 32 bytes."""
    return PUBLIC_PREFIX + base64.b64encode(private.public_key().public_bytes_raw()).decode()


def read_public_key(text: str) -> Ed25519PublicKey:
    """The key of `whpk_…`. Raises `SecretFault`."""
    raw = _decoded(text.removeprefix(PUBLIC_PREFIX)) if text.startswith(PUBLIC_PREFIX) else b""
    if len(raw) != _SEED_BYTES:
        raise SecretFault(f"expected {PUBLIC_PREFIX} followed by the base64 of {_SEED_BYTES} bytes")
    return Ed25519PublicKey.from_public_bytes(raw)


@lru_cache(maxsize=4096)
def read_keys(text: str) -> tuple[Key, ...]:
    """The keys of an endpoint as they are kept: `whsec_…`, `whsk_…` or both, with a space between. Raises `SecretFault`."""
    return tuple(read_private_key(one) if one.startswith(PRIVATE_PREFIX) else read_secret(one) for one in text.split(" "))


def sign(key: Key, webhook_id: str, timestamp: int, body: bytes) -> str:
    """One signature, `v1,<base64>` or `v1a,<base64>`. `timestamp` is the moment of the attempt in whole seconds since 1970 UTC.

    Raises ValueError for an id with a dot: the parts of the signed content could then be cut in two ways.

    >>> key = read_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    >>> sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    if "." in webhook_id:
        raise ValueError(f"a webhook id holds no dot: {webhook_id!r}")
    signed = _content(webhook_id, str(timestamp), body)
    if isinstance(key, bytes):
        return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return "v1a," + base64.b64encode(key.sign(signed)).decode()


def headers(keys: Iterable[Key], webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of one attempt; with several keys (a rotation under way) one signature for each, separated by spaces."""
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(key, webhook_id, timestamp, body) for key in keys),
    }


def verify(key: bytes | Ed25519PublicKey, received: Mapping[str, str], body: bytes, now: int, tolerance_s: int = TOLERANCE_S) -> None:
    """Accepts a message as a receiver should, or raises `SignatureFault` and nothing else, however malformed the headers are.

    `received` may spell header names in any case; signatures of unknown schemes are passed over; `now` is in seconds since 1970 UTC.
    """
    given = {name.lower(): value for name, value in received.items()}
    missing = [name for name in ("webhook-id", "webhook-timestamp", "webhook-signature") if not given.get(name)]
    if missing:
        raise SignatureFault(f"header missing: {', '.join(missing)}")
    moment = given["webhook-timestamp"]
    if not _DIGITS.match(moment):
        raise SignatureFault("webhook-timestamp: expected whole seconds since 1970")
    if abs(int(moment) - now) > tolerance_s:
        raise SignatureFault(f"webhook-timestamp: more than {tolerance_s} s from this clock")
    signed = _content(given["webhook-id"], moment, body)
    for candidate in given["webhook-signature"].split(" "):
        scheme, _, encoded = candidate.partition(",")
        if _fits(key, scheme, _decoded(encoded), signed):
            return
    raise SignatureFault("webhook-signature: none of the signatures fits")


def _fits(key: bytes | Ed25519PublicKey, scheme: str, given: bytes, signed: bytes) -> bool:
    if isinstance(key, bytes):
        return scheme == "v1" and hmac.compare_digest(given, hmac.digest(key, signed, hashlib.sha256))
    try:
        key.verify(given, signed)
    except InvalidSignature:
        return False
    return scheme == "v1a"


def _content(webhook_id: str, timestamp: str, body: bytes) -> bytes:
    # surrogateescape: a header that was decoded from foreign bytes must end in "does not fit", not in an encoding error.
    return f"{webhook_id}.{timestamp}.".encode("utf-8", "surrogateescape") + body


def _decoded(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return b""
