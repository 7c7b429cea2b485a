"""English sentences told in another language: by their pattern, with their values."""

import pytest

from server.core.pages.page_sentences import Sentences

PATTERNS = {
    "{address} cannot be reached: {why}": "{address} ঠিকানায় পৌঁছানো যায় না: {why}",
    "Chatwoot has a problem ({status})": "Chatwoot-এ সমস্যা হচ্ছে ({status})",
    "Chatwoot has a problem (500)": "the more exact one",
    "{text}, and more": "{text}, আরও",
}


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("http://x cannot be reached: no route", "http://x ঠিকানায় পৌঁছানো যায় না: no route।"),
        (
            "http://x cannot be reached: Chatwoot has a problem (502)",
            "http://x ঠিকানায় পৌঁছানো যায় না: Chatwoot-এ সমস্যা হচ্ছে (502)।",
        ),
        ("Chatwoot has a problem (500)", "the more exact one।"),
        ("one, and more, and more", "one, আরও, আরও।"),
        ("Nobody knows this", "Nobody knows this।"),
        ("Is it known?", "Is it known?"),
        ("a\nb cannot be reached: {why}", "a\nb ঠিকানায় পৌঁছানো যায় না: {why}।"),
        ("", "।"),
    ],
)
def test_a_sentence_keeps_its_values(sentence: str, told: str) -> None:
    """Values may be sentences again, and hold anything; what is not known stays as it is."""
    assert Sentences(PATTERNS, "।").tell(sentence) == told


def test_words_have_no_end() -> None:
    """For tables and lists."""
    assert Sentences({}).words("as it is") == "as it is"
    assert Sentences({"a": "b"}).words("a") == "b"
