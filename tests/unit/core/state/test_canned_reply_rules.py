"""Canned replies: what may be a shortcut, and what a text."""

import pytest

from server.core.state.canned_reply_rules import (
    MAX_CONTENT_CHARACTERS,
    checked_content,
    checked_shortcut,
)
from server.errors import BadRequest


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Hello", "hello"),
        ("  refund-2 ", "refund-2"),
        ("ধন্যবাদ", "ধন্যবাদ"),
        ("cafe\u0301", "caf\u00e9"),
        ("x" * 40, "x" * 40),
    ],
)
def test_shortcuts_have_one_form(given: str, kept: str) -> None:
    """Composed, lower case, without space around; vowel signs are part of a word."""
    assert checked_shortcut(given) == kept


@pytest.mark.parametrize(
    "given", ["", "  ", "two words", "a/b", "a\nb", "a\x00", "\ud800", "x" * 41, None, 5, ["a"]]
)
def test_what_is_no_word_is_no_shortcut(given: object) -> None:
    """Nor is what ends a word, or cannot be seen."""
    with pytest.raises(BadRequest):
        checked_shortcut(given)


def test_a_text_is_kept_as_it_is() -> None:
    """Line breaks and space included."""
    assert checked_content(" Dear customer,\n\nthank you. ") == " Dear customer,\n\nthank you. "


@pytest.mark.parametrize("given", ["", " \n ", "x" * (MAX_CONTENT_CHARACTERS + 1), None, 7])
def test_what_is_no_text_is_refused(given: object) -> None:
    """Nothing, or too much."""
    with pytest.raises(BadRequest):
        checked_content(given)
