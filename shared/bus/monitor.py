"""What the server's HTTP monitor says of how it stores: the client protocol does not tell."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson

from shared.bus.errors import BusRefused, BusUnavailable
from shared.settings import Settings

LIMIT_S: Final = 5.0
UNSYNCED: Final = "nats-server confirms messages before they are on disk; set jetstream { sync_interval: always } and restart it"


@dataclass(frozen=True)
class StoreFacts:
    """`sync_always`: every node syncs before it confirms. `max_storage`: bytes, of the smallest node. `replicas`: 3 in a cluster of at
    least three nodes, else 1."""

    sync_always: bool
    max_storage: int
    replicas: int


async def read(settings: Settings) -> StoreFacts:
    """Ask every address in `settings.nats_monitor_url`.

    Raises `BusRefused` when none is set, JetStream is off, or one node confirms before it syncs while another does not answer: that says
    nothing in its favour. `BusUnavailable` when one does not answer and no other is at fault.
    """
    addresses = _addresses(settings)
    nodes: list[dict[str, Any]] = []
    try:
        await _ask(addresses, nodes)
        if any(map(_is_off, nodes)):
            # A server that starts has its monitor before JetStream: off for good is what is off once it calls itself well.
            await joined(settings)
            await _ask(addresses, nodes)
    except BusUnavailable:
        if any(not _is_off(node) and not node["config"].get("sync_always") for node in nodes):
            raise BusRefused(UNSYNCED) from None
        raise
    if any(map(_is_off, nodes)):
        raise BusRefused("JetStream is not enabled on the NATS server; add a jetstream block to its configuration and restart it")
    configurations = [node["config"] for node in nodes]
    size = max(int((node.get("meta_cluster") or {}).get("cluster_size", 1)) for node in nodes)
    return StoreFacts(
        sync_always=all(bool(configuration.get("sync_always")) for configuration in configurations),
        max_storage=min(int(configuration["max_storage"]) for configuration in configurations),
        replicas=3 if size >= 3 else 1,
    )


async def joined(settings: Settings) -> None:
    """Raises `BusUnavailable` unless every server has started and, in a cluster, knows its leader and so which streams there are."""
    for address in _addresses(settings):
        await asyncio.to_thread(_well, address)


async def _ask(addresses: Sequence[str], nodes: list[dict[str, Any]]) -> None:
    """What every address answers, in `nodes` also where one does not: that is raised in the end."""
    answers = await asyncio.gather(*(asyncio.to_thread(_jsz, address) for address in addresses), return_exceptions=True)
    nodes[:] = [answer for answer in answers if not isinstance(answer, BaseException)]
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer


def _addresses(settings: Settings) -> list[str]:
    addresses = [part.strip() for part in settings.nats_monitor_url.split(",") if part.strip()]
    if not addresses:
        raise BusRefused("MILEPOST_NATS_MONITOR_URL is not set; without it nobody can check that nats-server syncs what it confirms")
    return addresses


def _is_off(node: dict[str, Any]) -> bool:
    return bool(node.get("disabled")) or not node.get("config")


def _well(address: str) -> None:
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/healthz?js-meta-only=true", timeout=LIMIT_S):
            pass
    except urllib.error.HTTPError as unwell:
        unwell.close()
        raise BusUnavailable("a NATS server is starting, has not joined its cluster yet, or lost its store; its log says which") from unwell
    except (OSError, ValueError) as fault:
        raise BusUnavailable("the NATS server's monitor does not answer; look at MILEPOST_NATS_MONITOR_URL") from fault


def _jsz(address: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/jsz", timeout=LIMIT_S) as answer:
            return cast(dict[str, Any], orjson.loads(answer.read()))
    except (OSError, ValueError) as fault:
        raise BusUnavailable("the NATS server's monitor does not answer; look at MILEPOST_NATS_MONITOR_URL") from fault
