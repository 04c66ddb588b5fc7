"""Versions of what events say: data that an earlier release wrote is read as today's, and its bytes stay as they are.

Only types that decision itself appends have versions. What senders send never changes its meaning, it only grows (a test holds the
vocabulary against every earlier one), so that no correction can carry data of another version than the event it corrects.

An event says its version in the attribute `dataversion`; without it, it is of version 1. Each step from one version to the next is a pure
function of the data, registered here once and for ever, with a golden file in tests/golden/events.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from shared.events.faults import EventFault, Fault, found

Data: TypeAlias = Mapping[str, Any]
Upcast: TypeAlias = Callable[[Data], dict[str, Any]]

ATTRIBUTE: Final = "dataversion"
TIME_REACHED: Final = "milepost.time.reached"


def _time_reached_says_its_instant_once(data: Data) -> dict[str, Any]:
    """Version 1 had the instant in `data.at` too: a second truth, and a name that stories need for the time of day."""
    return {name: value for name, value in data.items() if name != "at"}


UPCASTS: Final[Mapping[tuple[str, int], Upcast]] = MappingProxyType({(TIME_REACHED, 1): _time_reached_says_its_instant_once})
"""(type, version) to the step to the next version."""


def current(event_type: str, upcasts: Mapping[tuple[str, int], Upcast] = UPCASTS) -> int:
    """The version that is written today.

    >>> current("milepost.time.reached"), current("milepost.symptom.reported")
    (2, 1)
    """
    return 1 + max((version for name, version in upcasts if name == event_type), default=0)


_CURRENT: Final[Mapping[str, int]] = MappingProxyType({name: current(name) for name, _ in UPCASTS})


def marked(event_type: str) -> dict[str, str]:
    """The attribute as an event of today carries it; empty for version 1."""
    return {ATTRIBUTE: str(version)} if (version := _CURRENT.get(event_type, 1)) > 1 else {}


def upcast(event: Mapping[str, Any], upcasts: Mapping[tuple[str, int], Upcast] = UPCASTS) -> Mapping[str, Any]:
    """A stored CloudEvent with its data as today's release writes it, without the attribute; the very same where nothing changed.

    Raises EventFault for a version that this release does not know.
    """
    event_type, text = event.get("type"), event.get(ATTRIBUTE)
    if not isinstance(event_type, str):
        return event
    last = _CURRENT.get(event_type, 1) if upcasts is UPCASTS else current(event_type, upcasts)
    if text is None and last == 1:
        return event
    # As it is written and in no other way: two spellings of one version would be two contents.
    versions = {str(version): version for version in range(2, last + 1)}
    version = 1 if text is None else versions.get(text) if isinstance(text, str) else None
    if version is None:
        expected = f"a version from 2 to {last} of {event_type}" if last > 1 else f"nothing: {event_type} has one version"
        raise EventFault([Fault(ATTRIBUTE, expected, found(text), "run the release that wrote the event, or a later one")])
    lifted = {name: value for name, value in event.items() if name != ATTRIBUTE}
    if isinstance(lifted.get("data"), Mapping):
        for number in range(version, last):
            lifted["data"] = upcasts[event_type, number](lifted["data"])
    return lifted
