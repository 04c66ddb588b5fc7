"""Deaths, take-overs and two processes at once."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notify.supervise import Supervised
from shared.locks import LEAD
from shared.telemetry import NotReady

pytestmark = pytest.mark.law("nothing-lost")


async def test_an_attempt_cut_off_by_kill_9_is_made_again_with_the_same_id_and_bytes(
    notify: Any, receiver: Any, publish: Any, until: Any, made: Any, process: Any, unused_tcp_port: int
) -> None:
    async with notify() as site:
        clinic = await site.clinic()
        endpoint = await clinic.endpoint(f"{receiver.url}/in")
    receiver.answers["/in"] += ["hang"]
    await publish(clinic.tenant, made(1))
    async with process(unused_tcp_port):
        await until(lambda: receiver.heard)
    async with process(unused_tcp_port), httpx.AsyncClient(base_url=f"http://127.0.0.1:{unused_tcp_port}", timeout=60) as client:
        await until(lambda: len(receiver.heard) == 2)
        first, second = receiver.heard
        assert (first.id, first.body) == (second.id, second.body)
        clinic.client = client

        async def delivered() -> Any:
            try:
                return await clinic.deliveries(endpoint, state="delivered")
            except httpx.TransportError:
                # It delivers before it listens.
                return None

        (kept,) = await until(delivered)
        assert [attempt["n"] for attempt in kept["attempts"]] == [1]


async def test_of_two_processes_one_tells_and_the_other_takes_over(notify: Any, receiver: Any, publish: Any, until: Any, made: Any) -> None:
    def leads(site: Any) -> bool:
        return "deliverer" in site.app.state.tasks

    def told(count: int) -> bool:
        assert not (leads(first_site) and leads(second_site)), "both tell"
        return {heard.json["data"]["course"] for heard in receiver.heard} == {f"c-{number}" for number in range(count)}

    async with AsyncExitStack() as later:
        async with notify() as first_site:
            await until(lambda: leads(first_site))
            second_site = await later.enter_async_context(notify())
            clinic = await first_site.clinic()
            await clinic.endpoint(f"{receiver.url}/in")
            for number in range(20):
                await publish(clinic.tenant, made(1, course=f"c-{number}"))
            await until(lambda: told(20))
            for site in (first_site, second_site):
                await until(lambda site=site: _ready(site))
            # Whoever stood still for too long may have lost it to the other, but one of them has it.
            await until(lambda: leads(first_site) or leads(second_site))
            assert told(20)
        await until(lambda: leads(second_site))
        clinic.client = second_site.client
        for number in range(20, 40):
            await publish(clinic.tenant, made(1, course=f"c-{number}"))
        await until(lambda: told(40))


async def _ready(site: Any) -> bool:
    return bool((await site.client.get("/readyz")).status_code == 200)


async def test_a_lead_whose_connection_is_cut_is_taken_again_and_nothing_is_missed(
    notify: Any, receiver: Any, publish: Any, until: Any, made: Any, engine: AsyncEngine
) -> None:
    async with notify() as site:
        clinic = await site.clinic()
        await clinic.endpoint(f"{receiver.url}/in")
        await publish(clinic.tenant, made(1))
        await until(lambda: len(receiver.heard) == 1)
        async with engine.begin() as conn:
            cut = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = CAST(:lead AS bigint)::oid"
            assert (await conn.execute(text(cut), {"lead": LEAD})).rowcount == 1
        await publish(clinic.tenant, made(2))
        await until(lambda: {heard.json["data"]["seq"] for heard in receiver.heard} == {1, 2})
        await until(lambda: _ready(site))


async def test_connections_cut_in_the_middle_of_a_burst_cost_nothing_but_repeats(
    notify: Any, receiver: Any, publish: Any, until: Any, made: Any, engine: AsyncEngine
) -> None:
    async with notify(retry_schedule_s=(0.0, *(0.2,) * 30)) as site:
        clinic = await site.clinic()
        endpoint = await clinic.endpoint(f"{receiver.url}/in")
        for number in range(90):
            await publish(clinic.tenant, made(1, course=f"c-{number}"))
            if number % 30 == 15:
                async with engine.begin() as conn:
                    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid()"
                    await conn.execute(text(cut))

        async def all_delivered() -> bool:
            answer = await clinic.ask("GET", f"/v1/endpoints/{endpoint['id']}/deliveries", params={"limit": 100, "state": "delivered"})
            return answer.status_code == 200 and len(answer.json()["items"]) == 90

        await until(all_delivered, within=150)
        ids = {heard.json["data"]["course"]: {other.id for other in receiver.heard if other.body == heard.body} for heard in receiver.heard}
        assert set(ids) == {f"c-{number}" for number in range(90)}
        assert all(len(same) == 1 for same in ids.values())


async def test_the_task_that_fails_is_begun_anew_and_readiness_says_so(until: Any) -> None:
    tries = 0

    async def work() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ValueError("no")
        await asyncio.Event().wait()

    task = Supervised("trial", work)
    running = asyncio.create_task(task.run())
    with pytest.raises(NotReady, match="trial failed"):
        while True:
            await task.check()
            await asyncio.sleep(0)
    await until(lambda: tries == 3)

    async def well() -> bool:
        try:
            await task.check()
        except NotReady:
            return False
        return True

    await until(well)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
