"""No regular expression of ours takes long over any text: found in the source, so that a new one is
tried as well.
"""

import ast
import itertools
import re
import time
from pathlib import Path

import pytest

SERVER = Path(__file__).parents[2] / "server"
CALLS = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
LENGTH = 20_000
# for one expression over all texts; one that backtracks needs longer than the universe has
SECONDS = 20.0


def _expressions() -> dict[str, str]:
    """By place: what is written out as the first argument of a function of `re`."""
    found: dict[str, str] = {}
    for path in sorted(SERVER.rglob("*.py")):
        if {"load", "dev"} & set(path.relative_to(SERVER).parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in CALLS
            ):
                is_re = isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
                if (
                    is_re
                    and node.args
                    and isinstance(node.args[0], ast.Constant)
                    and isinstance(node.args[0].value, str)
                ):
                    found[f"{path.relative_to(SERVER)}:{node.lineno}"] = node.args[0].value
    return found


EXPRESSIONS = _expressions()


def _texts(expression: str) -> list[str]:
    """Long runs of what the expression itself is made of, alone and in pairs, with an end that fits
    nothing.
    """
    signs = sorted(
        {sign for sign in re.sub(r"\\.", "", expression) if sign not in "()[]{}|?*+^$\\"}
        | set("a0 -./\n%=&")
    )[:14]
    pieces = signs + ["".join(pair) for pair in itertools.product(signs[:6], repeat=2)]
    return [piece * (LENGTH // len(piece)) + end for piece in pieces for end in ("", "\x00")]


def test_expressions_are_found() -> None:
    """Some dozens: fewer would mean that they are written in a way that is not looked for."""
    assert len(EXPRESSIONS) >= 25


@pytest.mark.timeout(300)
@pytest.mark.parametrize("place", EXPRESSIONS)
def test_no_expression_backtracks(place: str) -> None:
    """Over texts of twenty thousand characters made to be hard for it; searched, as well as matched
    from the beginning.
    """
    expression = re.compile(EXPRESSIONS[place])
    began = time.process_time()
    for text in _texts(EXPRESSIONS[place]):
        expression.fullmatch(text)
        assert time.process_time() - began < SECONDS, (EXPRESSIONS[place], text[:20])
