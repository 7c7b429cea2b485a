"""What stands in a message's bubble, in the words of the page's language."""

from datetime import UTC, datetime
from typing import Any

import pytest

from server.core.pages.page_forms import message_form
from server.core.pages.page_locale import Locale
from server.core.pages.page_nodes import html
from server.core.pages.page_thread import arrange
from tests.web.test_page_texts import BENGALI, ENGLISH, message

NOW = datetime(2026, 7, 18, 9, 1, tzinfo=UTC)
GROUP = {"email": "120363000@g.us", "phone": None, "identifier": None}


def shown(locale: Locale, content: str, kind: str = "text", **more: Any) -> str:
    form = message_form(message(1, NOW.isoformat(), content=content, kind=kind, **more), locale)
    return html([*form.before, *form.body, *form.after])


def test_a_link_of_a_mail_is_pressed_by_its_words() -> None:
    """Chatwoot writes the links of a mail in HTML as markdown; nothing else in a mail is any."""
    words = "*Look*: [what I **chose**](https://shop.example/o?a=1&b=2) - [bad](javascript:x)"
    text = shown(ENGLISH, words, "email")
    assert text == (
        '<p dir="auto">*Look*: <a href="https://shop.example/o?a=1&amp;b=2" target="_blank" '
        'rel="noopener noreferrer nofollow" dir="auto" title="https://shop.example/o?a=1&amp;b=2">'
        "what I **chose**</a> - [bad](javascript:x)</p>"
    )


@pytest.mark.parametrize(
    ("words", "kind", "bengali"),
    [
        ("Shared post", "link", "শেয়ার করা পোস্ট"),
        ("Shared story", "link", "শেয়ার করা স্টোরি"),
        ("lea.m mentioned you in the story: ", "image", "আপনাকে উল্লেখ করা স্টোরি"),
    ],
)
def test_chatwoot_s_words_for_what_is_shared_are_said_in_the_page_s_language(
    words: str, kind: str, bengali: str
) -> None:
    """In the bubble and in a row; the same words of a customer's own stay."""
    assert bengali in shown(BENGALI, words, kind)
    assert BENGALI.line(kind, words) == bengali
    assert words.strip() in shown(BENGALI, words)
    assert BENGALI.line("text", words) == words


@pytest.mark.parametrize(
    "words",
    [
        "Pay me back! Your boss mentioned you in the story:",
        "Hello\nlea mentioned you in the story:",
    ],
)
def test_what_a_customer_writes_below_a_picture_is_not_taken_for_chatwoot_s_words(
    words: str,
) -> None:
    """There is one word before them, the name of an account; all else is somebody's own text."""
    assert words.split()[0] in shown(BENGALI, words, "image")
    assert BENGALI.line("image", words) == words


def test_a_story_s_sender_is_named_where_the_channel_says_a_name() -> None:
    """For an answer to a story of the company's own it says the account's number."""
    assert "lea.m" in shown(ENGLISH, "x", details={"story": {"url": None, "sender": "lea.m"}})
    assert "900700" not in shown(ENGLISH, "x", details={"story": {"sender": "900700"}})


def test_a_translation_names_its_language() -> None:
    """One that the catalogue does not know by its code."""
    of = {"translations": [{"language": "en", "text": "a"}, {"language": "xx", "text": "b"}]}
    assert "অনুবাদ (ইংরেজি)" in shown(BENGALI, "x", details=of)
    assert "অনুবাদ (xx)" in shown(BENGALI, "x", details=of)


@pytest.mark.parametrize(("contact", "second"), [(GROUP, "Shuvo"), (None, "Weavers")])
def test_those_who_write_in_a_group_have_their_own_names(
    contact: dict[str, Any] | None, second: str
) -> None:
    """A conversation of one customer has their present name everywhere."""
    names = ("Weavers", "Shuvo")
    said = [message(n, NOW.isoformat(), senderName=name) for n, name in enumerate(names, 1)]
    group = {"channel": "Channel::Whatsapp", "externalUserName": "Weavers", "contact": contact}
    items = arrange(said, 0, ENGLISH, conversation=group)
    assert [item.sender for item in items] == ["Weavers", second]


def test_a_group_s_number_is_no_address() -> None:
    """Nobody can write to it: the head of the thread says the status."""
    assert ENGLISH.contact({"status": "Open", "contact": GROUP}) == "Open"
