"""`python -m tests.chaos [--rounds N] [--seed S]`: exit 0 when every law held in every round, 1 at the first that broke one."""

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from tests.e2e.notify_rounds import Judged as Notified, kill_loop
from tests.e2e.rounds import Judged, kill_round

NOTIFY_KILLS = 12


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Kills every process under load, again and again.")
    parser.add_argument("--rounds", type=int, default=20, help="how many rounds (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="the seed of the first round; each further one has the next (default: 1)")
    asked = parser.parse_args()
    for seed in range(asked.seed, asked.seed + asked.rounds):
        home = Path(tempfile.mkdtemp(prefix="milepost-chaos-"))
        try:
            judged = asyncio.run(kill_round(home / "data", seed))
            notified = asyncio.run(kill_loop(home / "notify", seed, NOTIFY_KILLS))
        except BaseException:
            print(f"round with seed {seed} could not be finished; its logs are in {home}/data/logs", file=sys.stderr)
            raise
        print(_line(seed, judged), flush=True)
        print(_notify_line(seed, notified), flush=True)
        if faults := [*judged.faults, *notified.faults]:
            print("\n".join(faults[:50]), file=sys.stderr)
            print(f"again: python -m tests.chaos --rounds 1 --seed {seed}; the directory {home} was kept", file=sys.stderr)
            return 1
        shutil.rmtree(home)
    return 0


def _line(seed: int, judged: Judged) -> str:
    verdict = "ok" if not judged.faults else f"{len(judged.faults)} FAULTS"
    counts = f"{judged.acknowledged} events acknowledged, {judged.repeated} requests repeated, {judged.decisions} decisions"
    return f"seed {seed:3}  {verdict}  {judged.seconds:5.1f} s  {counts}, {judged.webhooks} webhooks; killed {', '.join(judged.killed)}"


def _notify_line(seed: int, judged: Notified) -> str:
    verdict = "ok" if not judged.faults else f"{len(judged.faults)} FAULTS"
    counts = f"{judged.published} notices, {judged.heard} heard, {judged.repeated} of them again"
    return f"seed {seed:3}  {verdict}  {judged.seconds:5.1f} s  {counts}; notify and PostgreSQL killed {judged.kills} times"


if __name__ == "__main__":
    sys.exit(main())
