"""JSON as it is taken in from outside: one document in UTF-8, each key once in its object.

Which of two equal keys counts is every reader's own choice, so what was agreed to at one door could be decided otherwise behind the next.
"""

import json
from typing import Any

import orjson


class NotJson(ValueError):
    """Bytes that are not such a document; the text says where or which key, never a value."""


def load(body: bytes) -> Any:
    """The value in `body`; raises `NotJson`.

    >>> load(b'{"pain_nrs": 2, "pain_nrs": 7}')
    Traceback (most recent call last):
    ...
    shared.documents.NotJson: the key pain_nrs stands twice in one object
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        raise NotJson(f"{fault.msg} at line {fault.lineno} column {fault.colno}") from None
    # Without a backslash every quotation mark bounds a string, and a key dropped for its twin takes two with it. So the marks of what was
    # read, written again, tell for about a microsecond an event what decoding a second time tells for twenty.
    if b"\\" in body or _marks(found) != body.count(b'"'):
        _each_once(body)
    return found


def _marks(found: Any) -> int:
    try:
        return orjson.dumps(found).count(b'"')
    except TypeError:
        # Nested deeper than it writes.
        return -1


def _each_once(body: bytes) -> None:
    try:
        json.loads(body, object_pairs_hook=_once)
    except RecursionError:
        # Nothing that is taken in nests so deep: it is refused by what reads it.
        return


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise NotJson(f"the key {key if key.isidentifier() and len(key) <= 40 else 'of one of its objects'} stands twice in one object")
        seen.add(key)
