"""`milepost up`: everything runs until interrupted."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack, nullcontext

import typer
from rich.table import Table

from services.cli.stack import WITH_PORT, Stack
from services.cli.terminal import complain, is_interactive, out, say

app = typer.Typer()

WHAT = {
    "ingest": "takes events and files",
    "decision": "answers what was decided",
    "notify": "sends webhooks",
}


@app.command()
def up() -> None:
    """Starts the three services, on embedded servers or on those the settings name, until interrupted."""
    asyncio.run(_up())


async def _up() -> None:
    told = asyncio.Event()
    task = asyncio.current_task()
    assert task is not None
    status = out.status("starting") if is_interactive() else None

    def tell(line: str) -> None:
        if status is not None:
            status.update(line)
        else:
            complain(line)

    # While it starts, a signal cuts it short; once it runs, the first ends it in order and a second cuts that short.
    _on_signals(task.cancel)
    stack = Stack(watch=True, tell=tell)
    try:
        async with AsyncExitStack() as held:
            with status or nullcontext():
                await held.enter_async_context(stack)
            status = None
            _on_signals(told.set)
            _show(stack)
            await told.wait()
            _on_signals(task.cancel)
            say("stopping")
    except asyncio.CancelledError:
        complain("stopped before everything had ended or started in order; the next start cleans up")


def _on_signals(act: Callable[[], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, act)


def _show(stack: Stack) -> None:
    addresses = [(name, getattr(stack, f"{name}_url"), WHAT[name]) for name in WITH_PORT]
    if is_interactive():
        table = Table("service", "address", "what it does", title="Milepost runs", title_justify="left")
        for row in addresses:
            table.add_row(*row)
        out.print(table)
    else:
        for name, url, _ in addresses:
            say(f"{name}\t{url}")
    servers = "embedded PostgreSQL and NATS" if stack.servers else "the servers the settings name"
    say(f"On {servers}; data and logs in {stack.settings.data_dir}. Routes: /openapi.json at each address.")
    say("Keys: milepost keys create --help. Ctrl-C stops everything.")
