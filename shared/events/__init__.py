"""The event vocabulary: what an event looks like, and every way in which one can be at fault.

Touches nothing but the standard library, Pydantic and the zone list of the tzdata wheel; every service and the decision core read
events through it.
"""

from shared.events.canonical import canonical, content_digest
from shared.events.check import validate_data
from shared.events.envelope import Event, parse
from shared.events.faults import EventFault, Fault
from shared.events.schema import json_schema
from shared.events.vocabulary import INTERNAL_TYPES, TYPES

__all__ = [
    "INTERNAL_TYPES",
    "TYPES",
    "Event",
    "EventFault",
    "Fault",
    "canonical",
    "content_digest",
    "json_schema",
    "parse",
    "validate_data",
]
