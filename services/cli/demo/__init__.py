"""`milepost demo`: plays athletes through the whole chain, on servers of its own, and shows what was decided and what was told.

It is a check as much as a show: what does not hold ends it with exit 1. It reaches the services by HTTP only, as any sender would.
"""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import aiohttp
import typer

from services.cli.demo.chain import DoesNotHold, Refused
from services.cli.demo.closing import closing
from services.cli.demo.own_file import Asked, Unusable, examine
from services.cli.demo.programme import play_story
from services.cli.demo.stage import Course, Stage, logs, stage
from services.cli.demo.voice import Voice
from services.cli.terminal import EXIT_BAD_INPUT, EXIT_FAULT, complain, say

EXIT_INTERRUPTED = 130

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    file: Annotated[Path | None, typer.Argument(help="Your own recording (FIT), instead of the story.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End when done, instead of leaving the services up.")] = False,
    step: Annotated[str, typer.Option(help="With FILE: the step of progressive-return that it is taken for, W1 to W20.")] = "W1",
    start: Annotated[str, typer.Option(help="With FILE: when it began (RFC 3339), where the watch's clock was wrong.")] = "",
) -> None:
    """Plays two athletes over five weeks through the three services, and shows every decision and webhook."""
    raise typer.Exit(asyncio.run(_demo(None if file is None else Asked(file, step, start), once)))


async def _demo(asked: Asked | None, once: bool) -> int:
    task = asyncio.current_task()
    assert task is not None
    _on_signals(task.cancel)
    voice = Voice()
    try:
        play = play_story if asked is None else (await examine(asked)).play
        async with AsyncExitStack() as held:
            try:
                with voice.busy():
                    ready = await held.enter_async_context(stage(voice.doing))
                    course = await play(ready, voice)
                if not once:
                    await _leave_up(ready, course, task.cancel)
            finally:
                with voice.busy():
                    voice.doing("stopping")
                    await held.aclose()
    except Unusable as fault:
        complain(f"milepost demo: {fault}")
        return EXIT_BAD_INPUT
    except (DoesNotHold, Refused, aiohttp.ClientError, TimeoutError) as fault:
        complain(f"milepost demo: this did not hold: {str(fault) or type(fault).__name__}; the logs are in {logs()}")
        return EXIT_FAULT
    except asyncio.CancelledError:
        complain("milepost demo: interrupted before its end")
        return EXIT_INTERRUPTED
    return 0


async def _leave_up(ready: Stage, course: Course, cancel: Callable[[], object]) -> None:
    """The services stay until a signal comes; a second one cuts the stopping short."""
    told = asyncio.Event()
    _on_signals(told.set)
    for line in closing(ready, course, datetime.now(UTC)):
        say(line)
    await told.wait()
    _on_signals(cancel)


def _on_signals(act: Callable[[], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, act)
