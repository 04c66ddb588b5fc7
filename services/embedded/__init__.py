"""NATS and PostgreSQL from their wheels, started on free loopback ports in a data directory and stopped again.

Touches `shared.settings`, processes and files; knows nothing of events, decisions or the schema.
"""

from services.embedded.faults import ServerFault
from services.embedded.files import running
from services.embedded.servers import EmbeddedServers

__all__ = ["EmbeddedServers", "ServerFault", "running"]
