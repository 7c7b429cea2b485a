"""Numbers of rows, read from text and from JSON."""

import pytest

from server.core.identifiers import MAX_ID, is_id, parse_digits, parse_id


@pytest.mark.parametrize(
    "text",
    ["", " 1", "+1", "-1", "1.0", "1_0", "0x1", "²", "١٢", "９", str(MAX_ID + 1), "9" * 5_000],
    ids=range(12),
)
def test_text_that_is_no_number_of_a_row_is_none(text: str) -> None:
    """Also digits that `str.isdigit` takes and `int` refuses, and more of them than `int` reads."""
    assert parse_digits(text) is None
    assert parse_id(text) is None


def test_a_number_is_read_up_to_its_bound() -> None:
    """The bound itself is a number that can be had."""
    assert parse_digits("0") == 0
    assert parse_digits(str(MAX_ID)) == MAX_ID
    assert parse_digits("500", most=500) == 500
    assert parse_digits("501", most=500) is None


@pytest.mark.parametrize("value", [0, -1, True, False, 1.0, None, [], MAX_ID + 1, "0"])
def test_what_no_row_has_is_no_id(value: object) -> None:
    """JSON has truth values and fractions where an id is expected."""
    assert not is_id(value)
    assert parse_id(value) is None


def test_an_id_may_be_written_as_text() -> None:
    """Some of Chatwoot's payloads and some tokens do."""
    assert parse_id("17") == parse_id(17) == 17
