"""Rules of the code that no linter knows, read from its syntax trees."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVER = Path(__file__).parents[2] / "server"
# digits that are no ids: of a code on a telephone, of a searched text, of a process in /proc
_OTHER_DIGITS = {
    "core/identifiers.py",
    "core/second_factor_rules.py",
    "core/state/search_text.py",
    "operation/listeners.py",
}
_BOUNDS = {"2 ** 31", "2 ** 53", "2 ** 62", "2 ** 63"}


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SERVER.rglob("*.py")):
        name = path.relative_to(SERVER).as_posix()
        if not name.startswith("lab/"):
            yield name, ast.parse(path.read_text())


def _spelled_again(name: str, node: ast.AST) -> bool:
    """Whether it writes down what has a name."""
    if isinstance(node, ast.Attribute):
        return node.attr in ("isdigit", "isdecimal", "isnumeric") and name not in _OTHER_DIGITS
    if isinstance(node, ast.BinOp):
        text = ast.unparse(node)
        is_bound = text in _BOUNDS and name != "core/identifiers.py"
        return is_bound or (text.startswith("time.time() *") and name != "core/times.py")
    return False


def test_bounds_of_numbers_their_digits_and_the_wall_clock_are_written_once() -> None:
    """`core/identifiers.py` has the bounds and reads digits, `core/times.py` reads the clock."""
    found = [
        f"{name}:{node.lineno}: {ast.unparse(node)}"
        for name, module in _modules()
        for node in ast.walk(module)
        if isinstance(node, ast.expr) and _spelled_again(name, node)
    ]
    assert found == []


@pytest.mark.parametrize(
    "code", ["x.isdigit()", "a < 2**63", "2**53 - 1", "int(time.time() * SECOND)"]
)
def test_another_spelling_of_a_bound_or_of_the_clock_is_found(code: str) -> None:
    """Else the rule above would hold whatever is written."""
    assert any(_spelled_again("http/page.py", node) for node in ast.walk(ast.parse(code)))
