"""Problems are codes; their sentences stand in one catalogue for each language."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.problems import (
    LOCALE,
    Catalogue,
    Problem,
    catalogue,
    decode,
    encode,
    english,
    in_english,
)

_SERVER = Path(__file__).parents[2] / "server"
_TEXTS: dict[str, dict[str, str]] = {
    language: json.loads((LOCALE / f"{language}.json").read_text(encoding="utf-8"))
    for language in ("en", "bn")
}


def _placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def _made() -> Iterator[tuple[str, str, set[str]]]:
    """(where, code, names of the values) of each problem that the code makes."""
    for file in sorted(_SERVER.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "Problem.of"):
                continue
            where = f"{file.relative_to(_SERVER)}:{node.lineno}"
            code = node.args[0]
            assert isinstance(code, ast.Constant), f"{where}: write the code literally"
            yield where, str(code.value), {str(one.arg) for one in node.keywords}


def test_both_languages_have_the_same_codes() -> None:
    """A code that one language lacks would be shown as it is."""
    assert list(_TEXTS["en"]) == list(_TEXTS["bn"]) == sorted(_TEXTS["en"])


@pytest.mark.parametrize("code", _TEXTS["en"])
def test_both_languages_have_the_same_values(code: str) -> None:
    """A value that is missing or misspelt in one language would not be shown."""
    assert _placeholders(_TEXTS["en"][code]) == _placeholders(_TEXTS["bn"][code])


def test_each_problem_that_is_made_is_in_the_catalogue_with_its_values() -> None:
    """Also the other way round: what nobody makes is not translated for nothing."""
    made = list(_made())
    wrong = [
        (where, code, names)
        for where, code, names in made
        if code not in _TEXTS["en"] or names != _placeholders(_TEXTS["en"][code])
    ]
    named = {
        node.value
        for file in _SERVER.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert (wrong, set(_TEXTS["en"]) - named) == ([], set())


def test_nobody_recognises_a_sentence() -> None:
    """No catalogue but Chatwoot's own words has a sentence for its key."""
    assert all(re.fullmatch(r"[a-z_]+\.[a-z_]+", code) for code in _TEXTS["en"])


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "There is no message 7"),
        ("bn", "7 নম্বরের কোনো বার্তা নেই"),
    ],
)
def test_a_problem_is_said_in_the_language_of_who_reads(language: str, text: str) -> None:
    """With the end of a sentence, or without one."""
    problem = Problem.of("message.unknown", id=7)
    assert catalogue(language).render(problem) == text
    assert catalogue(language).sentence(problem) == text + ("." if language == "en" else "।")


def test_a_value_may_be_a_problem_or_words_of_chatwoot() -> None:
    """Each is said in the same language; braces in a value are no placeholders."""
    words = Catalogue({"a.b": "{why}: {what}", "a.c": "inner"}, words={"Not found": "absent"})
    inner = Problem.of("a.c")
    assert words.render(Problem.of("a.b", why=inner, what="{why}")) == "inner: {why}"
    assert words.render(Problem.of("a.b", why="Not found", what=3)) == "absent: 3"


def test_an_unknown_code_is_shown_with_its_values() -> None:
    """A row that a newer version wrote."""
    assert english(Problem.of("new.code", id=3, why=Problem.of("new.reason"))) == (
        "new.code (3, new.reason)"
    )


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "a sentence of an earlier version",
        '{"code": 3}',
        Problem.of("payload.no_json"),
        Problem.of("payload.no_integration", where=Problem.of("noun.account_alone", account=3)),
    ],
)
def test_a_row_gives_back_what_it_was_given(text: str | Problem | None) -> None:
    assert decode(encode(text)) == text


def test_what_is_too_long_for_its_column_is_kept_as_a_sentence() -> None:
    """Cut as sentences were, and shown in English."""
    problem = Problem.of("chatwoot.status", status="9" * 300)
    assert encode(problem, 60) == english(problem)[:60]
    assert decode(encode(problem, 60)) == english(problem)[:60]


def test_damaged_rows_are_shown_as_they_are() -> None:
    assert decode('{"code":"x","params":{') == '{"code":"x","params":{'


def test_a_body_has_sentences_in_the_place_of_problems() -> None:
    body = {"a": [Problem.of("message.unknown", id=7), 1], "b": None}
    assert in_english(body) == {"a": ["There is no message 7", 1], "b": None}
