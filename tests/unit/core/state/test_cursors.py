"""Where a client stands: every verdict, and nothing but verdicts or ValueError for whatever is sent
as a cursor.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.identifiers import MAX_SAFE_INTEGER
from server.core.state.cursors import (
    Cursor,
    Mode,
    Stream,
    Verdict,
    is_older,
    judge,
    parse_cursor,
)

STREAM = Stream("e1", head=10, floor=4)


@pytest.mark.parametrize(
    ("cursor", "mode", "reason"),
    [
        (None, Mode.RESET, "new"),
        (Cursor("e2", 10), Mode.RESET, "epoch"),
        (Cursor("e1", 11), Mode.RESET, "ahead"),
        (Cursor("e1", 3), Mode.RESET, "too_old"),
        (Cursor("e1", 4), Mode.REPLAY, None),
        (Cursor("e1", 9), Mode.REPLAY, None),
        (Cursor("e1", 10), Mode.LIVE, None),
    ],
)
def test_each_place_has_its_verdict(cursor: Cursor | None, mode: Mode, reason: str | None) -> None:
    """A cursor at the floor is still good: the events after it are all there."""
    assert judge(cursor, STREAM) == Verdict(mode, reason)


def test_an_empty_log_is_live_from_its_start() -> None:
    """A company to which nothing ever happened."""
    assert judge(Cursor("e1", 0), Stream("e1", 0, 0)).mode is Mode.LIVE


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ".",
            "e1",
            "e1.",
            ".5",
            "e1.-1",
            "e1.+1",
            "e1.1e3",
            "e1.1.2",
            "e 1.5",
            "é.5",
            "e1.٥",
            "e1.²",
            "e1.5\n",
            "e1.' OR 1=1",
        ),
        *(f"e1.{2**63}", f"e1.{MAX_SAFE_INTEGER + 1}", "a" * 1_000_000, f"{'a' * 63}.5"),
    ],
    ids=range(19),
)
def test_garbage_is_no_cursor(text: str) -> None:
    """Nothing of it reaches the database."""
    with pytest.raises(ValueError, match="no cursor"):
        parse_cursor(text)


@given(st.text())
def test_any_text_is_a_cursor_or_a_value_error(text: str) -> None:
    """And a cursor has numbers a client can count to."""
    try:
        cursor = parse_cursor(text)
    except ValueError:
        return
    assert 0 <= cursor.seq <= MAX_SAFE_INTEGER


@given(st.text("0123456789abcdef", min_size=1, max_size=16), st.integers(0, MAX_SAFE_INTEGER))
def test_a_cursor_reads_back(epoch: str, seq: int) -> None:
    """What we hand out is what we take."""
    assert parse_cursor(str(Cursor(epoch, seq))) == Cursor(epoch, seq)
    assert Stream(epoch, seq, 0).cursor == str(Cursor(epoch, seq))


@pytest.mark.parametrize(
    ("epoch", "other", "older"),
    [("e1", "e2", True), ("e2", "e1", False), ("e1", "e1", False), ("f" * 12, "0" * 16, True)],
)
def test_an_epoch_that_began_before_another(epoch: str, other: str, older: bool) -> None:
    """By the time in its name; the shorter names of earlier versions come before all others."""
    assert is_older(epoch, other) is older
