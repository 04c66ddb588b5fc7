"""What can go wrong on the bus, by what the caller should do about it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import nats.errors


class BusError(Exception):
    """Any fault of the bus; the text says what happened without quoting a message."""


class BusUnavailable(BusError):
    """Not now: no answer in time, no server, a full send buffer. Whether a publish took effect is unknown; repeating it is harmless."""


class BusFull(BusError):
    """The stream or the disk under it is full; nothing was stored. Repeat later, once there is room."""


class BusRefused(BusError):
    """Repeating changes nothing: a wrong subject, a message too large, a server that does not keep the contract."""


# Of the errors in nats-server's errors.json: insufficient resources, storage resources exceeded, the store failed (maximum bytes).
_FULL = frozenset({10023, 10047, 10077})
# A batch of which a message got lost on the way, and more than 50 batches at once: both pass.
_PASSING = frozenset({10176, 10210})


def from_server(error: Mapping[str, Any]) -> BusError:
    """The fault that a JetStream error object (`code`, `err_code`, `description`) stands for."""
    number = int(error.get("err_code", 0))
    said = f"{error.get('description', 'no description')} ({number or error.get('code')})"
    if number in _FULL:
        return BusFull(f"the bus is full: {said}")
    if number in _PASSING or error.get("code") in (429, 503, 504):
        return BusUnavailable(f"the bus cannot take it now: {said}")
    return BusRefused(f"the bus refused: {said}")


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn the client's and the socket's errors into ours; `doing` begins the sentence, as in `publish`."""
    try:
        yield
    except BusError:
        raise
    except (nats.errors.MaxPayloadError, nats.errors.BadSubjectError, nats.errors.BadHeaderError) as fault:
        raise BusRefused(f"{doing}: {fault}") from fault
    except (nats.errors.AuthorizationError, nats.errors.InvalidUserCredentialsError) as fault:
        raise BusRefused(f"{doing}: the server does not accept the credentials in MILEPOST_NATS_URL") from fault
    except TimeoutError as fault:
        raise BusUnavailable(f"{doing}: no answer in time") from fault
    except (nats.errors.Error, OSError) as fault:
        raise BusUnavailable(f"{doing}: {fault or type(fault).__name__}") from fault
