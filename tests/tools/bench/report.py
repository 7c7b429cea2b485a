"""Writes the figures into docs/performance.md, between its two marks, and their plots beside it;
the words around them are a person's.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.tools.bench.results import Result, figure, verdict
from tests.tools.bench.servers import ROOT
from tests.tools.bench.svg import bars, line_plot

_PAGE = ROOT / "docs" / "performance.md"
_IMAGES = ROOT / "docs" / "img"
_BEGIN, _END = "<!-- figures: written by make bench -->", "<!-- figures: end -->"


def write_report(results: Sequence[Result], machine: Mapping[str, str], *, is_quick: bool) -> None:
    """Replace the figures of the page. Raises ValueError when its marks are gone."""
    _IMAGES.mkdir(exist_ok=True)
    for plot in [plot for result in results for plot in result.plots]:
        _image(plot.file).write_text(line_plot(plot), encoding="utf-8")
    judged = [
        (row.name, row.value / row.goal if row.is_most else row.goal / row.value)
        for r in results
        for row in r.rows
        if row.goal
    ]
    _image("goals").write_text(
        bars("Measured by its goal (left of the line: met)", judged), encoding="utf-8"
    )
    page = _PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(_BEGIN)
    _, mark, after = rest.partition(_END)
    if not mark:
        raise ValueError(f"{_PAGE} has lost the marks between which the figures stand")
    body = "\n".join(_figures(results, machine, is_quick=is_quick))
    _PAGE.write_text(f"{before}{_BEGIN}\n{body}\n{_END}{after}", encoding="utf-8")


def _figures(results: Sequence[Result], machine: Mapping[str, str], *, is_quick: bool) -> list[str]:
    command = (
        "python -m tests.tools.bench --quick --write-docs"
        if is_quick
        else "make bench ARGS=--write-docs"
    )
    lines = [
        f"Measured {dt.datetime.now(dt.UTC):%Y-%m-%d} with `{command}`.",
        "",
        "| machine | |",
        "| --- | --- |",
    ]
    lines += [f"| {name} | {text} |" for name, text in machine.items()]
    lines += ["", "![Measured by its goal](img/performance-goals.svg)"]
    for result in results:
        lines += [
            "",
            f"### {result.name}",
            "",
            f"{result.what}.",
            "",
            "| figure | value | against | goal | |",
            "| --- | ---: | --- | --- | --- |",
        ]
        lines += [
            _row(
                row.name,
                f"{figure(row.value)} {row.unit}",
                row.baseline,
                row.goal_text,
                verdict(row),
            )
            for row in result.rows
        ]
        lines += [_row("CPU of the load client", f"{result.load_cpu:.0%}", "", "", "")]
        lines += ["", *result.notes]
        lines += [f"\n![{plot.title}](img/{_image(plot.file).name})" for plot in result.plots]
    return lines


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _image(name: str) -> Path:
    return _IMAGES / f"performance-{name}.svg"
