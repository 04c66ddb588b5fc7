"""Law tamper-evident, of proven stretches: a proof saves time and decides nothing. With proofs or without, the same faults are found."""

import re
from collections import Counter
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from services.decision.audit.found import Found
from services.decision.audit.stretches import NOT_YET, OTHER
from services.decision.proving import Check, Prover
from services.decision.store import stretches, trees
from services.decision.store.connection import borrowed
from services.decision.store.erase import erase
from services.decision.store.remains import Remains
from services.decision.store.stretches import Streams, queries
from shared.proof import leaf_of
from shared.proof.stretches import Stretch, stretch_code
from shared.telemetry import REGISTRY
from tests.integration.decision.signed import HERE, LEAVES, Site, fed, site

__all__ = ["fed", "site"]

TABLES = Streams("events", "event_outcomes", "decisions", "checkpoints")
ROW = Streams("partition = $1 AND seq = 2", "partition = $1 AND seq = 2", "partition = $1 AND event_seq = 2", "partition = $1")
CHANGES = Streams("type = type || 'x'", "status = 'parked'", "cause_id = 'x'", "note = replace(note, 'milepost ', 'milepost x')")
ELSEWHERE = (
    "UPDATE partition_heads SET seq = seq + 1 WHERE partition = $1",
    "UPDATE partition_heads SET seq = seq - 1 WHERE partition = $1",
    "UPDATE partition_heads SET seq = 1125899906842624 WHERE partition = $1",
    "UPDATE partition_heads SET unproven = 3 WHERE partition = $1",
    "DELETE FROM partition_heads WHERE partition = $1",
    "UPDATE events SET seq = 0 WHERE partition = $1 AND seq = 2",
    "UPDATE events SET seq = 1152921504606846976 WHERE partition = $1 AND seq = 2",
    "UPDATE events SET partition = 70 WHERE partition = $1 AND seq = 2",
    "DELETE FROM events WHERE partition = $1 AND seq = 4",
    "DELETE FROM events WHERE partition = $1 AND seq IN (6, 9)",
    "UPDATE event_outcomes SET partition = -1 WHERE partition = $1 AND seq = 3",
    "UPDATE event_outcomes SET seq = 0 WHERE partition = $1 AND seq = 3",
    "UPDATE decisions SET event_seq = -1 WHERE partition = $1 AND event_seq = 3",
    "UPDATE decisions SET event_seq = 6 WHERE partition = $1 AND event_seq = 2",
    "INSERT INTO checkpoints SELECT tree, partition, 3, note || 'x', created_at FROM checkpoints WHERE tree = 'events' AND partition = $1"
    " ORDER BY size DESC LIMIT 1 ON CONFLICT (tree, partition, size) DO UPDATE SET note = excluded.note",
    "UPDATE checkpoints SET size = size + 1000 WHERE tree = 'events' AND partition = $1",
    "DELETE FROM keys.athlete_keys WHERE athlete = 'a' AND $1::int = $1",
    "UPDATE keys.athlete_keys SET wrapped = set_bit(wrapped, 200, 1 - get_bit(wrapped, 200)) WHERE athlete = 'a' AND $1::int = $1",
    "UPDATE keys.athlete_keys SET wrapped = NULL WHERE athlete = 'a' AND $1::int = $1",
    "INSERT INTO keys.erasures SELECT 'clinic', repeat('0', 32), $1, '', now()",
    "DELETE FROM keys.erasures WHERE $1::int = $1",
)
DAMAGE = {
    "its code": "UPDATE proven SET mac = set_bit(mac, 9, 1 - get_bit(mac, 9))",
    "a code of other length": "UPDATE proven SET mac = ''",
    "its root": "UPDATE proven SET root = set_bit(root, 9, 1 - get_bit(root, 9))",
    "the erased": "UPDATE proven SET erased = 3",
    "its length": "UPDATE proven SET leaves = 2 * leaves",
    "no length": "UPDATE proven SET leaves = 0",
    "its number": "UPDATE proven SET number = number + 1000000000000000",
    "a number below the first": "UPDATE proven SET number = -1 - number",
    "its tree": "UPDATE proven SET tree = 'conflicts'",
    "its partition": "UPDATE proven SET partition = (partition + 1) % 64",
    "its place": "UPDATE proven AS p SET mac = o.mac, root = o.root FROM proven AS o WHERE p.number < 2 AND o.number = 1 - p.number",
    "all": "DELETE FROM proven",
}


def counted(found: Found) -> tuple[Any, ...]:
    """What a verification saw, however it looked; from where on a tree differs, a stretch that holds tells more closely."""
    faults = sorted(re.sub(r"(; one of .*)/\d+ to", r"\1 to", fault) for fault in found.faults)
    return found.events, found.rows, found.erased, found.checkpoints, found.unproven, faults


async def whole_stretches(site: Site) -> int:
    return int(await site.owner.fetchval("SELECT count(*) FROM proven"))


async def forged(site: Site, number: int, key: bytes) -> None:
    """Replaces the code of a stretch by one over what is stored now, made with this key."""
    place = Stretch("events", HERE, number, LEAVES)
    row = await site.owner.fetchrow("SELECT root, erased FROM proven WHERE partition = $1 AND number = $2", HERE, number)
    digests = [(await stretches.hashed(site.owner, query))[0] for query in queries(HERE, place.begin, place.end)]
    await stretches.keep(site.owner, place, row["erased"], row["root"], stretch_code(key, place, row["erased"], row["root"], digests))


async def test_what_was_proven_is_compared_by_its_bytes_and_the_same_is_seen(site: Site):
    quick, slow = await site.within(), await site.within(leaves=None)
    assert quick.quick == await whole_stretches(site) >= 2 and not quick.slow
    assert slow.quick == 0 and not slow.slow and slow.faults == []
    assert counted(quick) == counted(slow)


@pytest.mark.parametrize("stream", Streams._fields)
async def test_the_bytes_of_a_stretch_hold_every_column_of_its_rows(site: Site, stream: str):
    selected = re.match(r"SELECT (.*?) FROM (\w+) ", getattr(queries(0, 0, LEAVES), stream))
    assert selected is not None and selected[2] == getattr(TABLES, stream)
    assert sorted(selected[1].split(", ")) == sorted(await site.types(selected[2]))


@pytest.mark.law("tamper-evident")
@pytest.mark.parametrize("stream", Streams._fields)
async def test_a_row_that_was_changed_in_a_proven_stretch_is_named(site: Site, stream: str):
    """Red when a stream is left out of the code."""
    table = getattr(TABLES, stream)
    first = " AND tree = 'events' AND size <= 4" if stream == "checkpoints" else ""
    async with site.changed():
        touched = await site.owner.execute(f"UPDATE {table} SET {getattr(CHANGES, stream)} WHERE {getattr(ROW, stream)}{first}", HERE)
        assert touched != "UPDATE 0"
        found = await site.within()
    assert found.faults and found.faults[0].startswith(table) and found.slow[OTHER] == 1


@pytest.mark.law("tamper-evident")
@pytest.mark.parametrize("statement", ELSEWHERE)
async def test_whatever_is_changed_beside_the_proofs_the_same_faults_are_found(site: Site, statement: str):
    async with site.changed():
        assert await site.owner.execute(statement, HERE) not in ("UPDATE 0", "DELETE 0")
        quick, slow = await site.within(), await site.within(leaves=None)
    assert counted(quick) == counted(slow)


@pytest.mark.law("tamper-evident")
@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_proof_that_was_changed_costs_time_and_raises_no_alarm(site: Site, damage: str):
    before = await whole_stretches(site)
    async with site.changed():
        await site.owner.execute(DAMAGE[damage])
        found = await site.within()
    assert found.faults == [] and found.quick < before and found.quick + found.slow.total() == before


async def test_a_proof_that_another_secret_made_is_none(site: Site):
    async with site.changed():
        await forged(site, 0, bytes(32))
        found = await site.within()
        assert (found.faults, found.slow) == ([], Counter({OTHER: 1}))
        await forged(site, 0, site.ring.stretches)
        assert not (await site.within()).slow


@pytest.mark.law("tamper-evident")
async def test_who_has_the_secret_too_deceives_the_proofs_but_neither_every_row_nor_a_witness(site: Site, engine: AsyncEngine):
    async with borrowed(engine) as connection:
        witness = [one.note for one in await trees.latest(connection) if (one.tree, one.partition) == ("events", HERE)]
    async with site.changed():
        await site.owner.execute("UPDATE events SET type = 'milepost.course.ended' WHERE partition = $1 AND seq = 2", HERE)
        await forged(site, 0, site.ring.stretches)
        assert (await site.within()).faults == []
        for found in (await site.within(leaves=None), await site.within(*witness)):
            assert found.faults == [f"events, partition {HERE}, seq 2: the row is not what was written"]


async def test_everything_that_a_witness_saw_is_checked_row_by_row(site: Site):
    note = await site.owner.fetchrow(
        "SELECT size, note FROM checkpoints WHERE tree = 'events' AND partition = $1 AND size < $2 ORDER BY size DESC LIMIT 1",
        HERE,
        LEAVES + 1,
    )
    found = await site.within(note["note"])
    assert found.faults == [] and found.slow == Counter({"seen by a witness": 1}) and found.quick == await whole_stretches(site) - 1


@pytest.mark.law("tamper-evident")
async def test_an_erased_stretch_is_proven_again_as_it_is_now(site: Site):
    before = await whole_stretches(site)
    async with site.changed():
        old = await site.owner.fetch("SELECT * FROM proven ORDER BY number")
        await erase(site.owner, Remains(site.ring.remains), "clinic", "a", site.gone)
        assert await whole_stretches(site) == 0
        assert (await site.within()).slow == Counter({NOT_YET: before})
        assert await site.prove() == before
        quick, slow = await site.within(), await site.within(leaves=None)
        assert quick.quick == before and counted(quick) == counted(slow) and quick.faults == [] and quick.erased >= 30
        # The proofs from before, under the rows of now.
        await site.owner.execute("DELETE FROM proven")
        await site.owner.executemany("INSERT INTO proven VALUES ($1, $2, $3, $4, $5, $6, $7)", [tuple(row) for row in old])
        found = await site.within()
        assert found.quick == 0 and counted(found) == counted(slow)


@pytest.mark.law("tamper-evident")
async def test_rows_that_are_put_back_after_an_erasure_are_named_even_with_their_proofs(site: Site):
    tables = (*TABLES[:3], "proven")
    async with site.changed():
        for table in tables:
            await site.owner.execute(f"CREATE TEMP TABLE old_{table} ON COMMIT DROP AS SELECT * FROM {table}")
        await erase(site.owner, Remains(site.ring.remains), "clinic", "a", site.gone)
        for table in tables:
            await site.owner.execute(f"DELETE FROM {table}")
            await site.owner.execute(f"INSERT INTO {table} SELECT * FROM old_{table}")
        quick, slow = await site.within(), await site.within(leaves=None)
        assert counted(quick) == counted(slow) and f"events, partition {HERE}, seq 1: its athlete has no key" in quick.faults[0]


@pytest.mark.law("tamper-evident")
async def test_an_erased_row_is_proven_only_as_part_of_the_tree_that_was_signed(site: Site):
    """Nothing but the tree stands for its commitment: whoever changes that changes the leaf with it."""
    place = Stretch("events", HERE, 0, LEAVES)
    async with site.changed():
        await erase(site.owner, Remains(site.ring.remains), "clinic", "a", site.gone)
        assert await Check(site.owner, site.ring, place).fault() is None
        await site.owner.execute("DELETE FROM checkpoints WHERE tree = 'events' AND partition = $1 AND size <= $2", HERE, LEAVES)
        told = await site.owner.fetch("SELECT commitment FROM event_outcomes WHERE partition = $1 AND seq = 4 ORDER BY n, source, id", HERE)
        made = await site.owner.fetch("SELECT commitment FROM decisions WHERE partition = $1 AND event_seq = 4 ORDER BY seq", HERE)
        leaf = leaf_of("events", HERE, 4, [bytes(32)], [row["commitment"] for row in told], [row["commitment"] for row in made])
        await site.owner.execute("UPDATE events SET commitment = $2, leaf = $3 WHERE partition = $1 AND seq = 4", HERE, bytes(32), leaf)
        fault = await Check(site.owner, site.ring, place).fault()
        assert fault is not None and "the tree is not the one that was signed" in fault


async def test_a_stretch_with_a_fault_is_not_proven_and_whoever_runs_it_is_told_once(site: Site, engine: AsyncEngine):
    def refused() -> float:
        return REGISTRY.get_sample_value("milepost_decision_stretches_total", {"result": "refused"}) or 0

    before = refused()
    await site.owner.execute("DELETE FROM proven WHERE partition = $1 AND number = 0", HERE)
    await site.owner.execute("UPDATE events SET type = type || 'x' WHERE partition = $1 AND seq = 2", HERE)
    prover = Prover(engine, site.ring, range(64), 1, LEAVES)
    try:
        with capture_logs() as logs:
            assert [await prover.prove(rest=0) for _ in range(2)] == [0, 0]
        assert refused() == before + 1
        (line,) = logs
        assert line == {
            "event": "a stretch of history is not what was written: run `milepost verify`",
            "log_level": "error",
            "reason": "faults: 1",
            "partition": HERE,
            "first": 1,
            "last": LEAVES,
        }
    finally:
        await site.owner.execute("UPDATE events SET type = left(type, -1) WHERE partition = $1 AND seq = 2", HERE)
    assert await Prover(engine, site.ring, range(64), 1, LEAVES).prove(rest=0) == 1
