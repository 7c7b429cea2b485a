"""Plots: the numbers are those of the values, and the paths stay within the picture."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.pages.plots import (
    HEIGHT,
    WIDTH,
    percentile,
    polylines,
    round_top,
)

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=200)


@given(VALUES, st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_percentile_is_one_of_the_values_and_covers_its_share(
    values: list[float], share: float
) -> None:
    """The smallest that does: one less would not."""
    found = percentile(values, share)
    assert found in values
    assert found is not None
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) < share * len(values)


def test_nothing_has_no_percentile() -> None:
    """Rather than zero, which would be a claim."""
    assert percentile([], 0.5) is None


@pytest.mark.parametrize(
    ("value", "top"), [(0.2, 1), (1, 1), (3, 5), (5.1, 10), (184, 200), (999, 1000)]
)
def test_an_axis_ends_at_a_round_number(value: float, top: int) -> None:
    """At or above the largest value."""
    assert round_top(value) == top


@given(st.lists(st.none() | st.floats(0, 500), min_size=2, max_size=60))
def test_a_line_is_broken_where_there_is_no_value(values: list[float | None]) -> None:
    """As many points as values, as many pieces as runs of them, all within the picture."""
    path = polylines(values, 500)
    points = re.findall(r"[ML]([\d.]+) ([\d.]+)", path)
    assert len(points) == sum(value is not None for value in values)
    assert path.count("M") == sum(
        value is not None and (n == 0 or values[n - 1] is None) for n, value in enumerate(values)
    )
    assert all(
        0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT and math.isfinite(float(y))
        for x, y in points
    )
