"""Routes that answer read by the second wall: whatever in them does not is named here, with what it does instead."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "services"
WRITES = tuple(f"router.{method}(" for method in ("post", "put", "patch", "delete"))
UNBOUND = {"working", "stored", "borrowed", "transaction"}
"""By which one gets a connection as the services' own role."""

BESIDE_THE_WALL = {
    "decision/api/protocols.py protocols": "packs alone, which are taken in for every tenant",
    "decision/api/protocols.py protocol": "packs alone",
    "decision/api/audit.py checkpoints": "trees hold every tenant's leaves",
    "decision/api/audit.py consistent": "trees",
    "decision/api/audit.py reconciliation": "windows of reception of the whole installation",
    "decision/api/audit.py proven_event": "the path through the tree, after the rows were read by the wall",
    "decision/api/replays.py watch": "replays that nobody carries on, of every tenant",
    "decision/api/replays.py _run": "the replay itself, which may be of every tenant",
    "decision/api/common.py reading": "becomes the reader before it is given out",
    "decision/api/common.py working": "what writes",
    "notify/api/common.py stored": "what writes",
    "notify/api/deliveries.py _proved": "writes that an endpoint is proved",
}


def functions() -> dict[str, ast.AsyncFunctionDef]:
    """By `service/api/module.py name`, all but the routes that write."""
    found = {}
    for path in (*sorted((ROOT / "decision/api").glob("*.py")), *sorted((ROOT / "notify/api").glob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.AsyncFunctionDef) and not any(ast.unparse(one).startswith(WRITES) for one in node.decorator_list):
                found[f"{path.relative_to(ROOT)} {node.name}"] = node
    return found


def called(node: ast.AST) -> set[str]:
    return {one.func.id for one in ast.walk(node) if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)}


@pytest.mark.law("no-crossing")
def test_every_route_that_answers_reads_as_its_tenant_but_those_named_here():
    assert {name for name, node in functions().items() if called(node) & UNBOUND} == set(BESIDE_THE_WALL)
    assert sum(bool(called(node) & {"reading", "shown_to", "bound"}) for node in functions().values()) > 30
