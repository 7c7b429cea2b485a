"""The form in which texts are searched."""

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.state import search_text
from server.core.state.entities import Contact, Message
from server.core.state.search_text import (
    CONVERSATION_MAX_BYTES,
    MESSAGE_MAX_BYTES,
    customer_form,
    message_form,
    phone_digits,
    search_form,
)
from tests.kit.spellings import PAIRS, respelt

_BENGALI = "".join(map(chr, range(0x0985, 0x09E4)))
_LETTERS = st.text(
    _BENGALI + string.ascii_letters + string.digits + "éÉñüßÅøабвйёЯ অআ১২৯ .,!?'", min_size=1
)


@pytest.mark.parametrize("name", PAIRS)
def test_what_was_written_is_found(name: str) -> None:
    """However it was written, and however it is looked for."""
    stored, typed = PAIRS[name]
    assert search_form(typed) in search_form(stored)
    assert search_form(stored) == search_form(search_form(stored))


@given(_LETTERS, st.randoms())
def test_every_spelling_has_the_same_form(text: str, chance: random.Random) -> None:
    """Composed and decomposed, in capitals, with joiners, in other digits and spaces."""
    assert search_form(respelt(text, chance)) == search_form(text)


@given(st.text(), st.text(), st.text())
def test_a_part_is_found_in_the_whole(before: str, part: str, after: str) -> None:
    """Whatever stands around it, where its letters are not taken apart."""
    assert search_form(part) in search_form(f"{before} {part} {after}")


@given(st.text())
def test_a_form_is_its_own_form(text: str) -> None:
    """So a form may be asked for; it has no line break, and can be stored anywhere."""
    form = search_form(text)
    assert search_form(form) == form
    assert not {"\n", "\x00"} & set(form)
    form.encode()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("🙏", "🍺"),
        ("\u09a1", "\u09dc"),
        ("\u0995\u09b2", "\u0995\u09be\u09b2"),
        ("か", "が"),
        ("a", "b"),
        ("৩", "৪"),
        ("50%", "500"),
    ],
)
def test_different_words_stay_different(one: str, other: str) -> None:
    """Signs that make another letter are no accents."""
    assert search_form(one) != search_form(other)


def test_a_deleted_message_is_found_by_nothing() -> None:
    """Not by what it said before, and not by what stands in its place."""
    message = Message(1, 1, "customer", "This message was deleted", 1)
    assert message_form(message) == "this message was deleted"
    assert (
        message_form(Message(1, 1, "customer", "This message was deleted", 1, is_deleted=True))
        == ""
    )


def test_a_customer_is_found_by_what_the_head_of_the_thread_shows() -> None:
    """Name, e-mail, telephone, identifier; a number also as it is dialled. Nothing is found across
    two of them.
    """
    form = customer_form(
        "Léa Moreau", Contact(1, "Lea.M@example.com", "+880 1712-345678", "CRM-55012")
    )
    for typed in ("lea moreau", "lea.m@EXAMPLE", "1712-345", "8801712345678", "crm-55012"):
        assert search_form(typed) in form
    assert search_form("moreau lea.m") not in form
    assert customer_form(None, None) == ""


@pytest.mark.parametrize(
    ("typed", "digits"),
    [
        ("01712-345678", "01712345678"),
        ("০১৭১২ ৩৪৫৬৭৮", "01712345678"),
        ("(017) 12", "01712"),
        ("1-2", None),
        ("order 55012", None),
        ("", None),
    ],
)
def test_a_telephone_number_is_known(typed: str, digits: str | None) -> None:
    """However it is grouped; a few digits are none."""
    assert phone_digits(typed) == digits


def test_forms_are_bounded() -> None:
    """By bytes, in whole letters; also where one letter becomes eighteen. What is remembered of
    letters is, too.
    """
    for letter in ("\ufdfa", "\ufdfa\u09df"):
        form = message_form(Message(1, 1, "customer", letter * 150_000, 1))
        assert MESSAGE_MAX_BYTES - 4 <= len(form.encode()) <= MESSAGE_MAX_BYTES
        assert len(customer_form(letter * 5_000, None).encode()) <= CONVERSATION_MAX_BYTES
    search_form("".join(map(chr, range(0x4E00, 0x4E00 + 25_000))))
    assert len(search_text._folds) <= 20_000
