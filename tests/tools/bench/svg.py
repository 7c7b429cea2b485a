"""Two kinds of plots as SVG text, readable on light and dark pages."""

import math
from collections.abc import Sequence
from html import escape

from tests.tools.bench.results import Plot, figure

_WIDTH, _LEFT, _RIGHT, _TOP = 720, 70, 20, 40
_COLOURS = ("#2563eb", "#d97706", "#059669", "#9333ea")
_GREY = "#808080"


def line_plot(plot: Plot) -> str:
    """Lines over a logarithmic x axis, y from zero."""
    height, bottom = 320, 270
    xs = sorted({x for points in plot.lines.values() for x, _ in points})
    most = max((y for points in plot.lines.values() for _, y in points), default=1) * 1.1
    low, high = math.log(xs[0]), math.log(xs[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        share = 0.5 if high == low else (math.log(x) - low) / (high - low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT), bottom - y / most * (bottom - _TOP)

    parts = [
        _text(_WIDTH / 2, 20, plot.title, size=15),
        _text(_WIDTH / 2, height - 8, plot.x),
        _text(14, _TOP - 12, plot.y, anchor="start"),
    ]
    for step in range(5):
        value = most / 4 * step
        y = place(xs[0], value)[1]
        parts.append(
            f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" '
            f'stroke="{_GREY}" stroke-opacity=".3"/>'
        )
        parts.append(_text(_LEFT - 8, y + 4, figure(value), anchor="end"))
    parts += [_text(place(x, 0)[0], bottom + 18, figure(x)) for x in xs]
    for (name, points), colour in zip(plot.lines.items(), _COLOURS, strict=False):
        places = [place(x, y) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), (_, value) in zip(places, points, strict=True):
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
            parts.append(_text(x, y - 8, figure(value)))
        parts.append(_text(_WIDTH - _RIGHT, 36, name, anchor="end", colour=colour))
    return _svg(height, parts)


def bars(title: str, values: Sequence[tuple[str, float]]) -> str:
    """One bar for each figure, 1 being its goal, cut off at three times the goal."""
    left, row, cut = 330, 22, 3.0
    height = _TOP + row * len(values) + 20
    scale = (_WIDTH - left - 60) / cut
    parts = [_text(_WIDTH / 2, 20, title, size=15)]
    for number, (name, value) in enumerate(values):
        y = _TOP + row * number
        colour = _COLOURS[2] if value <= 1 else _COLOURS[1]
        parts.append(_text(left - 8, y + 14, name, anchor="end"))
        parts.append(
            f'<rect x="{left}" y="{y + 3}" width="{max(1.0, min(value, cut) * scale):.1f}" '
            f'height="{row - 8}" fill="{colour}"/>'
        )
        parts.append(
            _text(
                left + max(0.0, min(value, cut)) * scale + 6, y + 14, figure(value), anchor="start"
            )
        )
    goal = left + scale
    parts.append(
        f'<line x1="{goal:.1f}" y1="{_TOP - 6}" x2="{goal:.1f}" y2="{height - 14}" '
        f'stroke="{_GREY}" stroke-dasharray="4 3"/>'
    )
    return _svg(height, parts)


def _text(
    x: float, y: float, text: str, *, size: int = 12, anchor: str = "middle", colour: str = _GREY
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{colour}">{escape(text)}</text>'
    )


def _svg(height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" '
        'font-family="system-ui, sans-serif">'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"
