"""An erasure that was not scrubbed in time is seen: in two gauges of the running service, and in one line of its log a day."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from services.decision import measures
from services.decision.app import create_app
from services.decision.unscrubbed import Unscrubbed
from shared.settings import Settings
from shared.telemetry import configure_logs
from tests.integration.decision.feeding import until

DAY = timedelta(days=1)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def rows(settings: Settings) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(settings.owner_database_url.replace("+asyncpg", ""))
    yield connection
    await connection.execute("DELETE FROM keys.erasures")
    await connection.close()


@pytest.fixture
def heard() -> Any:
    configure_logs("decision", "warning")
    with capture_logs() as lines:
        yield lines
    configure_logs("decision", "error")


async def erased(rows: Any, name: str, at: datetime | None, scrubbed: datetime | None = None) -> None:
    await rows.execute("INSERT INTO keys.erasures VALUES ('t', $1, 0, '', $2, $3, $4, 0)", name, NOW - 90 * DAY, at, scrubbed)


def shown() -> tuple[float, float]:
    samples = [next(iter(gauge.collect())).samples[0].value for gauge in (measures.UNSCRUBBED, measures.UNSCRUBBED_AGE)]
    return samples[0], samples[1]


async def test_the_gauges_show_what_was_carried_out_and_not_scrubbed_and_nothing_else(rows: Any, engine: AsyncEngine):
    watch = Unscrubbed(engine, 10 * DAY, Clock())
    await erased(rows, "asked-for", None)
    await erased(rows, "scrubbed", NOW - 80 * DAY, NOW - 79 * DAY)
    await watch.look()
    assert shown() == (0, 0)
    await erased(rows, "first", NOW - 3 * DAY)
    await erased(rows, "second", NOW - DAY)
    await watch.look()
    assert shown() == (2, 3 * 86_400)
    await rows.execute("UPDATE keys.erasures SET scrubbed_at = now()")
    await watch.look()
    assert shown() == (0, 0)


async def test_from_its_time_on_a_forgotten_scrub_is_warned_of_once_a_day_until_it_was_run(rows: Any, engine: AsyncEngine, heard: Any):
    clock = Clock()
    watch = Unscrubbed(engine, 10 * DAY, clock)
    await erased(rows, "first", NOW)
    lines = []
    for hour in range(24 * 12):
        clock.now = NOW + timedelta(hours=hour, seconds=1)
        await watch.look()
        lines.append(len(heard))
    assert lines == [0] * 240 + [1] * 24 + [2] * 24
    assert heard[0]["event"] == "old bytes of erased athletes may still be on the disk: run `milepost erasures scrub`"
    assert (heard[0]["log_level"], heard[0]["count"]) == ("warning", 1)
    assert heard[0]["reason"] == "the first was carried out 10 days ago, and 10 days are the limit"
    await rows.execute("UPDATE keys.erasures SET scrubbed_at = now()")
    clock.now += 5 * DAY
    await watch.look()
    assert len(heard) == 2


async def test_the_running_service_looks_by_itself_and_shows_it_among_its_metrics(rows: Any, settings: Settings, heard: Any):
    app = create_app(settings.model_copy(update={"scrub_within_s": 3600.0}))
    # No service runs on an erasure that its history does not have.
    await rows.execute(
        "INSERT INTO events (partition, seq, tenant, athlete, source, id, type, time, recorded_at, digest, body)"
        " VALUES (0, 1, 't', 'first', 'urn:milepost:erasures', 'erasure-first', 'milepost.athlete.erased', now(), now(), '', '{}')"
    )
    await rows.execute("UPDATE partition_heads SET erasures = 1 WHERE partition = 0")
    await erased(rows, "first", datetime.now(UTC) - DAY)
    measures.UNSCRUBBED.set(0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("services.decision.unscrubbed.EVERY_S", 0.05)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://decision") as client,
        ):

            async def told() -> bool:
                text = (await client.get("/metrics")).text
                number = re.search(r"^milepost_erasures_unscrubbed (\S+)$", text, re.MULTILINE)
                age = re.search(r"^milepost_erasures_unscrubbed_age_seconds (\S+)$", text, re.MULTILINE)
                assert number and age
                return float(number[1]) == 1 and float(age[1]) >= 86_400

            await until(told)
    assert [line["count"] for line in heard if "milepost erasures scrub" in line["event"]] == [1]
