"""Transactions may run more than once: read from the code, that they hold SQL and nothing else."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SERVER = Path(__file__).parents[2] / "server"
# what a transaction had read is asked for after it failed; each attempt writes the same again
_KEPT_FOR_FAILURES = {
    "incoming/ingest.py: has_begun",
    "incoming/ingest.py: self._read",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class _Module:
    """A file's functions, and the names it has from other files."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.tree = ast.parse(text)
        self.functions = {n.name: n for n in self.tree.body if isinstance(n, _NAMED)}
        self.methods = {
            (node.name, method.name): method
            for node in self.tree.body
            if isinstance(node, ast.ClassDef)
            for method in node.body
            if isinstance(method, _NAMED)
        }
        self.imported = {
            alias.asname or alias.name: (node.module or "", alias.name)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }


_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef)


class _Place(NamedTuple):
    module: _Module
    owner: str  # its class, or none
    function: Function


def _read_modules() -> dict[str, _Module]:
    return {
        ".".join(("server", *path.relative_to(SERVER).with_suffix("").parts)): _Module(
            path.relative_to(SERVER).as_posix(), path.read_text()
        )
        for path in sorted(SERVER.rglob("*.py"))
        if path.parts[len(SERVER.parts)] != "lab"
    }


class _Search:
    """Follows the calls of functions that get a `Connection`, as far as names lead."""

    def __init__(self, modules: dict[str, _Module]) -> None:
        self._modules = modules
        self._seen = set[tuple[str, int, int]]()
        self.found = set[str]()

    def run(self) -> None:
        for module in self._modules.values():
            if module.name.startswith("db/engine/"):  # they are the transactions
                continue
            for owner, function in _functions(module):
                if _gets_connection(function):
                    self._visit(_Place(module, owner, function))

    def _visit(self, place: _Place) -> None:
        function, name = place.function, place.module.name
        key = name, function.lineno, function.col_offset
        if key in self._seen:
            return
        self._seen.add(key)
        for node in _inside(function):
            for act in _acts(node):
                if f"{name}: {act}" not in _KEPT_FOR_FAILURES:
                    self.found.add(f"{name}:{node.lineno}: {act}")
            if isinstance(node, ast.Call) and (called := self._called(place, node.func)):
                self._visit(called)

    def _called(self, place: _Place, called: ast.expr) -> _Place | None:
        module = place.module
        if isinstance(called, ast.Name):
            if called.id in module.functions:
                return _Place(module, "", module.functions[called.id])
            source, name = module.imported.get(called.id, ("", ""))
            return self._function_of(source, name)
        if not (isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name)):
            return None
        if called.value.id == "self":
            method = module.methods.get((place.owner, called.attr))
            return None if method is None else _Place(module, place.owner, method)
        source, name = module.imported.get(called.value.id, ("", ""))
        return self._function_of(f"{source}.{name}", called.attr)

    def _function_of(self, source: str, name: str) -> _Place | None:
        other = self._modules.get(source)
        if other is None or name not in other.functions:
            return None
        return _Place(other, "", other.functions[name])


def _functions(module: _Module) -> Iterator[tuple[str, Function]]:
    """All of a file, also those within others, with their class."""
    for node in module.tree.body:
        owner = node.name if isinstance(node, ast.ClassDef) else ""
        for inner in ast.walk(node):
            if isinstance(inner, _NAMED):
                yield owner, inner


def _gets_connection(function: Function) -> bool:
    arguments = [*function.args.args, *function.args.kwonlyargs]
    return any(
        one.annotation is not None and ast.unparse(one.annotation) == "Connection"
        for one in arguments
    )


def _inside(function: Function) -> Iterator[ast.expr | ast.stmt]:
    """Its statements and expressions, but for what is left to the moment after the COMMIT."""
    left = list[ast.AST](function.body if isinstance(function.body, list) else [function.body])
    while left:
        node = left.pop()
        if isinstance(node, (ast.expr, ast.stmt)):
            yield node
        if not (isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".after_commit")):
            left += ast.iter_child_nodes(node)


def _acts(node: ast.AST) -> Iterator[str]:
    """What a transaction that runs twice would do twice, or would leave behind if it fails."""
    if isinstance(node, ast.Nonlocal):
        yield from node.names
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if called.startswith(("metrics.", "_logger.")) or "publish" in called:
            yield called
    if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if (text := ast.unparse(target)).startswith(("self.", "(self.")):
                yield text


def test_transactions_count_log_and_publish_nothing() -> None:
    """They may run more than once, and fail: what they tell is told after the COMMIT."""
    search = _Search(_read_modules())
    search.run()
    assert sorted(search.found) == []


@pytest.mark.parametrize(
    "body",
    [
        "metrics.deliveries_ingested.inc()",
        "_logger.warning('done')",
        "self._publish(batch)",
        "self._told = rows",
        "helper()",
    ],
)
def test_what_a_transaction_must_not_do_is_found(body: str) -> None:
    """Also in a function that it calls; and not where it is left to the moment after."""
    code = (
        "class A:\n    async def read(self, connection: Connection) -> None:\n"
        f"        {body}\n\ndef helper() -> None:\n    metrics.a.inc()\n"
    )
    search = _Search({"server.a": _Module("a.py", code)})
    search.run()
    assert len(search.found) == 1
    left = code.replace(f"        {body}", "        connection.after_commit(metrics.a.inc)")
    search = _Search({"server.a": _Module("a.py", left)})
    search.run()
    assert search.found == set()
