"""What decides knows nothing but its arguments: no clock, randomness, environment, files, or order of a set."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

DECISION = Path(__file__).parents[2] / "services" / "decision"
PURE = [*sorted((DECISION / "core").rglob("*.py")), DECISION / "engines" / "reference.py"]
MODULES = {
    "asyncio",
    "glob",
    "io",
    "locale",
    "os",
    "pathlib",
    "platform",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "sys",
    "tempfile",
    "time",
}
BUILT_IN = {"open", "input", "print", "hash", "id"}
CALLS = {"now", "utcnow", "today", "uuid1", "uuid4"}
ON = {"datetime", "date", "uuid"}


def _is_set(node: ast.expr) -> bool:
    return isinstance(node, ast.Set | ast.SetComp) or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset")
    )


def faults(source: str) -> Iterator[str]:
    """Line and what stands there, for everything that could make two runs differ."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
            yield from (f"{node.lineno}: import of {name}" for name in names if name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BUILT_IN:
            yield f"{node.lineno}: {node.func.id}()"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS:
            if isinstance(node.func.value, ast.Name) and node.func.value.id in ON:
                yield f"{node.lineno}: {node.func.value.id}.{node.func.attr}()"
        elif isinstance(node, ast.For | ast.comprehension) and _is_set(node.iter):
            yield f"{node.iter.lineno}: iteration over a set"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("list", "tuple", "next", "iter"):
            yield from (f"{node.lineno}: the order of a set" for one in node.args if _is_set(one))


@pytest.mark.law("same-bytes")
def test_what_decides_reads_no_clock_no_randomness_no_environment_and_no_order_of_a_set() -> None:
    found = [f"{path.relative_to(DECISION)}:{fault}" for path in PURE for fault in faults(path.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    "source",
    ["import random", "from os import environ", "datetime.now()", "uuid.uuid4()", "open('x')", "[x for x in {1, 2}]", "list(set(found))"],
)
def test_each_impurity_is_seen(source: str) -> None:
    assert len(list(faults(source))) == 1
