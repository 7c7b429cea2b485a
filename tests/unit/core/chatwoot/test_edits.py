"""An edit is another text, not the same one in another dress."""

import pytest

from server.core.chatwoot.edits import is_other_text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Two please", "Three please"),
        ("Two please", "Two please!"),
        ("", "a text after all"),
        ("আমি আসছি", "আমি আসব"),
        ("<p>Two please</p>", "<p>Three please</p>"),
        ("<p>Two please</p>", "Three please"),
    ],
)
def test_another_text_is_told_from_the_one_before(before: str, after: str) -> None:
    """Also where only a sign differs, and between a text and the HTML of another."""
    assert is_other_text(before, after)
    assert is_other_text(after, before)


@pytest.mark.parametrize(
    ("before", "after", "content_type"),
    [
        ("same", "same", "text"),
        ("a line  \n", "a line", "text"),
        ("one\\\ntwo", "one\ntwo", "text"),
        (
            "**Hello** [there](https://a.example) & you",
            '<p><b>Hello</b> <a href="https://a.example">there</a> &amp; you</p>',
            "text",
        ),
        ("How was it?", "How was it? https://chat.example/survey/1", "input_csat"),
    ],
)
def test_the_same_text_in_another_dress_is_no_edit(
    before: str, after: str, content_type: str
) -> None:
    """White space, Chatwoot's way to write line breaks, the HTML its older webhooks sent, the link
    of a survey.
    """
    assert not is_other_text(before, after, content_type)
    assert not is_other_text(after, before, content_type)
