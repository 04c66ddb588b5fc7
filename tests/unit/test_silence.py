"""Only a node that takes no part in confirming may go unasked how it stores."""

from typing import Any

import pytest

from shared.bus import BusUnavailable
from shared.bus.silence import confirms_nothing, down

HEARD: dict[str, Any] = {"current": True, "active": 900_000_000}
LONG_SILENT: dict[str, Any] = {"current": True, "active": 3_100_000_000}
NEVER_HEARD: dict[str, Any] = {"current": False, "active": 0}
JUST_HEARD: dict[str, Any] = {"current": True, "active": 0}
BEHIND: dict[str, Any] = {"current": False, "active": 200_000_000}


def node(name: str, leader: str | None, size: int = 3, **peers: dict[str, Any]) -> dict[str, Any]:
    """What /varz says of a node of three."""
    meta = {"leader": leader, "cluster_size": size, "replicas": [{"name": peer, **found} for peer, found in peers.items()]}
    return {"server_name": name, "jetstream": {"meta": meta}}


@pytest.mark.parametrize("silence", [LONG_SILENT, NEVER_HEARD], ids=["long silent", "never heard since the leader was elected"])
def test_a_node_that_its_leader_does_not_hear_is_down(silence: dict[str, Any]):
    assert down([node("n0", "n0", n1=HEARD, n2=silence), node("n1", "n0")], 1) == {"n2"}


UNSURE: dict[str, tuple[list[dict[str, Any]], int]] = {
    "the leader does not answer": ([node("n1", "n0"), node("n2", "n0")], 1),
    "no leader is known": ([node("n0", None, n1=HEARD, n2=LONG_SILENT), node("n1", None)], 1),
    "one who answers does not know the leader": ([node("n0", "n0", n1=HEARD, n2=LONG_SILENT), node("n1", None)], 1),
    "two leaders": ([node("n0", "n0", n1=HEARD, n2=LONG_SILENT), node("n1", "n1", n0=HEARD, n2=LONG_SILENT)], 1),
    "its monitor alone is silent": ([node("n0", "n0", n1=HEARD, n2=HEARD), node("n1", "n0")], 1),
    "it was heard just now": ([node("n0", "n0", n1=HEARD, n2=JUST_HEARD), node("n1", "n0")], 1),
    "it catches up": ([node("n0", "n0", n1=HEARD, n2=BEHIND), node("n1", "n0")], 1),
    "a further address is of no node": ([node("n0", "n0", n1=HEARD, n2=LONG_SILENT), node("n1", "n0")], 2),
    "every node answers": ([node("n0", "n0", n1=HEARD, n2=HEARD), node("n1", "n0"), node("n2", "n0")], 1),
    "another node has no address": ([node("n0", "n0", 5, n1=HEARD, n2=LONG_SILENT, n3=HEARD, n4=HEARD), node("n1", "n0", 5)], 1),
    "a leader left alone": ([node("n0", "n0", n1=LONG_SILENT, n2=LONG_SILENT)], 2),
    "half of a cluster": ([node("n0", "n0", 2, n1=LONG_SILENT)], 1),
    "a server alone": ([{"server_name": "n0", "jetstream": {"config": {}}}], 1),
    "JetStream is off": ([{"server_name": "n0", "jetstream": {}}, {"server_name": "n1", "jetstream": {}}], 1),
}


@pytest.mark.law("nothing-lost")
@pytest.mark.parametrize("case", UNSURE)
def test_a_node_of_which_nobody_can_say_so_is_not_down(case: str):
    with pytest.raises(BusUnavailable, match="monitor does not answer"):
        down(*UNSURE[case])


@pytest.mark.law("nothing-lost")
def test_who_did_not_answer_neither_leads_a_stream_nor_is_heard_by_its_leader():
    peers = [{"name": "n1", **HEARD}, {"name": "n2", **LONG_SILENT}]
    confirms_nothing("n0", peers, {"n0", "n1"})
    for leader, answered, takes_part in (("n2", {"n0", "n1"}, "n2"), ("n0", {"n0", "n2"}, "n1"), (None, {"n0", "n1"}, "an unknown leader")):
        with pytest.raises(BusUnavailable, match=rf"{takes_part} takes part"):
            confirms_nothing(leader, peers, answered)
