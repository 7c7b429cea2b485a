"""What may be played."""

from pathlib import Path

import pytest

from server.errors import ConfigurationError
from server.lab.load.scenario_plan import Plan, read_scenario, with_values

SCENARIOS = sorted((Path(__file__).parents[3] / "load" / "scenarios").glob("*.toml"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_scenario_can_be_read_in_both_forms(path: Path) -> None:
    """And the short one is short."""
    whole, short = read_scenario(path), read_scenario(path, is_short=True)
    whole.check(is_own=False)
    short.check(is_own=False)
    assert whole.text
    assert short.duration + short.ramp <= 15
    assert short.agents + short.pollers < whole.agents + whole.pollers


def test_another_machine_is_refused_unless_it_is_one_s_own() -> None:
    """Load on somebody else's server is an attack."""
    plan = Plan(url="http://192.0.2.1:8000")
    with pytest.raises(ConfigurationError, match="--i-own-this-server"):
        plan.check(is_own=False)
    plan.check(is_own=True)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost"])
def test_this_machine_is_allowed(url: str) -> None:
    """By address and by name."""
    Plan(url=url).check(is_own=False)


@pytest.mark.parametrize(
    "values",
    [{"agent": 5}, {"agents": "5"}, {"agents": 1.5}, {"duration": "long"}],
    ids=["unknown name", "text", "half an agent", "text for seconds"],
)
def test_a_field_that_does_not_fit_is_named(values: dict[str, object]) -> None:
    """With a sentence, not with a traceback."""
    with pytest.raises(ConfigurationError, match=next(iter(values))):
        with_values(Plan(), values)


@pytest.mark.parametrize(
    "values", [{"agents": -1}, {"companies": 0}, {"duration": 0.0}, {"slow_share": 1.5}]
)
def test_impossible_numbers_are_refused(values: dict[str, object]) -> None:
    """Before anything is made."""
    with pytest.raises(ConfigurationError):
        with_values(Plan(), values).check(is_own=False)


def test_a_file_that_is_no_toml_is_a_sentence(tmp_path: Path) -> None:
    """With its name."""
    (tmp_path / "bad.toml").write_text("agents = ")
    with pytest.raises(ConfigurationError, match=r"bad\.toml"):
        read_scenario(tmp_path / "bad.toml")


def test_https_is_refused_with_a_way_out() -> None:
    """The harness speaks no TLS."""
    with pytest.raises(ConfigurationError, match="TLS"):
        Plan(url="https://127.0.0.1").check(is_own=True)
