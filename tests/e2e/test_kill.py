"""Laws nothing-lost, once, same-bytes and any-order over the running product, while each of its processes is killed under load."""

import pytest

from tests.e2e.rounds import PARTS, kill_round


@pytest.mark.law("nothing-lost")
@pytest.mark.law("once")
@pytest.mark.law("same-bytes")
@pytest.mark.law("tamper-evident")
@pytest.mark.timeout(180)
async def test_whatever_is_killed_each_accepted_event_takes_effect_once_and_each_decision_is_told(data_dir):
    judged = await kill_round(data_dir, seed=1, tell=print)
    assert judged.faults == []
    assert sorted(judged.killed) == sorted(PARTS)
    assert judged.acknowledged > 300 and judged.repeated > 0 and judged.webhooks > 0, "the load did not flow while processes were killed"
