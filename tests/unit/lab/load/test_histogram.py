"""Delays in buckets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.lab.load.histogram import Histogram

DELAYS = st.lists(st.floats(0.000_06, 100), min_size=1, max_size=200)


@given(DELAYS, st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_right_to_five_per_cent(delays: list[float], share: float) -> None:
    """Whatever the delays are."""
    found = Histogram()
    for delay in delays:
        found.add(delay)
    exact = sorted(delays)[max(0, -int(-share * len(delays) // 1) - 1)]
    value = found.percentile(share)
    assert value is not None
    assert exact * 0.999 <= value <= exact * 1.051


@given(DELAYS, DELAYS)
def test_merged_is_as_if_counted_together(first: list[float], second: list[float]) -> None:
    """Processes count apart."""
    together, apart, other = Histogram(), Histogram(), Histogram()
    for delay in first:
        together.add(delay)
        apart.add(delay)
    for delay in second:
        together.add(delay)
        other.add(delay)
    apart.merge(other.counts)
    assert apart.summary() == together.summary()


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.000_01])
def test_what_is_too_short_falls_into_the_first_bucket(seconds: float) -> None:
    """Clocks of two processes may differ by a few microseconds."""
    found = Histogram()
    found.add(seconds)
    assert found.counts == {0: 1}


def test_nothing_counted_has_no_percentile() -> None:
    """None, not zero."""
    assert Histogram().percentile(0.5) is None
