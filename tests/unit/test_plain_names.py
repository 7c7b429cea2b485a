"""Names of functions, classes and parameters are words of the field, not of a private language."""

import ast
import json
from collections import Counter
from pathlib import Path

import pytest

SERVER = Path(__file__).parents[2] / "server"
# what is left, by room and module: this file only gets shorter, and goes when it is empty
LEFT = Path(__file__).with_name("plain_names_left.json")
WORDS = frozenset(
    [
        "told",
        "tell",
        "take",
        "look",
        "note",
        "way",
        "reach",
        "ground",
        "walk",
        "meet",
        "walked",
        "looked",
        "taken",
        "noted",
        "met",
    ]
)


def _names(tree: ast.AST) -> list[str]:
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.arg):
            found.append(node.arg)
    return found


def _bare(name: str) -> bool:
    return name.lower().strip("_") in WORDS


def found_in(folder: Path) -> dict[str, dict[str, int]]:
    """How often each such name stands in each module."""
    counts = {
        path.relative_to(folder).as_posix(): Counter(
            name for name in _names(ast.parse(path.read_text(encoding="utf-8"))) if _bare(name)
        )
        for path in sorted(folder.rglob("*.py"))
    }
    return {module: dict(sorted(names.items())) for module, names in counts.items() if names}


def test_no_name_is_a_word_of_a_private_language() -> None:
    """A new one is not taken, and one that is gone is taken off the list: see `LEFT`."""
    assert found_in(SERVER) == json.loads(LEFT.read_text(encoding="utf-8"))


@pytest.mark.parametrize("code", ["def _take(): ...", "class Way: ...", "def f(told): ..."])
def test_such_a_name_is_found(code: str) -> None:
    """Else the rule above would hold whatever is written."""
    assert [name for name in _names(ast.parse(code)) if _bare(name)]


@pytest.mark.parametrize("code", ["def take_lease(): ...", "class Sideways: ...", "told = 1"])
def test_words_with_an_object_and_local_names_are_free(code: str) -> None:
    assert not [name for name in _names(ast.parse(code)) if _bare(name)]


if __name__ == "__main__":  # python -m tests.unit.test_plain_names: write what is left
    LEFT.write_text(json.dumps(found_in(SERVER), indent=1) + "\n", encoding="utf-8")
