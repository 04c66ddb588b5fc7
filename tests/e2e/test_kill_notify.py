"""Laws nothing-lost and once at the receiver, while notify and PostgreSQL are killed under notices."""

import pytest

from tests.e2e.notify_rounds import kill_loop
from tests.seeds import SEED


@pytest.mark.law("nothing-lost")
@pytest.mark.law("once")
@pytest.mark.timeout(900)
async def test_whatever_is_killed_each_notice_arrives_effectively_once_and_in_the_order_of_its_course(data_dir):
    judged = await kill_loop(data_dir, SEED, kills=3, tell=print)
    assert judged.faults == []
    assert judged.published > 100 and judged.heard > 12, "the notices did not flow while processes were killed"
