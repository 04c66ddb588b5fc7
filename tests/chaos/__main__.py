"""`python -m tests.chaos [--short] [--rounds N] [--seed S]`: exit 0 when every law held in every round, 1 at the first that broke one.

A long round takes about three minutes: every kind of fault under load, on one NATS server or (every third round) on a cluster of three,
then notify and PostgreSQL killed under notices. A short round is what `make test` does to the product, all of it (`short.py`).
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from time import monotonic

from shared.telemetry import configure_logs
from tests.chaos import short
from tests.e2e.notify_rounds import Judged as Notified, kill_loop
from tests.e2e.rounds import Judged, fault_round
from tests.e2e.schedule import schedule

FURTHER_STEPS = 12
NOTIFY_KILLS = 12
CLUSTER_EVERY = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Kills and pauses everything under load, again and again.")
    parser.add_argument("--rounds", type=int, default=20, help="how many rounds (default: 20)")
    first = "the seed of the first round; each further one has the next (default: 1; of short rounds one that is drawn)"
    parser.add_argument("--seed", type=int, help=first)
    parser.add_argument("--short", action="store_true", help="rounds of the fault and law tests of `make test`")
    asked = parser.parse_args()
    return short.rounds(asked.rounds, asked.seed) if asked.short else _long(asked.rounds, asked.seed or 1)


def _long(rounds: int, first: int) -> int:
    configure_logs("chaos", "error")
    for seed in range(first, first + rounds):
        home = Path(tempfile.mkdtemp(prefix="milepost-chaos-"))
        # PostgreSQL, where it runs as another user, passes through.
        home.chmod(0o711)
        cluster = seed % CLUSTER_EVERY == 0
        tell = partial(_tell, seed, monotonic())
        try:
            judged = asyncio.run(fault_round(home / "data", seed, FURTHER_STEPS, cluster, tell))
            notified = asyncio.run(kill_loop(home / "notify", seed, NOTIFY_KILLS, tell))
        except BaseException:
            _failed(seed, cluster, home, "could not be finished")
            raise
        print(_line(seed, judged, cluster), flush=True)
        print(_notify_line(seed, notified), flush=True)
        if faults := [*judged.faults, *notified.faults]:
            print("\n".join(faults[:50]), file=sys.stderr)
            _failed(seed, cluster, home, "broke a law")
            return 1
        shutil.rmtree(home)
    return 0


def _tell(seed: int, begin: float, line: str) -> None:
    print(f"seed {seed:3}  {monotonic() - begin:6.1f} s  {line}", flush=True)


def _failed(seed: int, cluster: bool, home: Path, how: str) -> None:
    print(f"the round with seed {seed} {how}; again: python -m tests.chaos --rounds 1 --seed {seed}; kept: {home}", file=sys.stderr)
    for step in schedule(seed, FURTHER_STEPS, cluster):
        print(f"  {step}", file=sys.stderr)


def _line(seed: int, judged: Judged, cluster: bool) -> str:
    verdict = "ok" if not judged.faults else f"{len(judged.faults)} FAULTS"
    counts = f"{judged.acknowledged} events acknowledged, {judged.repeated} requests repeated, {judged.decisions} decisions"
    bus = "three NATS servers" if cluster else "one NATS server"
    return f"seed {seed:3}  {verdict}  {judged.seconds:5.1f} s  {bus}, {len(judged.steps)} faults: {counts}, {judged.webhooks} webhooks"


def _notify_line(seed: int, judged: Notified) -> str:
    verdict = "ok" if not judged.faults else f"{len(judged.faults)} FAULTS"
    counts = f"{judged.published} notices, {judged.heard} heard, {judged.repeated} of them again"
    return f"seed {seed:3}  {verdict}  {judged.seconds:5.1f} s  {counts}; notify and PostgreSQL killed {judged.kills} times"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
