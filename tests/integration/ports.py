"""Ports for servers that are told where to listen before they do."""

import random
from itertools import islice

from services.embedded.files import PORTS, is_free


def free_ports(count: int) -> list[int]:
    """Not of the kernel's range for outgoing connections, of which any could take one before a server listens on it."""
    return list(islice(filter(is_free, random.sample(PORTS, len(PORTS))), count))
