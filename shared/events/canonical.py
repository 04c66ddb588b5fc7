"""Canonical JSON (RFC 8785) and the digest of an event's content.

The fast path is the C encoder of the standard library; it is taken only where its output is the canonical one. The slow path writes
numbers as ECMAScript does and orders names by UTF-16 code units.
"""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from json.encoder import encode_basestring
from typing import Any

import orjson

# ECMAScript numbers hold integers exactly up to here; RFC 8785 refuses more.
MAX_INTEGER = 2**53 - 1
_WRITTEN_ALIKE = frozenset({str, bool, type(None)})

# Attributes that do not belong to what an event says: who received it and when, the trace it came by, and the only content type there is.
_NOT_CONTENT = frozenset({"tenant", "recordedtime", "traceparent", "tracestate", "datacontenttype"})

_dumps = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False).encode


def canonical(value: object) -> bytes:
    """Bytes of a JSON value in RFC 8785 form.

    Takes dictionaries with text keys, lists, tuples, text, booleans, null, finite floats and integers up to 2**53 - 1 either way.
    Raises ValueError for a number that has no exact form and for text that is not Unicode, TypeError for anything else.

    >>> canonical({"b": 1.0, "a": [1e21, 1e-7, True, None]})
    b'{"a":[1e+21,1e-7,true,null],"b":1}'
    """
    if _plain(value):
        return _dumps(value).encode()
    parts: list[str] = []
    _write(value, parts.append)
    return "".join(parts).encode()


def canonical_record(value: object) -> bytes:
    """`canonical` for records this product writes itself: ASCII keys, and numbers between 1e-6 and 1e16 without a trailing `.0`.

    There orjson writes what RFC 8785 asks for, some twenty times as fast; a test compares the two.
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


canonical_text = orjson.dumps
"""`canonical_record` of what has no names that would have to be sorted: text, numbers, null, and lists of them."""

OPEN = b"\0"
"""Stands for what is left open in a record that is written; in JSON itself it never stands."""


def left_open() -> object:
    """A part of a record of which `canonical_record` writes `OPEN` alone."""
    return orjson.Fragment(OPEN)


def parsed(record: bytes) -> dict[str, Any]:
    """What was written by `canonical_record`."""
    found: dict[str, Any] = orjson.loads(record)
    return found


def part(value: object) -> object:
    """A part of a record, written now as `canonical_record` would write it, to be put into records as it is."""
    return orjson.Fragment(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))


def content_digest(event: Mapping[str, Any]) -> bytes:
    """SHA-256 of what a CloudEvent says: its canonical JSON without `tenant`, `recordedtime`, the trace and unset attributes. 32 bytes."""
    return sha256(canonical({key: value for key, value in event.items() if key not in _NOT_CONTENT and value is not None})).digest()


def _plain(value: object) -> bool:
    """Whether the standard encoder writes the value canonically."""
    if isinstance(value, dict):
        for key in value:
            if type(key) is not str or not key.isascii():
                return False
        items: Iterable[object] = value.values()
    elif isinstance(value, list):
        items = value
    else:
        items = (value,)
    for item in items:
        kind = type(item)
        if kind in _WRITTEN_ALIKE:
            continue
        if kind is int:
            if not -MAX_INTEGER <= item <= MAX_INTEGER:  # type: ignore[operator]
                return False
        elif kind is float:
            # Between these bounds Python and ECMAScript both write plain decimals, except that Python keeps the `.0` of whole numbers.
            if not 1e-4 <= abs(item) < 1e16 or item.is_integer():  # type: ignore[arg-type, attr-defined]
                return False
        elif (kind is not dict and kind is not list) or not _plain(item):
            return False
    return True


def _write(value: object, put: Any) -> None:
    if value is None:
        put("null")
    elif isinstance(value, bool):
        put("true" if value else "false")
    elif isinstance(value, str):
        put(encode_basestring(str(value)))
    elif isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise ValueError("an integer beyond 2**53 - 1 has no exact form in JSON")
        put(int.__repr__(value))
    elif isinstance(value, float):
        put(number(value))
    elif isinstance(value, dict):
        _write_object(value, put)
    elif isinstance(value, list | tuple):
        put("[")
        for index, item in enumerate(value):
            if index:
                put(",")
            _write(item, put)
        put("]")
    else:
        raise TypeError(f"a {type(value).__name__} is not JSON")


def _write_object(value: dict[Any, Any], put: Any) -> None:
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"a name of a JSON object is text, not {type(key).__name__}")
    put("{")
    for index, key in enumerate(sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))):
        if index:
            put(",")
        put(encode_basestring(str(key)))
        put(":")
        _write(value[key], put)
    put("}")


def number(value: float) -> str:
    """A finite float as ECMAScript writes it (Number::toString): shortest digits, exponent from 1e21 up and below 1e-6.

    >>> number(-0.0), number(1e16), number(1e-6), number(5e-324)
    ('0', '10000000000000000', '0.000001', '5e-324')
    """
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError("NaN and infinity are not JSON")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = float.__repr__(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole + fraction
    # The value is 0.DIGITS times ten to the power of `point`.
    point = len(whole) + int(exponent or 0)
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    digits = stripped.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        text = digits + "0" * (point - count)
    elif 0 < point <= 21:
        text = digits[:point] + "." + digits[point:]
    elif -6 < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        power = point - 1
        text = digits[0] + ("." + digits[1:] if count > 1 else "") + "e" + ("+" if power > 0 else "-") + str(abs(power))
    return sign + text
