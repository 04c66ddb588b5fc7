"""The story on stage: both athletes' tables, what it came to, and one decision in full."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.cli.demo.chain import Chain
from services.cli.demo.explain import explained
from services.cli.demo.play import Player, Tally, check_deliveries
from services.cli.demo.stage import Course, Stage
from services.cli.demo.story import ZONE, athletes
from services.cli.demo.table import day, heading, lines, paragraph, verdict
from services.cli.demo.voice import Voice


async def play_story(stage: Stage, voice: Voice) -> Course:
    """Returns the course that ends without a setback. Raises `DoesNotHold` for the first thing that does not hold."""
    tally = Tally()
    story = athletes(datetime.now(ZONE).date())
    for athlete in story:
        voice.doing(athlete.title, often=True)
        voice.say(["", athlete.title, ""])
        voice.say(heading(voice.width))
        player = Player(athlete, stage.chain, stage.receiver, tally)
        for scene in athlete.scenes:
            voice.doing(f"{athlete.letter}, {day(scene.when)}: {scene.words.replace('{fit}', 'a run')}", often=True)
            voice.say(lines(await player.play(scene), voice.width))
    voice.doing("looking at what was delivered", often=True)
    delivered, gave_way = await check_deliveries(stage.chain, stage.endpoint, stage.receiver)
    voice.say(["", *_summary(tally, delivered, gave_way, voice.width)])
    if tally.explained is not None:
        sources, meanings = await _words_of(stage.chain, tally.explained)
        voice.say(["", f"One decision in full ({verdict(tally.explained)}):", ""])
        voice.say(explained(tally.explained, sources, meanings, voice.width))
    return Course(story[-1].subject, story[-1].course)


def _summary(tally: Tally, delivered: int, gave_way: int, width: int) -> list[str]:
    counts = [
        ("events", f"{tally.events} accepted, {tally.files} of them runs read from FIT files with what their sensors said"),
        ("decisions", f"{tally.decisions} made, each by two engines that agreed"),
        ("webhooks", f"{delivered} delivered, every signature valid" + (f"; {gave_way} gave way to newer advice" if gave_way else "")),
        ("superseded", _superseded(tally)),
    ]
    return [line for name, words in counts for line in paragraph(words, width, f"{name:12}")]


def _superseded(tally: Tally) -> str:
    """How many decisions were taken back, why, and what came instead."""
    told = [f"by a {one['superseded_because']['kind']}: {verdict(one)}" for one in tally.superseding]
    return f"{len(told)} decision{'s' * (len(told) != 1)} taken back {'; '.join(told)}"


async def _words_of(chain: Chain, decision: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The texts of the protocol's sources, and the meanings of its facts, by name."""
    protocol = await chain.protocol(f"{decision['protocol']['id']}@{decision['protocol']['version']}")
    course = await chain.course(decision["course"])
    return dict(protocol["sources"]), {fact["fact"]: fact["meaning"] for fact in course["facts"]}
