"""What one installation sealed for one channel, it alone opens, and there alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.wire.envelope import derive

OURS = derive("a" * 16, "s" * 64, "omni")


@given(st.text(max_size=300))
def test_any_message_comes_back(message: str) -> None:
    """Whatever is in it."""
    assert OURS.open("c", OURS.seal("c", message)) == message


@given(st.text(max_size=120))
def test_any_text_that_was_not_sealed_is_refused(text: str) -> None:
    """By a process of an earlier version, or whoever writes into Redis."""
    with pytest.raises(ValueError, match="sealed"):
        OURS.open("c", text)


@pytest.mark.parametrize(
    "other",
    [
        derive("b" * 16, "s" * 64, "omni"),
        derive("a" * 16, "t" * 64, "omni"),
        derive("a" * 16, "s" * 64, "copy of omni"),
    ],
)
def test_another_installation_neither_hears_nor_is_heard(other: object) -> None:
    """Another name, another secret, or a copy of the database under another name."""
    assert isinstance(other, type(OURS))
    assert other.channel("company.1") != OURS.channel("company.1") or other.key != OURS.key
    with pytest.raises(ValueError, match="sealed"):
        OURS.open("c", other.seal("c", "m"))


def test_a_message_fits_its_channel_and_its_words_alone() -> None:
    """A company's events are no other company's, and nothing can be changed on the way."""
    sealed = OURS.seal("company.1", "events")
    for channel, text in (
        ("company.2", sealed),
        ("company.1", sealed[:-1]),
        ("company.1", sealed + " "),
        ("company.1", sealed[3:]),
    ):
        with pytest.raises(ValueError, match="sealed"):
            OURS.open(channel, text)


def test_the_name_tells_nothing_of_the_key() -> None:
    """It stands in the channels, which everybody on that Redis can list."""
    assert OURS.name not in OURS.key.hex()
    assert len(OURS.key) == 32
