"""Nobody uses a connection once the block that lent it has ended: by then it may be somebody else's, in the middle of their transaction."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for folder in ("services", "shared", "migrations", "tests") for path in (ROOT / folder).rglob("*.py"))
LENDING = {
    *("borrowed", "bound", "reading", "working", "stored", "shown_to", "transaction", "connected", "connect", "begin", "acquire", "owned")
}
"""What lends a connection to `async with … as name`."""

Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def _lends(node: ast.expr) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
    return name in LENDING


def _names(target: ast.expr | None) -> set[str]:
    return {one.id for one in ast.walk(target) if isinstance(one, ast.Name)} if target is not None else set()


class Reader:
    """Goes through one function in the order it runs: either way of each branch, and each loop twice. `gone`: names whose block ended."""

    def __init__(self) -> None:
        self.found: dict[tuple[int, str], None] = {}
        self._open: list[set[str]] = []
        self._stacks: dict[str, set[str]] = {}

    def body(self, statements: Iterable[ast.stmt], gone: set[str]) -> set[str] | None:
        """What is gone behind the statements; None where nothing goes on behind them."""
        for statement in statements:
            after = self._statement(statement, gone)
            if after is None:
                return None
            gone = after
        return gone

    def _statement(self, node: ast.stmt, gone: set[str]) -> set[str] | None:
        match node:
            case ast.With() | ast.AsyncWith():
                return self._with(node, gone)
            case ast.If():
                self._used(node.test, gone)
                return _either(self.body(node.body, set(gone)), self.body(node.orelse, set(gone)))
            case ast.For() | ast.AsyncFor() | ast.While():
                return self._loop(node, gone)
            case ast.Try() | ast.TryStar():
                tried = self.body(node.body, set(gone))
                # A fault may come anywhere inside: what was gone before it, and what is behind it.
                begun = gone | (tried or set())
                ways = [self.body(node.orelse, set(tried)) if tried is not None else None]
                ways += [self.body(handler.body, set(begun)) for handler in node.handlers]
                behind: set[str] | None = None
                for way in ways:
                    behind = _either(behind, way)
                last = self.body(node.finalbody, set(begun | (behind or set())))
                return None if behind is None or last is None else last
            case ast.Match():
                self._used(node.subject, gone)
                behind = set(gone)
                for case in node.cases:
                    behind = _either(behind, self.body(case.body, set(gone))) or behind
                return behind
            case ast.Return() | ast.Raise():
                self._used(node, gone)
                if isinstance(node, ast.Return) and isinstance(node.value, ast.Name) and any(node.value.id in one for one in self._open):
                    self.found[node.lineno, node.value.id] = None
                return None
            case ast.Continue() | ast.Break():
                return None
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return self._defined(node, gone)
        self._used(node, gone)
        return self._bound(node, gone)

    def _with(self, node: ast.With | ast.AsyncWith, gone: set[str]) -> set[str] | None:
        lent: set[str] = set()
        opened: set[str] = set()
        for item in node.items:
            self._used(item.context_expr, gone)
            names = _names(item.optional_vars)
            gone = gone - names
            opened |= names
            if isinstance(node, ast.AsyncWith) and _lends(item.context_expr):
                lent |= names
        self._open.append(lent)
        for name in opened:
            self._stacks[name] = lent
        after = self.body(node.body, set(gone))
        self._open.pop()
        for name in opened:
            self._stacks.pop(name, None)
        return None if after is None else after | lent

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While, gone: set[str]) -> set[str] | None:
        if not isinstance(node, ast.While):
            self._used(node.iter, gone)
        behind = set(gone)
        for _ in range(2):
            if isinstance(node, ast.While):
                self._used(node.test, behind)
            else:
                behind -= _names(node.target)
            behind |= self.body(node.body, set(behind)) or set()
        return _either(behind, self.body(node.orelse, set(behind)))

    def _defined(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, gone: set[str]) -> set[str]:
        """What is defined inside a block and speaks of its connection is gone with it."""
        self._used(node, gone)
        if any(self._open):
            inside = _names_in(node)
            for lent in self._open:
                if lent & inside:
                    lent.add(node.name)
        return gone - {node.name}

    def _bound(self, node: ast.stmt, gone: set[str]) -> set[str]:
        targets = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store | ast.Del)}
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for lent in self._open:
                # Another name for the same connection.
                if isinstance(node.value, ast.Name) and node.value.id in lent:
                    lent |= targets
            for one in ast.walk(node.value):
                if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr == "enter_async_context":
                    holder = one.func.value.id if isinstance(one.func.value, ast.Name) else ""
                    if holder in self._stacks and any(_lends(argument) for argument in one.args):
                        self._stacks[holder] |= targets
        return gone - targets

    def _used(self, node: ast.AST, gone: set[str]) -> None:
        if not gone:
            return
        for one in ast.walk(node):
            if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load) and one.id in gone and one.id not in _own(node):
                self.found[one.lineno, one.id] = None


def _own(node: ast.AST) -> set[str]:
    """Names that something inside binds for itself: parameters, and what comprehensions go through."""
    found: set[str] = set()
    for one in ast.walk(node):
        if isinstance(one, Scope):
            found |= {argument.arg for argument in ast.walk(one.args) if isinstance(argument, ast.arg)}
            found |= {name.id for name in ast.walk(one) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}
        elif isinstance(one, ast.comprehension):
            found |= _names(one.target)
    return found


def _names_in(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)} - _own(node)


def _either(one: set[str] | None, other: set[str] | None) -> set[str] | None:
    return other if one is None else one if other is None else one | other


def faults(source: str) -> Iterator[str]:
    """Line and name of every use of a connection behind the block that lent it."""
    tree = ast.parse(source)
    found: dict[tuple[int, str], None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef):
            reader = Reader()
            reader.body(node.body, set())
            found |= reader.found
    yield from (f"{line}: {name}" for line, name in sorted(found))


def test_no_connection_is_used_behind_the_block_that_lent_it() -> None:
    texts = {path: path.read_text("utf-8") for path in SOURCES}
    lending = {path: text for path, text in texts.items() if "async with" in text or "enter_async_context" in text}
    found = [f"{path.relative_to(ROOT)}:{fault}" for path, text in lending.items() for fault in faults(text)]
    assert len(lending) > 100 and found == []


LENT = "    async with borrowed(engine) as c:\n        pass\n"
DEEPER = LENT.replace("\n    ", "\n        ")
ASKED = "await c.execute('')"
LATE = {
    "behind the block": f"{LENT}    {ASKED}",
    "in a branch behind it": f"{LENT}    if late:\n        {ASKED}",
    "behind a branch that may have it": f"    c = own\n    if late:\n    {DEEPER}    {ASKED}",
    "in the next round of a loop": f"    c = own\n    while c.more():\n    {DEEPER}",
    "by another name": "    async with borrowed(engine) as c:\n        other = c\n    await other.execute('')",
    "by a function of the block": (
        f"    async with borrowed(engine) as c:\n        async def there():\n            {ASKED}\n    await there()"
    ),
    "by a function defined behind it": f"{LENT}    async def there():\n        {ASKED}",
    "in a comprehension": f"{LENT}    return [await c.fetch(n) for n in names]",
    "handed out": "    async with borrowed(engine) as c:\n        return c",
    "in the argument of the next block": f"{LENT}    async with c.transaction():\n        pass",
    "where a fault is handled": f"    try:\n    {DEEPER}    except OSError:\n        {ASKED}",
    "at the end in any case": f"    try:\n    {DEEPER}    finally:\n        {ASKED}",
    "behind the stack that held it": (
        f"    async with AsyncExitStack() as stack:\n        c = await stack.enter_async_context(borrowed(engine))\n    {ASKED}"
    ),
}
IN_TIME = {
    "inside": f"    async with borrowed(engine) as c:\n        {ASKED}",
    "lent again": (LENT + LENT).replace("pass", ASKED),
    "made anew": f"{LENT}    c = await connect()\n    {ASKED}",
    "in each round": f"    for n in names:\n    {DEEPER}",
    "what it read": "    async with borrowed(engine) as c:\n        rows = await c.fetch('')\n    return rows",
    "another of that name": f"{LENT}    return [c.size for c in courses]",
    "where the block was left": "    async with borrowed(engine) as c:\n        return await c.fetch('')\n    raise OSError",
    "of nobody": "    async with asyncio.timeout(1) as c:\n        pass\n    return c.expired()",
}


@pytest.mark.parametrize("name", LATE)
def test_each_use_that_comes_too_late_is_seen(name: str) -> None:
    assert len(list(faults(f"async def asked(engine):\n{LATE[name]}\n"))) == 1


@pytest.mark.parametrize("name", IN_TIME)
def test_what_comes_in_time_is_no_fault(name: str) -> None:
    assert list(faults(f"async def asked(engine):\n{IN_TIME[name]}\n")) == []
