"""Laws nothing-lost, once, same-bytes and any-order over the running product, each process of which is killed and paused under load."""

import os
from typing import Final

import pytest

from tests.e2e.rounds import fault_round
from tests.e2e.schedule import PARTS, PAUSED
from tests.seeds import SEED

CLUSTERS: Final = [SEED % 2 == 0] if "SEED" in os.environ else [False, True]
"""Whether on three NATS servers: every other round of many, and both where there is one."""


@pytest.mark.law("nothing-lost")
@pytest.mark.law("once")
@pytest.mark.law("same-bytes")
@pytest.mark.law("tamper-evident")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("cluster", CLUSTERS, ids=lambda cluster: "cluster" if cluster else "one")
async def test_whatever_is_killed_or_stands_still_each_accepted_event_takes_effect_once_and_each_decision_is_told(data_dir, cluster):
    judged = await fault_round(data_dir, SEED, cluster=cluster, tell=print)
    assert judged.faults == []
    done = {("kill" if step.kind == "leader" else step.kind, part) for step in judged.steps for part in step.parts}
    assert done == {("kill", part) for part in PARTS} | {("pause", part) for part in PAUSED}
    assert judged.acknowledged > 300 and judged.repeated > 0 and judged.webhooks > 0, "the load did not flow meanwhile"
