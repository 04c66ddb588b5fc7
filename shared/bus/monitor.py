"""What the server's HTTP monitor says of how it stores: the client protocol does not tell."""

import asyncio
import http.client
import urllib.error
import urllib.request
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from shared.bus import silence
from shared.bus.errors import BusRefused, BusUnavailable
from shared.settings import Settings

LIMIT_S: Final = 5.0
UNSYNCED: Final = "nats-server confirms messages before they are on disk; set jetstream { sync_interval: always } and restart it"
# An answer that is cut off is no OSError.
_FAULTS: Final = (OSError, ValueError, http.client.HTTPException)


@dataclass(frozen=True)
class StoreFacts:
    """`sync_always`: every node that answered syncs before it confirms. `max_storage`: bytes, of the smallest of them. `replicas`: 3 in a
    cluster of at least three nodes, else 1. `addresses`: the monitors that answered. `down`: the names of the nodes that did not, where
    the others say that these are down, and then `answered`: the names of those others."""

    sync_always: bool
    max_storage: int
    replicas: int
    addresses: tuple[str, ...] = ()
    down: frozenset[str] = frozenset()
    answered: frozenset[str] = frozenset()


async def read(settings: Settings) -> StoreFacts:
    """Ask every address in `settings.nats_monitor_url`; one of a node that is down, by what the others say (`silence`), is left out.

    Raises `BusRefused` when none is set, JetStream is off, or one node confirms before it syncs while another does not answer: that says
    nothing in its favour. `BusUnavailable` when one does not answer that may take part, and no other is at fault.
    """
    addresses = _addresses(settings)
    nodes = await _answers("jsz", addresses)
    down = answered = frozenset[str]()
    try:
        if len(nodes) == len(addresses) and any(map(_is_off, nodes.values())):
            # A server that starts has its monitor before JetStream: off for good is what is off once it calls itself well.
            await joined(addresses)
            nodes = await _answers("jsz", addresses)
        if len(nodes) < len(addresses):
            down, answered = await _without(addresses, nodes)
    except BusUnavailable:
        if any(not _is_off(node) and not node["config"].get("sync_always") for node in nodes.values()):
            raise BusRefused(UNSYNCED) from None
        raise
    if any(map(_is_off, nodes.values())):
        raise BusRefused("JetStream is not enabled on the NATS server; add a jetstream block to its configuration and restart it")
    configurations = [node["config"] for node in nodes.values()]
    size = max(int((node.get("meta_cluster") or {}).get("cluster_size", 1)) for node in nodes.values())
    return StoreFacts(
        sync_always=all(bool(configuration.get("sync_always")) for configuration in configurations),
        max_storage=min(int(configuration["max_storage"]) for configuration in configurations),
        replicas=3 if size >= 3 else 1,
        addresses=tuple(nodes),
        down=down,
        answered=answered,
    )


async def joined(addresses: Iterable[str]) -> None:
    """Raises `BusUnavailable` unless each of these servers has started and, in a cluster, knows its leader and so which streams there
    are."""
    for address in addresses:
        await asyncio.to_thread(_well, address)


async def _without(addresses: Collection[str], nodes: dict[str, dict[str, Any]]) -> tuple[frozenset[str], frozenset[str]]:
    """The names of the nodes that are down and of those that answer, where only the addresses of `nodes` answered."""
    if any(map(_is_off, nodes.values())):
        # Perhaps one that starts; it can be asked whether it is well once all answer.
        raise BusUnavailable(silence.MUTE)
    # Only /varz tells a node's own name; but one that was asked before JetStream started never tells how that is set.
    told = await _answers("varz", nodes)
    down = silence.down(list(told.values()), len(addresses) - len(told))
    return down, frozenset(str(node.get("server_name")) for node in told.values())


async def _answers(what: str, addresses: Collection[str]) -> dict[str, dict[str, Any]]:
    """What each address answers, without those that do not within 5 s."""
    answers = await asyncio.gather(*(asyncio.to_thread(_document, address, what) for address in addresses))
    return {address: answer for address, answer in zip(addresses, answers, strict=True) if answer is not None}


def _addresses(settings: Settings) -> list[str]:
    addresses = [part.strip() for part in settings.nats_monitor_url.split(",") if part.strip()]
    if not addresses:
        raise BusRefused("MILEPOST_NATS_MONITOR_URL is not set; without it nobody can check that nats-server syncs what it confirms")
    return list(dict.fromkeys(addresses))


def _is_off(node: dict[str, Any]) -> bool:
    return bool(node.get("disabled")) or not node.get("config")


def _well(address: str) -> None:
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/healthz?js-meta-only=true", timeout=LIMIT_S):
            pass
    except urllib.error.HTTPError as unwell:
        unwell.close()
        raise BusUnavailable("a NATS server is starting, has not joined its cluster yet, or lost its store; its log says which") from unwell
    except _FAULTS as fault:
        raise BusUnavailable(silence.MUTE) from fault


def _document(address: str, what: str) -> dict[str, Any] | None:
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/{what}", timeout=LIMIT_S) as answer:
            document = orjson.loads(answer.read())
    except urllib.error.HTTPError as unwell:
        unwell.close()
        return None
    except _FAULTS:
        return None
    # Whatever answers otherwise is no monitor of a NATS server.
    return document if isinstance(document, dict) else None
