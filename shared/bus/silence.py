"""Which nodes of a cluster may go unasked: those that the others have not heard for a while, and which so confirm nothing."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from shared.bus.errors import BusUnavailable

SILENT_S: Final = 3.0
"""A leader hears each of its peers at least once a second (nats-server's heartbeat); three missed in a row are no hiccup."""
MUTE: Final = "a NATS server's monitor does not answer; look at MILEPOST_NATS_MONITOR_URL"


def down(nodes: Sequence[Mapping[str, Any]], unanswered: int) -> frozenset[str]:
    """The names of the nodes that are down, by what the others answer to `/varz` while `unanswered` addresses answer nothing.

    Raises `BusUnavailable` unless all who answer follow one leader who is among them, they are more than half of the cluster, everybody
    else is silent to that leader, and there are at least as many of those as addresses without an answer. A server alone has no leader.
    """
    names = {str(node.get("server_name")) for node in nodes}
    groups = {str(node.get("server_name")): (node.get("jetstream") or {}).get("meta") or {} for node in nodes}
    leaders = {group.get("leader") for group in groups.values()}
    leader = groups.get(str(leaders.pop())) if len(leaders) == 1 else None
    if leader is None:
        raise BusUnavailable(f"{MUTE} (no leader of a cluster answers that could say whether that server is down)")
    peers = leader.get("replicas") or ()
    confirms_nothing(leader.get("leader"), peers, names)
    silent = frozenset(str(peer.get("name")) for peer in peers) - names
    if unanswered > len(silent) or 2 * len(names) <= int(leader.get("cluster_size", 1)):
        raise BusUnavailable(f"{MUTE} (too few servers answer, or an address is of none in the cluster)")
    return silent


def confirms_nothing(leader: str | None, peers: Iterable[Mapping[str, Any]], answered: Iterable[str]) -> None:
    """Raises `BusUnavailable` where a node that is not among `answered` leads a group of replicas, or is heard by its leader.

    A peer of which the leader heard nothing since it was elected is `active` 0 nanoseconds ago and not current.
    """
    heard = {str(peer.get("name")) for peer in peers if not _is_silent(peer)} | {leader or "an unknown leader"}
    if unasked := sorted(heard - set(answered)):
        raise BusUnavailable(f"{MUTE} ({', '.join(unasked)} takes part in the cluster, or did {SILENT_S:g} s ago, and cannot be looked at)")


def _is_silent(peer: Mapping[str, Any]) -> bool:
    since_ns = int(peer.get("active", 0))
    return since_ns > SILENT_S * 1e9 or (since_ns == 0 and not peer.get("current"))
