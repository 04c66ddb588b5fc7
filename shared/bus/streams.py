"""The two streams as they are declared, and the comparison of what a server has with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.bus.errors import BusRefused

EVENTS: Final = "EVENTS"
DECISIONS: Final = "DECISIONS"

MESSAGE_LIMIT: Final = 262_144
"""Bytes of one message, headers included."""


@dataclass(frozen=True)
class Stream:
    """A stream: `share` is its part of the storage that the server may use."""

    name: str
    prefix: str
    share: float

    def configuration(self, replicas: int, max_bytes: int) -> dict[str, Any]:
        """What `STREAM.CREATE` is asked for. A full stream refuses new messages instead of dropping old ones; purging is denied;
        deleting single messages is not, because that cannot be undone and the erasure of an athlete needs it."""
        return {
            "name": self.name,
            "subjects": [f"{self.prefix}.*.*"],
            "storage": "file",
            "num_replicas": replicas,
            "retention": "limits",
            "discard": "new",
            "max_bytes": max_bytes,
            "max_msgs": -1,
            "max_msgs_per_subject": -1,
            "max_consumers": -1,
            "max_age": 0,
            "max_msg_size": MESSAGE_LIMIT,
            "compression": "none",
            "deny_delete": False,
            "deny_purge": True,
            "allow_rollup_hdrs": False,
            "allow_msg_ttl": False,
            "allow_direct": True,
            "allow_atomic": True,
            "no_ack": False,
            "sealed": False,
        }


STREAMS: Final = (Stream(EVENTS, "ev", 0.6), Stream(DECISIONS, "dec", 0.2))

_BY_PREFIX: Final = {stream.prefix: stream.name for stream in STREAMS}


def event_subject(partition: int, pseudonym: str) -> str:
    """Where an athlete's events go: `ev.{partition}.{pseudonym}`."""
    return f"ev.{partition}.{pseudonym}"


def decision_subject(partition: int, pseudonym: str) -> str:
    """Where what came of them goes: `dec.{partition}.{pseudonym}`."""
    return f"dec.{partition}.{pseudonym}"


def stream_of(subject: str) -> str:
    """The stream that takes a subject. Raises `BusRefused` when none does."""
    prefix, _, rest = subject.partition(".")
    if prefix not in _BY_PREFIX or rest.count(".") != 1:
        raise BusRefused("the subject belongs to no stream; expected ev.PARTITION.PSEUDONYM or dec.PARTITION.PSEUDONYM")
    return _BY_PREFIX[prefix]


def compare(declared: Mapping[str, Any], actual: Mapping[str, Any]) -> None:
    """Raises `BusRefused`, naming the first difference. Of `max_bytes` only that there is one: the disk decides how much."""
    name = declared["name"]
    for field, expected in declared.items():
        # The server leaves out what is false or empty.
        found = actual.get(field, False if expected is False else None)
        if field == "max_bytes":
            if not isinstance(found, int) or found <= 0:
                raise BusRefused(f"stream {name}: max_bytes is {found}, expected a limit above 0: edit the stream, then start again")
        elif found != expected:
            raise BusRefused(f"stream {name}: {field} is {found!r}, expected {expected!r}: edit the stream, then start again")
    if (mode := actual.get("persist_mode", "default")) not in ("default", ""):
        raise BusRefused(
            f"stream {name}: persist_mode is {mode!r}, which does not sync what it confirms: create the stream anew without it"
        )
