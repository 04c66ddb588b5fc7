"""Where a page of a list ended, as opaque text that only this service can make and only for the same list."""

import base64
import binascii
import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

import orjson

from shared.problems import Problem

_SEAL: Final = 12
"""Bytes of the HMAC that are kept: enough that guessing is hopeless, short enough for an address."""


class Cursors:
    """Makes and reads cursors under a key of the installation.

    >>> cursors = Cursors(b"k" * 32)
    >>> cursors.read(cursors.make("courses", "clinic-a", [3, "c-1"]), "courses", "clinic-a")
    [3, 'c-1']
    """

    def __init__(self, key: bytes) -> None:
        self._key = hmac.new(key, b"milepost cursor", sha256).digest()

    def make(self, listing: str, tenant: str, place: Sequence[Any]) -> str:
        """A cursor for the place (plain JSON values) in the named listing of the tenant. `listing` holds whatever selects its rows."""
        body = orjson.dumps(list(place))
        return base64.urlsafe_b64encode(self._seal(listing, tenant, body) + body).rstrip(b"=").decode()

    def read(self, text: str, listing: str, tenant: str) -> list[Any]:
        """The place. Raises a 400 problem for a cursor that was changed, or made for another list, other filters or another tenant."""
        try:
            sealed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            raise _refusal() from None
        seal, body = sealed[:_SEAL], sealed[_SEAL:]
        if not hmac.compare_digest(seal, self._seal(listing, tenant, body)):
            raise _refusal()
        place: list[Any] = orjson.loads(body)
        return place

    def _seal(self, listing: str, tenant: str, body: bytes) -> bytes:
        return hmac.new(self._key, b"\0".join((listing.encode(), tenant.encode(), body)), sha256).digest()[:_SEAL]


def _refusal() -> Problem:
    detail = "this cursor was not made for this list: take `next` of the previous page with the same filters, or begin without a cursor"
    return Problem(400, "Cursor not valid", detail, "invalid-cursor", [{"path": "query.cursor", "expected": "a cursor of this list"}])
