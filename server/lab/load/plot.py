"""Plots as inline SVG, without script, readable on light and dark pages."""

from collections.abc import Mapping, Sequence
from html import escape

from server.lab.load.histogram import Histogram, upper_edge

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 240, 64, 16, 36, 200
_COLOURS = ("#2563eb", "#d97706", "#059669", "#9333ea")
_GREY = "#808080"

Points = Sequence[tuple[float, float | None]]


def lines(title: str, unit: str, series: Mapping[str, Points]) -> str:
    """Values over seconds, both axes from zero; where a value is None the line is broken."""
    most_x = max((x for points in series.values() for x, _ in points), default=1) or 1
    most_y = (
        max((y for points in series.values() for _, y in points if y is not None), default=1) or 1
    ) * 1.05
    parts = [_text(_LEFT, 18, f"{title}, {unit}", anchor="start", size=14), *_grid(most_y)]
    parts += [
        _text(_x(most_x / 4 * step / most_x), _BOTTOM + 18, f"{most_x / 4 * step:,.0f} s")
        for step in range(5)
    ]
    for (name, points), colour, place in zip(series.items(), _COLOURS, range(4), strict=False):
        for piece in _pieces(points):
            path = " ".join(f"{_x(x / most_x):.1f},{_y(y / most_y):.1f}" for x, y in piece)
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
            )
        parts.append(_text(_WIDTH - _RIGHT - 110 * place, 18, name, anchor="end", colour=colour))
    return _svg(parts)


def histogram(title: str, found: Histogram) -> str:
    """Shares by delay, the axis in equal steps of a twentieth more each."""
    buckets = sorted(found.counts)
    if not buckets:
        return ""
    low, high = buckets[0], max(buckets[-1], buckets[0] + 1)
    most = max(found.counts.values()) / found.total * 1.05
    width = (_WIDTH - _LEFT - _RIGHT) / (high - low + 1)
    parts = [
        _text(_LEFT, 18, f"{title}, share of {found.total:,}", anchor="start", size=14),
        *_grid(most, percent=True),
    ]
    for bucket in buckets:
        share = found.counts[bucket] / found.total
        top = _y(share / most)
        left = _LEFT + width * (bucket - low)
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(1.0, width - 1):.1f}" '
            f'height="{_BOTTOM - top:.1f}" fill="{_COLOURS[0]}"/>'
        )
    for step in range(5):
        bucket = low + (high - low) * step // 4
        parts.append(
            _text(
                _LEFT + width * (bucket - low + 0.5),
                _BOTTOM + 18,
                f"{number(upper_edge(bucket) * 1e3)} ms",
            )
        )
    return _svg(parts)


def bars(
    title: str, pairs: Sequence[tuple[str, float, float, str, str]], names: tuple[str, str]
) -> str:
    """For each row (name, first, second, text of the first, text of the second): two bars, scaled
    to the larger of the row.
    """
    left, row = 300, 50
    scale = _WIDTH - left - 130
    parts = [_text(_WIDTH / 2, 18, title, size=15)]
    parts += [
        _text(left + 130 * place, 40, name, anchor="start", colour=_COLOURS[1 - place])
        for place, name in enumerate(names)
    ]
    for number, (name, first, second, first_text, second_text) in enumerate(pairs):
        top = 52 + row * number
        most = max(first, second) or 1
        parts.append(_text(left - 10, top + 24, name, anchor="end"))
        for place, (value, text) in enumerate(((first, first_text), (second, second_text))):
            length = max(1.0, value / most * scale)
            parts.append(
                f'<rect x="{left}" y="{top + 18 * place + 2}" width="{length:.1f}" height="14" '
                f'fill="{_COLOURS[1 - place]}"/>'
            )
            parts.append(_text(left + length + 6, top + 18 * place + 13, text, anchor="start"))
    return _svg(parts, 60 + row * len(pairs))


def number(value: float) -> str:
    """Three figures, or all of those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _pieces(points: Points) -> list[list[tuple[float, float]]]:
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            pieces.append([])
        else:
            pieces[-1].append((x, y))
    return [piece for piece in pieces if piece]


def _grid(most: float, *, percent: bool = False) -> list[str]:
    parts = []
    for step in range(5):
        value, y = most / 4 * step, _y(step / 4)
        parts.append(
            f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" '
            f'stroke="{_GREY}" stroke-opacity=".3"/>'
        )
        parts.append(
            _text(_LEFT - 6, y + 4, f"{value:.1%}" if percent else number(value), anchor="end")
        )
    return parts


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _BOTTOM - share * (_BOTTOM - _TOP)


def _text(
    x: float, y: float, text: str, *, size: int = 12, anchor: str = "middle", colour: str = _GREY
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{colour}">{escape(text)}</text>'
    )


def _svg(parts: Sequence[str], height: float = _HEIGHT) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" '
        'font-family="system-ui, sans-serif" role="img">'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"
