"""Plots as points of an SVG polyline, and the numbers they are made of. Pure."""

import math
from collections.abc import Sequence

WIDTH, HEIGHT = 600, 120
_STEPS = (1, 2, 5)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that `share` of all do not exceed; None of none."""
    if not values:
        return None
    ordered = sorted(values)
    place = math.ceil(round(len(ordered) * share, 6)) - 1  # rounded: 100 * 0.07 is a little above 7
    return ordered[max(0, place)]


def round_top(value: float) -> int:
    """The end of an axis: 1, 2, 5, 10, 20, 50, ... at or above the value."""
    power = 1
    while True:
        for step in _STEPS:
            if step * power >= value:
                return step * power
        power *= 10


def polylines(values: Sequence[float | None], top: float) -> str:
    """A path over the whole width, newest on the right; where there is no value, the line is
    broken.
    """
    parts, is_drawing = [], False
    step = WIDTH / max(1, len(values) - 1)
    for n, value in enumerate(values):
        if value is None:
            is_drawing = False
            continue
        y = HEIGHT - min(value, top) / top * HEIGHT
        parts.append(f"{'L' if is_drawing else 'M'}{n * step:.1f} {y:.1f}")
        if not is_drawing:
            # a value between two gaps is a dot, which a line of no length would not be
            parts.append("h0.1")
        is_drawing = True
    return "".join(parts)
