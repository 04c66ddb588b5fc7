"""What stands in a message on DECISIONS: one outbox row, as docs/design.md "Shapes on the bus" has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson

from services.notify.notices import EXPIRED, PASSED_ON, Context, advice
from shared.events.terms import evidence_ids

DECISION = "decision"


class Unreadable(Exception):
    """A message that is no outbox row this version understands; the text names what is missing and quotes nothing."""


@dataclass(frozen=True)
class Message:
    """One outbox row. `course` is None for a refused event that names none, `zone` is the athlete's where the row says it; `rests_on`: the
    ids of the athlete's events that it rests on; `pseudonym`: the athlete on the bus."""

    outbox: int
    kind: str
    tenant: str
    athlete: str
    course: str | None
    body: Mapping[str, Any]
    zone: str | None = None
    rests_on: frozenset[str] = frozenset()
    pseudonym: str = ""

    def context(self, terms: Mapping[str, frozenset[str]]) -> Context:
        """What stands beside it, given the terms of the athlete's events by id: a decision inherits those of all it rests on."""
        found = frozenset[str]().union(*(terms[event] for event in self.rests_on & terms.keys()))
        return Context(self.zone, tuple(sorted(found)))


def read(data: bytes, subject: str = "") -> Message:
    """The message in `data`, as it came under `subject`. Raises `Unreadable`."""
    try:
        row = orjson.loads(data)
        body, cause = row["body"], row.get("cause") or {}
        rests_on = frozenset[str]()
        if isinstance(body, dict):
            rests_on = frozenset(evidence_ids(body) | {str(cause.get("id", "")), *row.get("rests_on", ())})
        zone = row.get("zone")
        message = Message(
            int(row["outbox"]),
            row["kind"],
            row["tenant"],
            row["athlete"],
            row.get("course"),
            body,
            zone if zone else None,
            rests_on,
            subject.rpartition(".")[2],
        )
        if message.kind == EXPIRED:
            body["expired_at"] = row["at"]
            advice(body)
            date.fromisoformat(body["valid_until"])
        elif message.kind == DECISION:
            advice(message.body)
            int(message.body["seq"])
            for name in ("id", "course", "as_at", "from_step"):
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
