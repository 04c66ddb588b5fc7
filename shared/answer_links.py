"""Signed links by which a clinician answers one decision once: what they carry, and how they are signed and read. Pure."""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import astuple, dataclass
from typing import Final, Self

_CONTEXT: Final = b"milepost answer link 1\0"


class LinkRefused(Exception):
    """A link that answers nothing: cut, altered, or too old. The text says which."""


@dataclass(frozen=True)
class AnswerLink:
    """`by` is the API key of the clinician in whose name the link answers, `notice` the one it came in, `until` seconds since 1970 UTC."""

    tenant: str
    course: str
    decision: str
    by: str
    notice: str
    until: int

    @classmethod
    def read(cls, text: str, key: bytes, now: float) -> Self:
        """The link in its text. Raises `LinkRefused`."""
        body, _, mac = text.partition(".")
        if not hmac.compare_digest(_decoded(mac), _mac(body, key)):
            raise LinkRefused("the link is not complete or not ours: open it exactly as it was sent")
        link = cls(*json.loads(_decoded(body)))
        if link.until <= now:
            raise LinkRefused("the link is too old: read the recommendation again and answer that")
        return link

    @property
    def id(self) -> str:
        """What makes the link usable once: the same for every copy of it, and for every endpoint of the same clinician."""
        return hashlib.sha256(f"{self.decision}\0{self.by}".encode()).hexdigest()


def signed(link: AnswerLink, key: bytes) -> str:
    """The link as text for an address: its content and an HMAC-SHA256 over it, both base64url.

    >>> link = AnswerLink("clinic", "c-1", "d-1", "k", "msg_1", 2_000_000_000)
    >>> AnswerLink.read(signed(link, b"k" * 32), b"k" * 32, 0.0) == link
    True
    """
    body = _encoded(json.dumps(astuple(link), ensure_ascii=False, separators=(",", ":")).encode())
    return f"{body}.{_encoded(_mac(body, key))}"


def _mac(body: str, key: bytes) -> bytes:
    return hmac.digest(key, _CONTEXT + body.encode("utf-8", "surrogateescape"), hashlib.sha256)


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (UnicodeEncodeError, binascii.Error, ValueError):
        return b""
