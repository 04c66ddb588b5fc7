"""`python -m tests.golden --because "…"`: records the hashes anew, with the reason."""

import argparse
import sys
from datetime import UTC, datetime

import orjson

from services.decision.core.decision import ENGINE
from tests.golden.corpus import HERE, decided, histories, kept


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("--because", required=True, help="why decisions say something else from now on")
    because = parser.parse_args().because.strip()
    now = {name: decided(events) for name, events in histories().items()}
    before = kept() if (HERE / "hashes.json").exists() else {}
    changed = sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))
    if not changed:
        print("nothing changed", file=sys.stderr)
        return 0
    (HERE / "hashes.json").write_bytes(orjson.dumps(now, option=orjson.OPT_INDENT_2) + b"\n")
    with (HERE / "reasons.md").open("a") as file:
        file.write(f"- {datetime.now(UTC):%Y-%m-%d}, {ENGINE}, {', '.join(changed)}: {because}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
