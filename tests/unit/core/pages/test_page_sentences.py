"""Problems said in the language of a page, with their values."""

import pytest

from server.problems import Catalogue, Problem, Text

TEXTS = {
    "chatwoot.away": "{address} ঠিকানায় পৌঁছানো যায় না: {why}",
    "chatwoot.broken": "Chatwoot-এ সমস্যা হচ্ছে ({status})",
    "text.more": "{text}, আরও",
    "text.question": "জানা আছে?",
}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            Problem("chatwoot.away", {"address": "http://x", "why": "no route"}),
            "http://x ঠিকানায় পৌঁছানো যায় না: no route।",
        ),
        (
            Problem(
                "chatwoot.away",
                {"address": "http://x", "why": Problem("chatwoot.broken", {"status": 502})},
            ),
            "http://x ঠিকানায় পৌঁছানো যায় না: Chatwoot-এ সমস্যা হচ্ছে (502)।",
        ),
        (
            Problem("text.more", {"text": Problem("text.more", {"text": "one"})}),
            "one, আরও, আরও।",
        ),
        ("Nobody knows this", "Nobody knows this।"),
        (Problem("text.question"), "জানা আছে?"),
        (
            Problem("chatwoot.away", {"address": "a\nb", "why": "{why}"}),
            "a\nb ঠিকানায় পৌঁছানো যায় না: {why}।",
        ),
        ("", "।"),
    ],
)
def test_a_sentence_keeps_its_values(text: Text, said: str) -> None:
    """Values may be problems again, and hold anything; a plain text stays as it is."""
    assert Catalogue(TEXTS, "।").sentence(text) == said


def test_words_have_no_end() -> None:
    """For tables and lists."""
    assert Catalogue({}).render("as it is") == "as it is"
    assert Catalogue({"a.b": "b"}).render(Problem("a.b")) == "b"
