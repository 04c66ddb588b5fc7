"""The peers of the bench judge the same table as the reference engine: otherwise their times would say nothing."""

import pytest

from tests.bench import peers, rules
from tests.bench.tables import table

PEERS = {
    "zen-engine": lambda of: peers.zen_table(of, traced=True),
    "clipspy": peers.clips_rules,
    "rule-engine": peers.expressions,
    "cel-python": peers.cel,
    "reference without trace": lambda of: peers.reference(of, traced=False),
}


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_meets_the_same_rules_as_the_reference_engine(name: str) -> None:
    of = table(30, 40)
    peer, expected = PEERS[name](of), peers.reference(of, traced=True)
    assert [peer(values) for values in of.questions] == [expected(values) for values in of.questions]


def test_the_table_is_the_same_every_time_and_neither_silent_nor_all_met() -> None:
    assert table(50, 20) == table(50, 20)
    assert 0.05 < rules.share_met(table(50, 100)) < 0.5
