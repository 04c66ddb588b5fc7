"""Every numbered point is passed somewhere in the code, exercised by a test, and listed in the documents."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from shared.crash import POINTS
from tests.integration.decision.test_crash_points import ERASER_POINTS, RECONCILER_POINTS, REPLAY_POINTS, WORKER_POINTS
from tests.integration.notify.test_crash_points import NOTIFY_POINTS

ROOT = Path(__file__).parents[2]


def passed() -> Iterator[int]:
    for path in [*(ROOT / "services").rglob("*.py"), *(ROOT / "shared").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant) and name_of(node.func) == "point":
                yield int(str(node.args[0].value))
            if isinstance(node, ast.Call) and name_of(node.func) in ("transaction", "_written"):
                # Three in a row: before, before COMMIT, after.
                given = [one.value for one in [*node.args, *(word.value for word in node.keywords)] if isinstance(one, ast.Constant)]
                for first in given:
                    if type(first) is int:
                        yield from range(first, first + 3)


def name_of(called: ast.expr) -> str:
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""


def test_every_point_is_passed_in_the_code_and_every_passed_one_is_named():
    # Publishing passes its two points in two places, singly and as a batch.
    assert Counter(passed()) == Counter(POINTS.keys()) + Counter([1, 2])


def test_every_point_is_exercised():
    assert {*WORKER_POINTS, *NOTIFY_POINTS, *RECONCILER_POINTS, *REPLAY_POINTS, *ERASER_POINTS} == POINTS.keys()


def test_the_documents_list_every_point_in_its_words():
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", (ROOT / "docs" / "faults.md").read_text("utf-8"), re.MULTILINE)
    assert {int(number): words for number, words in rows} == POINTS
