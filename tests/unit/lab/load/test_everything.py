"""The table of all scenarios: what it says of a clean run, of one that is not, and of one that came
to no report.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from server.lab.load.scenario_plan import read_scenario
from tests.tools.load import everything
from tests.tools.load.everything import (
    NAMES,
    PAGE,
    Played,
    is_clean,
    play_all,
    write_table,
)

_MARKS = (
    "before\n<!-- scenarios: written by make load SCENARIO=all -->\nold\n<!-- scenarios: end "
    "-->\nafter\n"
)
_MOST_MINUTES = 35


def facts(**changes: Any) -> dict[str, Any]:
    delays = {"count": 9, "p50Ms": 5.62, "p99Ms": 1234.0, "mostMs": 2500.0}
    found = {
        "clean": True,
        "invariants": {"lost": 0, "doubled": 0},
        "unfinished": [],
        "harnessAtLimit": False,
        "plan": {"agents": 2000, "pollers": 50},
        "delivered": 123456,
        "delays": delays,
        "poll_delays": delays | {"p50Ms": 4000.0},
        "connects": {"count": 9, "p99Ms": 80.0},
        "resetsCounts": {"epoch": 2},
        "server": {"cpu_share": 0.414, "memory_bytes": 143_000_000.0},
        "harnessCpu": {"chatwoot": 0.1, "agents 1": 0.25},
    }
    return found | changes


def cells(page: str, name: str) -> list[str]:
    [row] = [line for line in page.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def written(path: Path, *played: Played) -> str:
    path.write_text(_MARKS)
    write_table(played, is_short=False, page=path)
    return path.read_text()


def test_a_row_has_what_is_worth_comparing(tmp_path: Path) -> None:
    """And what stands around the marks stays."""
    page = written(tmp_path / "page.md", Played("steady-day", facts(), 0.31))
    assert cells(page, "steady-day") == [
        "2,000 + 50", "123,456", "clean", "5.62 ms", "1.2 s", "2.5 s", "80 ms", "2", "41%", "143 MB", "35%", "31%",  # noqa: E501
    ]  # fmt: skip
    assert page.startswith("before\n")
    assert page.endswith("-->\nafter\n")
    assert "old" not in page


def test_without_agents_the_delays_are_those_of_pollers(tmp_path: Path) -> None:
    """Else the row of the pollers would be empty."""
    page = written(
        tmp_path / "page.md", Played("pollers-only", facts(plan={"agents": 0, "pollers": 500}), 0.0)
    )
    assert cells(page, "pollers-only")[3] == "4.0 s"


def test_what_was_not_clean_says_why(tmp_path: Path) -> None:
    """In the table, not in a footnote."""
    broken = facts(
        clean=False,
        invariants={"lost": 3, "doubled": 0},
        unfinished=["2 agents were not connected at the end"],
    )
    page = written(
        tmp_path / "page.md", Played("viral-post", broken, 0.0), Played("steady-day", None, 0.5)
    )
    assert cells(page, "viral-post")[2] == "lost 3; 2 agents were not connected at the end"
    assert cells(page, "steady-day")[2] == "came to no report"


def test_a_scenario_without_a_report_holds_up_no_other(tmp_path: Path) -> None:
    """All are played, and the whole is not clean."""
    report = tmp_path / "second.json"
    report.write_text(json.dumps([facts()]))
    played = play_all(lambda name: tmp_path / f"{name}.json", ["first", "second"])
    assert [one.facts is None for one in played] == [True, False]
    assert not is_clean(played)
    assert is_clean(played[1:])


def test_a_page_without_its_marks_is_left_alone(tmp_path: Path) -> None:
    """Nothing is written to a place that nobody chose."""
    path = tmp_path / "page.md"
    path.write_text("no marks")
    with pytest.raises(ValueError, match="lost the marks"):
        write_table([], is_short=False, page=path)
    assert everything.PAGE.read_text().count("<!-- scenarios:") == 2


def test_all_scenarios_fit_into_half_an_hour() -> None:
    """A person waits for it; starting, settling and clearing take about a quarter of a minute
    each.
    """
    plans = [
        read_scenario(PAGE.parents[1] / "tests" / "load" / "scenarios" / f"{name}.toml")
        for name in NAMES
    ]
    assert len(plans) > 8
    assert sum(plan.ramp + plan.duration + 15 for plan in plans) < _MOST_MINUTES * 60
