"""NATS JetStream behind thin functions: connect, declare and verify the streams, publish durably, consume in order.

Touches the NATS server only; what the messages mean is their senders' and readers' matter.
"""

from shared.bus.bus import Bus
from shared.bus.consumer import Delivered, PullConsumer
from shared.bus.errors import BusError, BusFull, BusRefused, BusUnavailable
from shared.bus.publishing import BATCH_LIMIT, PAYLOAD_LIMIT, PubAck
from shared.bus.streams import DECISIONS, EVENTS, decision_subject, event_subject

__all__ = [
    "BATCH_LIMIT",
    "DECISIONS",
    "EVENTS",
    "PAYLOAD_LIMIT",
    "Bus",
    "BusError",
    "BusFull",
    "BusRefused",
    "BusUnavailable",
    "Delivered",
    "PubAck",
    "PullConsumer",
    "decision_subject",
    "event_subject",
]
