"""`milepost`: finds the command by its first word, and turns faults into sentences.

Only the module of the command that runs is imported, so help is quick and one command's fault is not another's. Each module offers
`app`, a `typer.Typer` with one command or several.
"""

import importlib
import os
import sys
import traceback
from typing import Any

import typer
from typer.main import get_command, get_group

from services.cli.terminal import EXIT_BAD_INPUT, EXIT_FAULT, complain, stop

COMMANDS = {
    "up": ("services.cli.up", "Starts the three services, on embedded servers or on those the settings name."),
    "demo": ("services.cli.demo", "Plays athletes through the whole chain and shows decisions and webhooks."),
    "simulate": ("services.cli.simulate", "Decides over a file of events, without any server."),
    "keys": ("services.cli.keys", "Creates, lists and revokes API keys."),
    "migrate": ("services.cli.migrate", "Brings schema and streams of your own servers up to date."),
    "verify": ("services.cli.verify", "Holds history, or a dossier, against its proofs."),
    "checkpoints": ("services.cli.checkpoints", "Writes the signed checkpoints, for a witness to keep."),
    "replay": ("services.cli.replay", "Decides stored history again and compares."),
    "export": ("services.cli.export", "Writes everything that history holds of one athlete."),
    "erasures": ("services.cli.erasures", "Who was erased; scrubs old bytes; erases again after a restore."),
    "protocol": ("services.cli.protocol", "Shows the rule packs."),
}


def command(words: list[str]) -> Any:
    """The whole command line as a group: the command that `words` begin with is real, the others stand for their help."""
    root = typer.Typer(
        no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Milepost: decides the return to running."
    )
    root.callback()(_root)
    group = get_group(root)
    wanted = next((word for word in words if not word.startswith("-")), None)
    for name, (module, summary) in COMMANDS.items():
        found = importlib.import_module(module).app if name == wanted else _sign(summary)
        one = get_command(found)
        one.name = name
        one.short_help = summary
        group.commands[name] = one
    return group


def main() -> None:
    """Runs the command line. Leaves with 0, or 2 for input or settings at fault, or 1 for anything else, each with a sentence."""
    words = sys.argv[1:]
    try:
        command(words)(args=words, prog_name="milepost")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output left; the interpreter must not try to flush into the closed pipe on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAULT)
    except Exception as fault:
        if _is_for_people(fault):
            stop(str(fault), EXIT_BAD_INPUT)
        if os.environ.get("MILEPOST_LOG_LEVEL") == "debug":
            traceback.print_exc()
        complain(f"milepost: {type(fault).__name__}: {fault}")
        stop("This is a fault of milepost itself; MILEPOST_LOG_LEVEL=debug shows where it happened.", EXIT_FAULT)


def _is_for_people(fault: Exception) -> bool:
    # Imported here, so that help does not wait for what only faults need.
    from services.embedded.faults import ServerFault
    from shared.bus import BusError
    from shared.db import DatabaseRefused
    from shared.settings import SettingsFault

    return isinstance(fault, ServerFault | SettingsFault | DatabaseRefused | BusError)


def _sign(summary: str) -> typer.Typer:
    app = typer.Typer()

    @app.command(help=summary)
    def _stand_in() -> None:
        raise AssertionError("help only")

    return app


def _root() -> None:
    pass
