"""What stands in a message on DECISIONS: one outbox row, as docs/design.md "Shapes on the bus" has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from services.notify.notices import PASSED_ON, advice

DECISION = "decision"


class Unreadable(Exception):
    """A message that is no outbox row this version understands; the text names what is missing and quotes nothing."""


@dataclass(frozen=True)
class Message:
    """One outbox row. `course` is None for a refused event that names none."""

    outbox: int
    kind: str
    tenant: str
    athlete: str
    course: str | None
    body: Mapping[str, Any]


def read(data: bytes) -> Message:
    """The message in `data`. Raises `Unreadable`."""
    try:
        row = orjson.loads(data)
        message = Message(int(row["outbox"]), row["kind"], row["tenant"], row["athlete"], row.get("course"), row["body"])
        if message.kind == DECISION:
            advice(message.body)
            int(message.body["seq"])
            for name in ("id", "course", "as_at"):
                message.body[name]
        elif message.kind not in PASSED_ON:
            raise Unreadable(f"kind {message.kind!r} is unknown")
        elif not isinstance(message.body, Mapping):
            raise Unreadable("body is no object")
    except KeyError as fault:
        raise Unreadable(f"member {fault} is missing") from None
    except (orjson.JSONDecodeError, TypeError, ValueError, AttributeError):
        raise Unreadable("it is not a JSON object of the expected form") from None
    return message
