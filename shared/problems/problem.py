"""What a refusal is: status, title, detail, a slug that programs may rely on, and the faults with their paths."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NotRequired, TypedDict

import orjson
from starlette.responses import Response

MEDIA_TYPE: Final = "application/problem+json"
URN: Final = "urn:milepost:problem:"
FAULTS_SHOWN: Final = 100
EXCERPT: Final = 40


class Fault(TypedDict):
    """One thing that is wrong: `path` as in `data.pain_nrs` (empty: the whole), what was `found` and `expected`, what to `do`."""

    path: str
    expected: str
    found: NotRequired[str]
    do: NotRequired[str]


class Problem(Exception):
    """A refusal with everything its reader needs. Raise it anywhere below a route of an app that `install` has prepared.

    `status` 400-599; `slug` in lower case with hyphens becomes the `type` `urn:milepost:problem:<slug>`; `headers` are added to the
    answer (for instance `Retry-After`, in seconds). Of the faults the first 100 are sent, and `fault_count` says how many there are.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        slug: str,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {slug}: {detail}")
        self.status = status
        self.title = title
        self.detail = detail
        self.slug = slug
        self.faults = tuple(faults)
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The members of the problem document."""
        document: dict[str, Any] = {"type": URN + self.slug, "title": self.title, "status": self.status, "detail": self.detail}
        if self.faults:
            document["faults"] = [dict(fault) for fault in self.faults[:FAULTS_SHOWN]]
            document["fault_count"] = len(self.faults)
        return document

    def response(self) -> Response:
        """The whole answer, ready to send."""
        return Response(orjson.dumps(self.body()), self.status, self.headers, MEDIA_TYPE)


def found(value: object) -> str:
    """A description of a refused value that is safe to send back: a short value as JSON, anything longer by its type and size.

    >>> found("2+"), found("x" * 41), found({"a": 1}), found([1, 2]), found(None)
    ('"2+"', 'text of 41 characters', 'object of 1 member', 'array of 2 items', 'null')
    """
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            digits = repr(value) if not isinstance(value, int) or value.bit_length() < 128 else ""
            return digits or f"integer of {value.bit_length()} bits"  # type: ignore[union-attr]
        case str() if len(value) <= EXCERPT and value.isprintable():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case str():
            return f"text of {_count(len(value), 'character')}"
        case bytes():
            return _count(len(value), "byte")
        case Mapping():
            return f"object of {_count(len(value), 'member')}"
        case list() | tuple() | set() | frozenset():
            return f"array of {_count(len(value), 'item')}"
        case _:
            return f"a {type(value).__name__}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
