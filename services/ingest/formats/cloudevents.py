"""CloudEvents 1.0 over HTTP: structured, binary, batch; and one event per line (NDJSON)."""

from collections.abc import Iterable
from email.message import Message
from typing import Any, Final, Literal
from urllib.parse import unquote_to_bytes

from shared.documents import load
from shared.events import EventFault, Fault
from shared.events.faults import found

Mode = Literal["structured", "binary", "batch", "lines"]

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
LINES: Final = "application/x-ndjson"
JSON: Final = "application/json"

_MODES: Final[dict[str, Mode]] = {
    STRUCTURED: "structured",
    JSON: "structured",
    BATCH: "batch",
    LINES: "lines",
    "application/ndjson": "lines",
    "application/jsonl": "lines",
}
_PREFIX: Final = "ce-"


def mode_of(content_type: str, binary: bool) -> Mode | None:
    """The mode a request is in by its media type; `binary` says whether `ce-` headers are there. None for types that are not read.

    >>> mode_of("application/json; charset=utf-8", True), mode_of("text/xml", False)
    ('binary', None)
    """
    header = Message()
    header["content-type"] = content_type
    charset = header.get_content_charset()
    if charset not in (None, "utf-8", "us-ascii"):
        return None
    media = header.get_content_type() if "/" in content_type else ""
    if binary and media == JSON:
        return "binary"
    return _MODES.get(media)


def is_binary(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether an event's attributes stand in the headers."""
    return any(name.lower().startswith(_PREFIX) for name, _ in headers)


def binary(headers: Iterable[tuple[str, str]], body: bytes) -> dict[str, Any]:
    """The event of a request in binary mode: attributes from `ce-` headers, percent-decoded, and the body as data.

    Raises `EventFault` for headers that cannot be read, `NotJson` for the body.
    """
    event: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, value in headers:
        if not name.lower().startswith(_PREFIX):
            continue
        attribute = name.lower()[len(_PREFIX) :]
        if attribute in ("data", "datacontenttype") or attribute in event:
            do = "send the attribute once; the data is the body, and its type is Content-Type"
            faults.append(Fault(attribute, "one header for each attribute", "another one", do))
            continue
        try:
            event[attribute] = _decoded(value)
        except UnicodeError:
            faults.append(Fault(attribute, "percent-encoded UTF-8", found(value), "encode what is not printable ASCII"))
    if faults:
        raise EventFault(faults)
    event["data"] = load(body)
    return event


def _decoded(value: str) -> str:
    """A header's value as the CloudEvents HTTP binding has it: quotes removed, then percent-decoded, once."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = _unescaped(value[1:-1])
    # Header text reaches us as Latin-1; anything beyond ASCII should have been encoded by the sender.
    return unquote_to_bytes(value.encode("ascii")).decode("utf-8")


def _unescaped(quoted: str) -> str:
    text, escaped = [], False
    for character in quoted:
        if character == "\\" and not escaped:
            escaped = True
            continue
        text.append(character)
        escaped = False
    return "".join(text)
