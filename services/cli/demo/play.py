"""Plays the story through the running chain, scene by scene, and holds each to what it has to end in."""

from dataclasses import dataclass, field
from typing import Any, Final

from services.cli.demo.chain import Chain, DoesNotHold
from services.cli.demo.dose import recorded
from services.cli.demo.receiver import Delivery, Receiver
from services.cli.demo.story import Athlete, Run, Scene
from services.cli.demo.table import Row
from services.cli.demo.told import Expectation

Decision = dict[str, Any]

WITHIN_S: Final = 30.0
ENGINES_DIFFER: Final = "floor.engine"
"""The rule that holds a course once its engines did not say the same."""


@dataclass(slots=True)
class Tally:
    """What the whole story came to."""

    files: int = 0
    events: int = 0
    decisions: int = 0
    superseding: list[Decision] = field(default_factory=list)
    explained: Decision | None = None


class Player:
    """Plays one athlete: sends, waits for each event's decision and for the webhook that has to tell it."""

    def __init__(self, athlete: Athlete, chain: Chain, receiver: Receiver, tally: Tally) -> None:
        self._athlete = athlete
        self._chain = chain
        self._receiver = receiver
        self._tally = tally
        self._expectation = Expectation()
        self._decided: list[Decision] = []

    async def play(self, scene: Scene) -> Row:
        """The scene as it went. Raises `DoesNotHold` when it did not end as it has to."""
        read = ""
        for send in scene.sends:
            if isinstance(send, Run):
                read = await self._run(send)
            else:
                await self._chain.send(send.events, scene.role)
                await self._settled([(event["source"], event["id"]) for event in send.events])
        every = await self._chain.decisions(self._athlete.course)
        made = every[len(self._decided) :]
        self._decided = every
        self._tally.decisions += len(made)
        self._tally.superseding += [decision for decision in made if decision["supersedes"] is not None]
        decision = self._held(scene, made)
        if scene.explained:
            self._tally.explained = decision
        return Row(scene.when, scene.words.replace("{fit}", read), decision, await self._told(made))

    async def _run(self, run: Run) -> str:
        """Runs what is recommended and sends the recording; what was read of it, in words."""
        standing = self._decided[-1]
        file = recorded(standing["dose"], run.start)
        query = {"course": self._athlete.course, "session": run.session, "step": standing["to_step"], **run.said}
        read = await self._chain.send_file(self._athlete.subject, file, query)
        if read["rejected"] or read["warnings"]:
            raise DoesNotHold(f"the FIT file of {run.start:%d %b} was not read as it was written: {read['warnings'] or read['outcomes']}")
        self._tally.files += 1
        await self._settled([(event["source"], event["id"]) for event in read["events"]])
        return session_words(read["events"])

    async def _settled(self, names: list[tuple[str, str]]) -> None:
        for source, event in names:
            outcome = await self._chain.outcome(source, event)
            if outcome["status"] != "accepted":
                raise DoesNotHold(f"event {event} was {outcome['status']}: {outcome['reason']}")
            self._tally.events += 1

    def _held(self, scene: Scene, made: list[Decision]) -> Decision:
        if not made:
            raise DoesNotHold(f"{scene.words}: no decision was made")
        decision = made[-1]
        if any(reason["rule"] == ENGINES_DIFFER for one in made for reason in one["reasons"]):
            raise DoesNotHold(f"{scene.when:%d %b}, {scene.words}: the second engine failed or judged otherwise")
        found = (decision["action"], decision["from_step"], decision["to_step"])
        if found != scene.expects:
            raise DoesNotHold(f"{scene.when:%d %b}, {scene.words}: expected {_steps(scene.expects)}, decided {_steps(found)}")
        if scene.supersedes and decision["supersedes"] is None:
            raise DoesNotHold(f"{scene.when:%d %b}, {scene.words}: the decision does not supersede the one before it")
        return decision

    async def _told(self, made: list[Decision]) -> str:
        """Waits for the notice of the last of these decisions that has to be told; earlier ones may give way to it."""
        expected = self._expectation.of(made)
        if not expected:
            return "nothing new to tell"
        last, kind = expected[-1]
        if not await self._receiver.until(lambda: self._receiver.has(last), WITHIN_S):
            raise DoesNotHold(f"no webhook told decision {last} within {WITHIN_S:g} s")
        (delivery,) = [one for one in self._receiver.deliveries.values() if one.data.get("id") == last]
        if delivery.type != kind:
            raise DoesNotHold(f"decision {last} was told as {delivery.type}, expected {kind}")
        _believe(delivery)
        return "told as superseded, signature valid" if kind.endswith("superseded") else "told, signature valid"


async def check_deliveries(chain: Chain, endpoint: str, receiver: Receiver) -> tuple[int, int]:
    """How many notices were delivered, and how many gave way to a newer one. Raises `DoesNotHold` for any that was lost or not signed."""
    sent = await chain.deliveries(endpoint)
    delivered = {one["notice"] for one in sent if one["state"] == "delivered"}
    failed = [one for one in sent if one["state"] not in ("delivered", "cancelled")]
    if failed:
        raise DoesNotHold(f"webhook {failed[0]['notice']} ended as {failed[0]['state']}: {failed[0]['because']}")
    if receiver.refused:
        raise DoesNotHold(f"the receiver got {receiver.refused[0]}")
    for delivery in receiver.deliveries.values():
        _believe(delivery)
    if lost := delivered - receiver.deliveries.keys():
        raise DoesNotHold(f"webhook {min(lost)} counts as delivered and never came")
    return len(delivered), len(sent) - len(delivered)


def _believe(delivery: Delivery) -> None:
    if delivery.fault is not None:
        raise DoesNotHold(f"a webhook {delivery.type} came with a signature that is not valid: {delivery.fault}")


def session_words(events: list[dict[str, Any]]) -> str:
    """What the recording says, from the events it became.

    >>> session_words([{"type": "milepost.session.completed", "data": {"run_s": 360, "walk_s": 1440, "reps": 6, "duration_s": 1800}}])
    'FIT file, 30 min: 6 min run in 6 bouts, 24 min walk'
    """
    data = next(event["data"] for event in events if event["type"] == "milepost.session.completed")
    words = f"FIT file, {minutes(data['duration_s'])} min: {minutes(data['run_s'])} min run"
    if data.get("reps", 1) > 1:
        words += f" in {data['reps']} bouts"
    return words + (f", {minutes(data['walk_s'])} min walk" if data["walk_s"] else "")


def minutes(seconds: float) -> str:
    """Whole minutes, or with one digit."""
    return f"{seconds / 60:.1f}".removesuffix(".0")


def _steps(found: tuple[str, str, str]) -> str:
    return f"{found[0]} from {found[1]} to {found[2]}"
