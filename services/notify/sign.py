"""Standard Webhooks 1.0 signatures, scheme `v1`: HMAC-SHA256 over `id.timestamp.body`."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Final

PREFIX: Final = "whsec_"
MADE_BYTES: Final = 32
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


def sign(key: bytes, webhook_id: str, timestamp: int, body: bytes) -> str:
    """One signature, `v1,<base64>`. `timestamp` is the moment of the attempt in whole seconds since 1970 UTC.

    Raises ValueError for an id with a dot: the parts of the signed content could then be cut in two ways.

    >>> key = read_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    >>> sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    if "." in webhook_id:
        raise ValueError(f"a webhook id holds no dot: {webhook_id!r}")
    return "v1," + base64.b64encode(_digest(key, webhook_id, str(timestamp), body)).decode()


def headers(keys: Iterable[bytes], webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of one attempt; with several keys (a rotation under way) one signature for each, separated by spaces."""
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(key, webhook_id, timestamp, body) for key in keys),
    }


def verify(key: bytes, received: Mapping[str, str], body: bytes, now: int, tolerance_s: int = TOLERANCE_S) -> None:
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
    expected = _digest(key, given["webhook-id"], moment, body)
    for candidate in given["webhook-signature"].split(" "):
        scheme, _, encoded = candidate.partition(",")
        if scheme == "v1" and hmac.compare_digest(_decoded(encoded), expected):
            return
    raise SignatureFault("webhook-signature: none of the signatures fits")


def _digest(key: bytes, webhook_id: str, timestamp: str, body: bytes) -> bytes:
    # surrogateescape: a header that was decoded from foreign bytes must end in "does not fit", not in an encoding error.
    signed = f"{webhook_id}.{timestamp}.".encode("utf-8", "surrogateescape")
    return hmac.digest(key, signed + body, hashlib.sha256)


def _decoded(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return b""
