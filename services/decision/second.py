"""The second engine of a worker whose packs change: a new engine over all packs takes the place of the old between two batches."""

from collections.abc import Mapping, Sequence

from services.decision.core.protocol import Protocol
from services.decision.core.question import Answer, Question
from services.decision.engines.durable import EngineFault, SecondEngine


class Second:
    """Raises what `SecondEngine` raises, and `PackRefused` for a pack that it cannot hold."""

    def __init__(self, packs: Mapping[str, Protocol]) -> None:
        self._held = frozenset(packs)
        self._engine = SecondEngine(dict(packs))

    async def start(self) -> None:
        await self._engine.start()

    async def judge(self, questions: Sequence[Question]) -> list[Answer | EngineFault]:
        return await self._engine.judge(questions)

    async def hold(self, packs: Mapping[str, Protocol]) -> None:
        """Answers for these packs from now on; nothing happens while they are the same. Not to be called while questions are open."""
        if self._held == packs.keys():
            return
        following = SecondEngine(dict(packs))
        await following.start()
        before, self._engine, self._held = self._engine, following, frozenset(packs)
        await before.close()

    async def close(self) -> None:
        await self._engine.close()
