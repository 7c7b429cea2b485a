"""Times: everything Chatwoot and its imitators send becomes microseconds, everything else nothing;
the wire has milliseconds and `Z`.
"""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.times import (
    SECOND,
    iso,
    iso_or_none,
    parse_time,
    parse_version,
    rounded,
)
from server.db.schema.columns import time_from_column, time_to_column

MOMENT_US = 1_784_365_265_204_000


@pytest.mark.parametrize(
    ("value", "moment_us"),
    [
        (1784365265, 1_784_365_265_000_000),
        (1784365265.204, MOMENT_US),
        (1784365265.2044, MOMENT_US),
        ("1784365265", 1_784_365_265_000_000),
        (" 1784365265.204 ", MOMENT_US),
        ("2026-07-18T09:01:05.204Z", MOMENT_US),
        ("2026-07-18T11:01:05.204+02:00", MOMENT_US),
        ("2026-07-18 09:01:05 UTC", 1_784_365_265_000_000),
        ("2026-07-18T09:01:05.204", MOMENT_US),
        (1784365265204, MOMENT_US),
        ("1784365265204", MOMENT_US),
        (1784365265204000, MOMENT_US),
        ("Sat, 18 Jul 2026 09:01:05 +0000", 1_784_365_265_000_000),
        ("Sat, 18 Jul 2026 11:01:05 +0200", 1_784_365_265_000_000),
        ("Sat, 18 Jul 2026 09:01:05 GMT", 1_784_365_265_000_000),
    ],
)
def test_a_time_in_any_form_is_read(value: object, moment_us: int) -> None:
    """Numbers of any unit, digits, ISO 8601 with and without a zone, the old documentation's form,
    and a mail's.
    """
    assert parse_time(value) == moment_us


@pytest.mark.parametrize(
    ("value", "version_us"),
    [
        (1795846685.998274, 1_795_846_685_998_274),
        ("1795846685.998274", 1_795_846_685_998_274),
        (1795843928.6262422, 1_795_843_928_626_242),
        (1795846685998.274, 1_795_846_685_998_274),
        ("2026-07-18T09:01:05.204331Z", MOMENT_US + 331),
        (1784365265.204, MOMENT_US + 1),
        ("2026-07-18T09:01:05.204Z", MOMENT_US),
        (1784365265, 1_784_365_265_000_000),
        (None, None),
        (0.0, None),
        (float("nan"), None),
    ],
)
def test_a_version_keeps_its_microseconds(value: object, version_us: int | None) -> None:
    """As Chatwoot gives them, in a float, and never a whole millisecond there: that was rounded."""
    assert parse_version(value) == version_us
    if version_us is not None and not isinstance(value, str):
        assert parse_time(value) == rounded(version_us)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        0.0,
        -1,
        "0",
        "",
        "yesterday",
        "Sat, 99 Jul 2026 09:01:05 +0000",
        "Sat, 18 Jul 2026 09:01:05 +9900",
        "2026-13-01",
        10**14,
        10**17,
        [],
        {},
        float("nan"),
        float("inf"),
        253_402_300_800,
        "0999-01-01T00:00:00Z",
    ],
)
def test_what_is_no_time_is_none(value: object) -> None:
    """Zero is Chatwoot's "never"; before 1970 and after the last year datetime knows nothing was
    ever sent.
    """
    assert parse_time(value) is None


@pytest.mark.parametrize(
    "value", [10**400, 1e306, 1.7e308, "1e306", "9" * 400, -(10**400), 2**63], ids=range(7)
)
def test_numbers_beyond_any_date_are_none(value: object) -> None:
    """They overflow a float, or what rounds it; they must not overflow us."""
    assert parse_time(value) is None


def test_every_accepted_time_leaves_room_around_it() -> None:
    """A look for twins goes a second to both sides of it, and the column must still hold that."""
    latest_us = max(parse_time(second) or 0 for second in range(253_402_300_799, 0, -100_000_000))
    assert time_to_column(latest_us + SECOND)
    assert parse_time("9999-12-31T23:59:59.999999Z") is None
    assert time_to_column(1 - SECOND)


@given(
    st.one_of(
        st.integers(),
        st.floats(),
        st.text(),
        st.datetimes(timezones=st.timezones()).map(dt.datetime.isoformat),
    )
)
def test_any_value_is_a_moment_or_none(value: object) -> None:
    """Never an exception, and what comes out can be written and stored."""
    moment_us = parse_time(value)
    assert moment_us is None or (
        moment_us > 0
        and iso(moment_us)
        and time_from_column(time_to_column(moment_us)) == moment_us
    )


# naive on purpose: UTC is added
@given(st.datetimes(min_value=dt.datetime(1970, 1, 2), max_value=dt.datetime(9998, 1, 1)))  # noqa: DTZ001
def test_wire_form_reads_back_to_the_millisecond(moment: dt.datetime) -> None:
    """What we write is what we would read."""
    # as above
    moment_us = (moment - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)  # noqa: DTZ001
    assert parse_time(iso(moment_us)) == moment_us // 1000 * 1000


def test_never_is_null_on_the_wire() -> None:
    """Rows older than this program may lack a time."""
    assert iso_or_none(None) is None
    assert iso_or_none(MOMENT_US) == "2026-07-18T09:01:05.204Z"
