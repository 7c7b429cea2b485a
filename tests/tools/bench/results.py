"""What was measured: rows of figures, some with a goal, and points for the plots."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """One figure. `baseline` is what it was divided by, measured in the same run; `goal` is what
    the figure is judged by.
    """

    name: str
    value: float
    unit: str
    baseline: str = ""
    goal: float | None = None
    is_most: bool = True  # the goal is the highest value that is good; else the lowest

    @property
    def is_met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value <= self.goal if self.is_most else self.value >= self.goal

    @property
    def goal_text(self) -> str:
        return "" if self.goal is None else f"{'≤' if self.is_most else '≥'} {figure(self.goal)}"


@dataclass(frozen=True)
class Plot:
    """Lines over a common x axis: name -> points."""

    file: str
    title: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, float]]]


@dataclass
class Result:
    """One bench."""

    name: str
    what: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    load_cpu: float = 0.0  # CPU of the load client by the wall clock, while it measured

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        baseline: str = "",
        most: float | None = None,
        least: float | None = None,
    ) -> None:
        goal = most if most is not None else least
        self.rows.append(Row(name, value, unit, baseline, goal, is_most=most is not None))


def figure(value: float) -> str:
    """Three digits that count."""
    if value != value:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def verdict(row: Row) -> str:
    return {None: "", True: "met", False: "not met"}[row.is_met]


def as_json(results: Sequence[Result], machine: dict[str, str]) -> dict[str, Any]:
    return {"machine": machine, "results": [asdict(result) for result in results]}
