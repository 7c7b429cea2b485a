"""Dashboard and alert rules speak of metrics that exist, with labels they have."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from server import metrics

FOLDER = Path(__file__).parents[2] / "docs" / "grafana"
OF_PROMETHEUS = {"le", "job", "instance"}


def expressions() -> list[str]:
    """All PromQL of both files."""
    board = json.loads((FOLDER / "omni-inbox.json").read_text())
    shown = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return shown + re.findall(r"^ +expr: (.+)$", (FOLDER / "alerts.yml").read_text(), re.MULTILINE)


def known() -> dict[str, set[str]]:
    """Names as Prometheus stores them, with their labels."""
    found: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            [family] = metric.describe()
            endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(
                family.type, ("",)
            )
            found |= {family.name + ending: set(metric._labelnames) for ending in endings}
    return found


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_speaks_of_what_there_is(expression: str) -> None:
    """A renamed metric would show an empty panel, and an alert that never comes."""
    names = set(re.findall(r"omni_inbox_\w+", expression))
    assert names <= known().keys()
    labels = set(re.findall(r"(\w+)=~?\"", expression))
    for group in re.findall(r"by \(([^)]*)\)", expression):
        labels |= {label.strip() for label in group.split(",")}
    assert labels <= OF_PROMETHEUS.union(*(known()[name] for name in names))


def test_every_metric_is_on_the_dashboard() -> None:
    """Else nobody would ever see it; a database call's count is its histogram's."""
    text = " ".join(expressions())
    shown = {name for name in known() if name in text}
    families = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in shown}
    missing = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in known()} - families
    assert missing == {"omni_inbox_database_calls"}
