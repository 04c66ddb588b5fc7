"""Erasing on a cluster of three: nobody is erased while a node is away, which would keep on its disk what the others overwrite."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision import measures
from services.decision.arrivals import stamp
from services.decision.eraser import opened
from services.decision.erasing import Eraser
from services.decision.forgetting import erasure_event
from services.decision.store import erasures, outbox
from services.decision.store.connection import borrowed
from shared import db
from shared.bus import DECISIONS, EVENTS, Bus, BusUnavailable, event_subject
from shared.placing import partition, pseudonym
from shared.settings import Settings
from tests.integration.decision.feeding import Run, pain, send, settled, started, until
from tests.integration.test_bus_cluster import Node, formed, three_at_work

TENANT = "clinic"
NEEDED = "every node is needed to erase (deploy/README.md)"
MISSED = "a node of the cluster that was down meanwhile may have missed what was deleted (deploy/README.md)"
NUMBER = count(1)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    """A test leaves the cluster as it found it."""
    with three_at_work(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture(scope="module")
async def settings(empty_database: Settings, nodes: list[Node]) -> Settings:
    """The database of every test, and the cluster in place of its one NATS server."""
    await db.migrate(empty_database)
    addresses = ",".join(f"nats://127.0.0.1:{node.client}" for node in nodes)
    monitors = ",".join(f"http://127.0.0.1:{node.monitor}" for node in nodes)
    named = {"nats_url": addresses, "owner_nats_url": addresses, "eraser_nats_url": addresses, "nats_monitor_url": monitors}
    own = empty_database.model_copy(update=named)
    await (await formed(own)).close()
    return own


class Case:
    """An athlete whose messages lie on every node, between another's, and a request to erase them."""

    def __init__(self, settings: Settings, engine: AsyncEngine, bus: Bus, nodes: list[Node], name: str) -> None:
        self._settings, self._engine, self._bus, self._nodes, self._name = settings, engine, bus, nodes, name
        self._key = pseudonym(settings.pseudonym_key_bytes, TENANT, name)

    async def lie_on_the_bus(self, run: Run) -> None:
        async with run(time_speaks=False):
            for name in ("stays", self._name, "stays", self._name, "stays"):
                course = f"{name}-{self._key}-{await self._bus.last_seq(EVENTS)}"
                await send(self._bus, self._settings, TENANT, sent := [started(name, course), pain(name, course, 1)])
                await settled(self._engine, TENANT, sent)
                await until(self._published)
            said = erasure_event(TENANT, self._key, {"reason": "ordered", "by": {"id": "k", "role": "admin"}}, stamp(datetime.now(UTC)))
            await self._bus.publish(event_subject(partition(TENANT, self._name), self._key), said)
            await until(self._requested)
        await until(self.everywhere)

    async def _published(self) -> bool:
        async with borrowed(self._engine) as connection:
            return await outbox.length(connection) == 0

    async def _requested(self) -> bool:
        return await self.state() == "requested"

    async def state(self) -> str | None:
        async with borrowed(self._engine) as connection:
            found = await erasures.of(connection, TENANT, self._key)
        return found and found.state

    async def everywhere(self) -> bool:
        return self.held() == [(node.name, stream) for node in self._nodes for stream in (DECISIONS, EVENTS)]

    async def nowhere(self) -> bool:
        return self.held() == []

    def held(self) -> list[tuple[str, str]]:
        """The nodes and streams in whose files the athlete stands."""
        found = set()
        for node in self._nodes:
            for file in stored(node).glob("*/streams/*/msgs/*.blk"):
                if self._name.encode() in file.read_bytes():
                    found.add((node.name, file.parts[-3]))
        return sorted(found)


def stored(node: Node) -> Path:
    return node._home / "jetstream"


@pytest.fixture
async def case(settings: Settings, engine: AsyncEngine, bus: Bus, nodes: list[Node], run: Run) -> Case:
    made = Case(settings, engine, bus, nodes, f"planted-{next(NUMBER)}")
    await made.lie_on_the_bus(run)
    return made


async def led(bus: Bus, nodes: list[Node]) -> tuple[Node, Node]:
    """The node that leads the events, and one that leads neither stream."""
    leaders = [(await bus.api(f"STREAM.INFO.{stream}"))["cluster"]["leader"] for stream in (EVENTS, DECISIONS)]
    return next(node for node in nodes if node.name == leaders[0]), next(node for node in nodes if node.name not in leaders)


@asynccontextmanager
async def erasing(settings: Settings, node: Node) -> AsyncIterator[Eraser]:
    """An eraser that is connected to this node."""
    own = settings.model_copy(update={"eraser_nats_url": f"nats://127.0.0.1:{node.client}"})
    async with AsyncExitStack() as stack:
        yield (await opened(stack, own, wait_s=60))[0]


async def carried_out(eraser: Eraser) -> bool:
    return await eraser.carry_out() == 1


def waits_for_the_bus() -> float:
    return float(measures.ERASURES_WAITING.labels("bus")._value.get())


def told(eraser: Eraser) -> str:
    """What the one erasure that waits was last said to wait for."""
    ((why, _),) = eraser._said.values()
    return why


@pytest.mark.law("nothing-lost")
@pytest.mark.timeout(300)
async def test_nobody_is_erased_while_a_node_is_down_and_then_from_every_nodes_streams(
    settings: Settings, bus: Bus, nodes: list[Node], case: Case
):
    leader, follower = await led(bus, nodes)
    async with erasing(settings, leader) as eraser:
        follower.kill()

        async def named() -> bool:
            assert await eraser.carry_out() == 0 and waits_for_the_bus() == 1 and await case.state() == "requested"
            return told(eraser) == f"{follower.name} of the NATS cluster is down or behind; {NEEDED}"

        try:
            await until(named)
            assert await case.everywhere()
        finally:
            follower.start()
        await until(lambda: carried_out(eraser))
        assert await case.state() == "erased" and waits_for_the_bus() == 0
        # A replica has the deletions in its log by then, and does them within moments.
        await until(case.nowhere)


@pytest.mark.law("nothing-lost")
@pytest.mark.timeout(300)
async def test_a_node_that_goes_down_while_messages_are_deleted_is_waited_for_and_may_come_back_on_an_empty_disk(
    settings: Settings, bus: Bus, nodes: list[Node], case: Case, monkeypatch: pytest.MonkeyPatch
):
    leader, follower = await led(bus, nodes)
    async with erasing(settings, leader) as eraser:
        clear = eraser._clear

        async def cleared(stream: str, subject: str) -> None:
            follower.kill()
            await clear(stream, subject)

        async def missed() -> bool:
            assert await eraser.carry_out() == 0 and waits_for_the_bus() == 1 and await case.state() == "requested"
            return told(eraser).endswith(MISSED) and {name for name, _ in case.held()} == {follower.name}

        monkeypatch.setattr(eraser, "_clear", cleared)
        try:
            await until(missed)
            monkeypatch.undo()
            shutil.rmtree(stored(follower))
        finally:
            follower.start()
        await until(lambda: carried_out(eraser))
        assert await case.state() == "erased" and await case.nowhere()


@pytest.mark.law("nothing-lost")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("sign", [{"lag": 1}, {"current": False}])
async def test_a_node_that_answers_and_has_not_caught_up_is_waited_for(
    settings: Settings, bus: Bus, nodes: list[Node], case: Case, sign: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("services.decision.erasing.PATIENCE_S", 0.2)
    leader, follower = await led(bus, nodes)
    async with erasing(settings, leader) as eraser:
        ask = eraser.bus.api

        async def api(subject: str, *rest: Any, **more: Any) -> Any:
            answer = await ask(subject, *rest, **more)
            if subject == f"STREAM.INFO.{DECISIONS}":
                for node in answer["cluster"]["replicas"]:
                    node.update(sign if node["name"] == follower.name else {})
            return answer

        monkeypatch.setattr(eraser.bus, "api", api)

        async def named() -> bool:
            assert await eraser.carry_out() == 0 and waits_for_the_bus() == 1 and await case.everywhere()
            return follower.name in told(eraser) and "is down or behind" in told(eraser)

        await until(named)
        monkeypatch.undo()
        await until(lambda: carried_out(eraser))
        await until(case.nowhere)


@pytest.mark.law("nothing-lost")
@pytest.mark.timeout(300)
async def test_whoever_had_all_for_a_moment_is_not_waited_for_again(
    settings: Settings, bus: Bus, nodes: list[Node], case: Case, monkeypatch: pytest.MonkeyPatch
):
    """As under load, where there may be no moment in which all have."""
    leader, _ = await led(bus, nodes)
    async with erasing(settings, leader) as eraser:
        ask, asked = eraser.bus.api, count()

        async def api(subject: str, *rest: Any, **more: Any) -> Any:
            answer = await ask(subject, *rest, **more)
            if subject == f"STREAM.INFO.{EVENTS}":
                answer["cluster"]["replicas"][next(asked) % 2]["lag"] = 1
            return answer

        monkeypatch.setattr(eraser.bus, "api", api)
        await until(lambda: carried_out(eraser))
        await until(case.nowhere)


@pytest.mark.law("nothing-lost")
@pytest.mark.timeout(300)
async def test_what_the_bus_leaves_unanswered_is_waited_for_and_from_the_first_deletion_on_said_to_be_missed(
    settings: Settings, bus: Bus, nodes: list[Node], case: Case, monkeypatch: pytest.MonkeyPatch
):
    leader, _ = await led(bus, nodes)

    async def said(eraser: Eraser, mute: str, words: str) -> None:
        ask = eraser.bus.api

        async def api(subject: str, *rest: Any, **more: Any) -> Any:
            if subject.startswith(mute):
                raise BusUnavailable("request: no answer in time")
            return await ask(subject, *rest, **more)

        async def found() -> bool:
            assert await eraser.carry_out() == 0 and waits_for_the_bus() == 1
            return told(eraser) == f"request: no answer in time; {words}"

        with monkeypatch.context() as patched:
            patched.setattr(eraser.bus, "api", api)
            await until(found)

    async with erasing(settings, leader) as eraser:
        await said(eraser, "STREAM.INFO.", NEEDED)
        await said(eraser, "STREAM.MSG.DELETE.", MISSED)
        await said(eraser, "STREAM.INFO.", MISSED)
        await until(lambda: carried_out(eraser))
        assert not eraser._begun
        await until(case.nowhere)


@pytest.mark.law("nothing-lost")
@pytest.mark.timeout(300)
async def test_what_the_bus_lacks_is_asked_once_for_all_who_wait(
    settings: Settings, bus: Bus, engine: AsyncEngine, nodes: list[Node], case: Case, run: Run, monkeypatch: pytest.MonkeyPatch
):
    second = Case(settings, engine, bus, nodes, f"planted-{next(NUMBER)}")
    await second.lie_on_the_bus(run)
    leader, _ = await led(bus, nodes)
    async with erasing(settings, leader) as eraser:
        asked: list[None] = []

        async def verify() -> None:
            asked.append(None)
            raise BusUnavailable("a NATS server's monitor does not answer")

        with monkeypatch.context() as patched:
            patched.setattr(eraser.bus, "verify", verify)
            assert await eraser.carry_out() == 0 and waits_for_the_bus() == 2 and len(asked) == 1

        async def both() -> bool:
            await eraser.carry_out()
            return await case.state() == await second.state() == "erased"

        await until(both)
