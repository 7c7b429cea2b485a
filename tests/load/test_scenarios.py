"""Each scenario in its short form, as a user runs it: the installed command, a server for it alone,
and a clean verdict.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from server.lab.load.scenario_plan import read_scenario
from tests.kit.eventually import scaled
from tests.kit.omni import COMMAND

# `full` is `mixed-old-and-new` at its largest: in its short form it would be the same once more
SCENARIOS = sorted(
    path
    for path in (Path(__file__).parent / "scenarios").glob("*.toml")
    if path.stem not in ("full", "push-against-polling")
)
_LIMIT_SECONDS = 100.0
pytestmark = pytest.mark.xdist_group("load")  # one play after the other: each wants the machine


@pytest.mark.timeout(scaled(_LIMIT_SECONDS + 20))
@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenario_is_clean_in_its_short_form(path: Path, tmp_path: Path) -> None:
    """Nothing lost, doubled, disordered or foreign; what the scenario is about has happened; the
    reports are written.
    """
    json_path, html_path = tmp_path / "report.json", tmp_path / "report.html"
    argv = [
        str(COMMAND),
        "load",
        str(path),
        "--short",
        "--start-server",
        "--json",
        str(json_path),
        "--html",
        str(html_path),
    ]
    _run(argv)
    [facts] = json.loads(json_path.read_text())
    plan = read_scenario(path, is_short=True)
    assert facts["clean"]
    assert facts["written"] > 0
    assert (
        facts["webhooksCounts"]["200"] >= facts["written"]
        if not plan.deploy_at
        else facts["written"]
    )
    if plan.agents:
        assert facts["delays"]["count"] > 0
        assert facts["events"] >= facts["written"]
    if plan.pollers:
        assert facts["poll_answersCounts"]["200"] > 0
    if plan.drop_every:
        assert facts["cutsCounts"]["dropped on purpose"] > 0
    if plan.deploy_at:
        assert facts["cutsCounts"]["drain"] > 0
    page = html_path.read_text()
    assert page.count("<svg") >= 5
    assert "<script" not in page


@pytest.mark.timeout(scaled(_LIMIT_SECONDS + 20))
def test_push_is_compared_with_polling(tmp_path: Path) -> None:
    """Three clean runs, a table and a picture; and push asks for nothing."""
    path = Path(__file__).parent / "scenarios" / "push-against-polling.toml"
    json_path, svg_path = tmp_path / "report.json", tmp_path / "picture.svg"
    table = _run(
        [
            str(COMMAND),
            "load",
            str(path),
            "--short",
            "--start-server",
            "--json",
            str(json_path),
            "--svg",
            str(svg_path),
        ],
    )
    nobody, polling, push = json.loads(json_path.read_text())
    assert polling["requests"] > 0
    assert nobody["delivered"] == 0
    assert push["delays"]["count"] > 0
    assert push["requests"] == 0
    assert "| requests and connects for each agent and hour |" in table
    assert svg_path.read_text().startswith("<svg")


def _run(argv: list[str]) -> str:
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        timeout=scaled(_LIMIT_SECONDS),
        env=_environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _environment() -> dict[str, str]:
    """Without the settings of whoever runs the tests: the server of a run is on its own SQLite
    file.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "HOME", "LANG", "TMPDIR")
    }
