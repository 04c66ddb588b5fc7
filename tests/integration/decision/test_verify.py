"""Law tamper-evident: whatever single value of history is changed, removed or added, `verify` finds it and names the row."""

import os
from typing import Any, cast

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.audit.verify import Share
from services.decision.audit.whole import verify_database
from services.decision.notary import Notary
from services.decision.store import trees
from services.decision.store.connection import borrowed
from services.decision.store.erase import erase
from services.decision.store.remains import Remains
from services.decision.store.sealed import BY_NAME, SEALED
from shared.proof import BLOCK, verify_consistency, verify_inclusion
from shared.proof.merkle import consistency, inclusion
from shared.tables import APPEND_ONLY
from tests.integration.decision.flipping import Recorded, bits_of, flipped, spread, stored_as
from tests.integration.decision.signed import LEAVES, Site, fed, site

__all__ = ["fed", "site"]

EVERY_BIT = "EVERY_BIT" in os.environ
"""All bits of a row of each table, for half an hour; else a few."""
TREES = ("events", "event_outcomes", "event_conflicts", "decisions")
LEFT = {
    **dict.fromkeys(("events", "event_conflicts", "decisions"), "athlete LIKE 'erased-%'"),
    "event_outcomes": "source = 'erased'",
    "seals": "row LIKE 'erased-%'",
}
"""What an erasure leaves, by table."""


async def unseen(site: Site, table: str, rows: str = "true") -> list[str]:
    """Flips of stored values that nobody saw, or that were told of another table: some bits of some row, in every column."""
    found, tried = [], 0
    for column, kind in (await site.types(table)).items():
        picked = await site.owner.fetch(
            f"SELECT ctid::text AS at, {column} AS value FROM {table} WHERE {rows} ORDER BY {column} IS NULL, random() LIMIT 1"
        )
        for row in picked:
            bits = bits_of(kind, row["value"])
            for bit in spread(bits, 64 if EVERY_BIT else 3):
                value = flipped(kind, row["value"], bit)
                if value is None:
                    continue
                async with site.changed():
                    if not await stored_as(site.owner, table, column, row["at"], value):
                        continue
                    tried += 1
                    faults = (await site.within()).faults
                if not is_named(table, faults, erased=rows in LEFT.values()):
                    found.append(f"{table}.{column}, {row['at']}, bit {bit}: {faults}")
    assert tried >= len(await site.types(table)), f"{table}: only {tried} flips"
    return found


async def unseen_in_transit(site: Site, table: str) -> list[str]:
    """The same for bits of what COPY sends, which are the bits that are stored; without the database, so that all can be tried."""
    async with site.changed():
        recorded = Recorded(site.owner)
        ring = site.ring

        async def faults() -> list[str]:
            return (await Share(cast(Any, recorded), ring, 0, 1, leaves=LEAVES).verify()).faults

        assert await faults() == []
        # The first columns of a sealed row are the seal's and the query's own: those that are stored are flipped in the database.
        cells = list(recorded.cells(table, 0, 1, (0, 1, 2, 3, 4, 5) if table in BY_NAME else ()))
        assert cells, f"nothing of {table} was read"
        bits = [(query, begin + bit // 8, bit % 8) for query, begin, length in cells for bit in range(8 * length)]
        found = []
        for query, place, bit in bits if EVERY_BIT else spread(bits, 40):
            recorded.flip(query, place, bit)
            told = await faults()
            if not is_named(table, told):
                found.append(f"{table}, byte {place}, bit {bit}: {told}")
        recorded.whole()
        assert await faults() == []
    return found


def is_named(table: str, faults: list[str], erased: bool = False) -> bool:
    """Whether a fault names the row: a seal by the row it seals. Of an erased row only the tree stands for its commitment: then it is named
    by its leaf, and in trees whose leaves are nothing else by the rows since the last checkpoint that holds.
    """
    names = ("seals", *BY_NAME) if table == "seals" else (table,)
    if erased and table in ("event_outcomes", "decisions") and any("its leaf is not that of its rows" in fault for fault in faults):
        return True
    return any(fault.startswith(names) or any(f"; one of {name}" in fault for name in names) for fault in faults)


def test_every_append_only_table_has_its_place_in_a_tree():
    assert {*TREES, "checkpoints", "seals", *(one.table for one in SEALED)} == set(APPEND_ONLY)


async def test_an_untouched_history_is_what_was_written(site: Site):
    found = await site.verify()
    assert found.faults == []
    assert found.events >= 12 and found.checkpoints >= 10 and found.rows > found.events and not found.unproven


async def test_several_processes_see_the_same(site: Site):
    one, two = await site.verify(), await verify_database(site.settings, (), 2, LEAVES)
    assert (two.faults, two.events, two.rows, two.checkpoints) == ([], one.events, one.rows, one.checkpoints)


@pytest.mark.law("tamper-evident")
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("table", APPEND_ONLY)
async def test_flipped_bits_in_any_column_of_any_history_table_are_named(site: Site, table: str):
    assert await unseen(site, table) == []


@pytest.mark.law("tamper-evident")
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("table", [*TREES, *(one.table for one in SEALED)])
async def test_a_bit_that_is_flipped_anywhere_in_what_the_database_sends_is_named(site: Site, table: str):
    assert await unseen_in_transit(site, table) == []


@pytest.mark.law("tamper-evident")
@pytest.mark.timeout(7200)
async def test_after_an_erasure_bits_that_are_flipped_in_what_is_left_are_named(site: Site):
    async with site.changed():
        await erase(site.owner, Remains(site.ring.remains), "clinic", "a", site.gone)
        assert await site.prove() >= 2
        found = await site.within()
        assert found.faults == [] and found.erased >= 30 and found.quick >= 2
        for table, of_the_erased in LEFT.items():
            assert await unseen(site, table, of_the_erased) == []


@pytest.mark.law("tamper-evident")
@pytest.mark.parametrize("table", [*TREES, *(one.table for one in SEALED)])
async def test_a_removed_row_is_named(site: Site, table: str):
    async with site.changed():
        await site.owner.execute(f"DELETE FROM {table} WHERE ctid = (SELECT ctid FROM {table} ORDER BY random() LIMIT 1)")
        found = await site.within()
    # An event is named by its tree where it was the last: there what hung on it comes first.
    assert any(table in fault or "events" in fault for fault in found.faults), found.faults


@pytest.mark.law("tamper-evident")
async def test_a_wrapped_key_that_was_changed_is_named(site: Site):
    await site.owner.execute("UPDATE keys.athlete_keys SET wrapped = set_bit(wrapped, 200, 1 - get_bit(wrapped, 200)) WHERE athlete = 'b'")
    try:
        assert any(fault.startswith("keys.athlete_keys") for fault in (await site.verify()).faults)
    finally:
        await site.owner.execute(
            "UPDATE keys.athlete_keys SET wrapped = set_bit(wrapped, 200, 1 - get_bit(wrapped, 200)) WHERE athlete = 'b'"
        )


@pytest.mark.law("tamper-evident")
async def test_a_history_cut_off_at_its_end_is_not_what_a_witness_saw(site: Site, engine: AsyncEngine):
    async with borrowed(engine) as connection:
        witness = [one.note for one in await trees.latest(connection)]
    assert (await site.verify(*witness)).faults == []
    head = await site.owner.fetchrow("SELECT partition, seq FROM partition_heads ORDER BY seq DESC LIMIT 1")
    place = (head["partition"], head["seq"])
    undo = [
        ("events", "partition = $1 AND seq = $2"),
        ("event_outcomes", "partition = $1 AND seq = $2"),
        ("decisions", "partition = $1 AND event_seq = $2"),
        ("checkpoints", "tree = 'events' AND partition = $1 AND size = $2"),
    ]
    for table, where in undo:
        await site.owner.execute(f"CREATE TEMP TABLE kept_{table} (LIKE {table})")
        await site.owner.execute(
            f"WITH gone AS (DELETE FROM {table} WHERE {where} RETURNING *) INSERT INTO kept_{table} SELECT * FROM gone", *place
        )
    await site.owner.execute("UPDATE partition_heads SET seq = seq - 1 WHERE partition = $1", place[0])
    try:
        assert (await site.verify()).faults == [], "the database alone cannot tell"
        faults = (await site.verify(*witness)).faults
        assert len(faults) == 1 and "history is shorter than what was signed" in faults[0]
    finally:
        await site.owner.execute("UPDATE partition_heads SET seq = seq + 1 WHERE partition = $1", place[0])
        for table, _ in undo:
            await site.owner.execute(f"INSERT INTO {table} SELECT * FROM kept_{table}")
            await site.owner.execute(f"DROP TABLE kept_{table}")


async def test_a_key_that_was_destroyed_behind_our_back_is_named(site: Site):
    """Erasing is told by an event; a key that is gone without one could hide rows that were written anew."""
    wrapped = await site.owner.fetchval("SELECT wrapped FROM keys.athlete_keys WHERE athlete = 'b'")
    await site.owner.execute("UPDATE keys.athlete_keys SET wrapped = NULL, erased_at = now() WHERE athlete = 'b'")
    try:
        found = await site.verify()
        assert found.erased >= 4 and len(found.faults) == 1 and "no event of history asked for it" in found.faults[0]
    finally:
        await site.owner.execute("UPDATE keys.athlete_keys SET wrapped = $1, erased_at = NULL WHERE athlete = 'b'", wrapped)


async def test_a_row_whose_key_is_gone_cannot_say_itself_that_it_was_asked_for(site: Site):
    """Whoever owns the database destroys a key, writes the rows anew, and lets one of them ask for the erasure."""
    async with site.changed():
        await site.owner.execute("UPDATE keys.athlete_keys SET wrapped = NULL, erased_at = now() WHERE athlete = 'b'")
        await site.owner.execute("UPDATE events SET type = 'milepost.athlete.erased', body = 'rewritten' WHERE athlete = 'b'")
        faults = (await site.within()).faults
        assert any("no event of history asked for it" in fault for fault in faults)


async def test_a_tree_that_is_not_the_signed_one_is_never_signed_again(site: Site, engine: AsyncEngine):
    place = await site.owner.fetchval("SELECT partition FROM partition_heads ORDER BY seq DESC LIMIT 1")
    await site.owner.execute("UPDATE events SET leaf = set_bit(leaf, 0, 1 - get_bit(leaf, 0)) WHERE partition = $1 AND seq = 1", place)
    point = await site.owner.fetchrow(
        "DELETE FROM checkpoints WHERE tree = 'events' AND partition = $1 AND size = (SELECT max(size) FROM checkpoints"
        " WHERE tree = 'events' AND partition = $1) RETURNING *",
        place,
    )
    older = await site.owner.fetchval("SELECT count(*) FROM checkpoints WHERE tree = 'events' AND partition = $1", place)
    notary = Notary(engine, site.ring, [place], 1, seals=False)
    try:
        if older:
            with pytest.raises(ValueError, match="is not the tree that was signed"):
                await notary.sign()
    finally:
        await site.owner.execute("UPDATE events SET leaf = set_bit(leaf, 0, 1 - get_bit(leaf, 0)) WHERE partition = $1 AND seq = 1", place)
        await site.owner.execute("INSERT INTO checkpoints SELECT $1, $2, $3, $4, $5 ON CONFLICT DO NOTHING", *point)


async def test_proofs_over_several_blocks_hold_with_and_without_kept_roots(site: Site, engine: AsyncEngine):
    size = 2 * BLOCK + 40
    async with borrowed(engine) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "INSERT INTO seals (tree, n, row, commitment)"
            " SELECT 'answer_links', n, 'x' || n, sha256(n::text::bytea) FROM generate_series(2, $1) n",
            size,
        )
        edge, new = await trees.frontier(connection, "answer_links", 0, size)
        for keep in (False, True):
            if keep:
                await trees.keep_blocks(connection, "answer_links", 0, new)
                assert len(await trees.blocks(connection, "answer_links", 0, size)) == 2
                assert (await trees.frontier(connection, "answer_links", 0, size))[0] == edge
            for place in (0, BLOCK - 1, BLOCK, size - 1):
                known = await trees.hashes(connection, "answer_links", 0, size, place)
                (leaf,) = await trees.leaves(connection, "answer_links", 0, place, place + 1)
                verify_inclusion(leaf, place, size, inclusion(known, place, size), edge.root())
                old, _ = await trees.frontier(connection, "answer_links", 0, place)
                verify_consistency(
                    place,
                    old.root(),
                    size,
                    edge.root(),
                    consistency(await trees.hashes(connection, "answer_links", 0, size, max(place - 1, 0)), place, size),
                )
        await transaction.rollback()
