"""The soak's measure of standstills: what counts as one, and what is excused."""

import pytest

from tests.tools.soak.meter import (
    Journey,
    Meter,
    Window,
    covered,
)


@pytest.mark.parametrize(
    ("parts", "seconds"),
    [
        ([], 0.0),
        ([(0.0, 5.0)], 0.0),
        ([(5.0, 12.0)], 2.0),
        ([(11.0, 14.0), (12.0, 15.0)], 4.0),
        ([(12.0, 15.0), (0.0, 13.0)], 5.0),
        ([(0.0, 99.0)], 10.0),
    ],
)
def test_overlapping_windows_count_once(parts: list[tuple[float, float]], seconds: float) -> None:
    """Of the time from 10 to 20."""
    assert covered((10.0, 20.0), parts) == seconds


def test_a_company_is_excused_by_what_holds_itself_or_all() -> None:
    """A window of company 1 excuses company 1, one of everybody both, and neither more than it
    lasted.
    """
    meter = Meter()
    meter.windows = [Window("its row", 1, 0.0, 0.0, 10.0), Window("MariaDB", None, 20.0, 0.0, 25.0)]
    first, second = Journey(1, "a", 0.0, 30.0), Journey(2, "b", 0.0, 30.0)
    assert meter.unexcused_seconds(first) == 15.0
    assert meter.unexcused_seconds(second) == 25.0
    assert meter.late([first, second], 15.0) == [second]
    assert meter.worst([first, second]) == {1: 15.0, 2: 25.0}


def test_what_one_process_alone_holds_excuses_nothing_else() -> None:
    """Its own messages wait until it does something again, and those only."""
    meter = Meter()
    held = frozenset({"message 7 of 1"})
    meter.windows = [Window("in a spool", None, 0.0, 0.0, 20.0, texts=held)]
    meter.refused = [(10.0, 503)]
    assert meter.unexcused_seconds(Journey(1, "message 7 of 1", 0.0, 30.0)) == 10.0
    assert meter.unexcused_seconds(Journey(1, "message 8 of 1", 0.0, 30.0)) == 30.0
    assert meter.refused_without_reason() == {503: 1}


def test_a_refused_webhook_needs_a_reason() -> None:
    """Within a window of everybody it has one; the window of a single company is none."""
    meter = Meter()
    meter.windows = [Window("its row", 1, 0.0, 0.0, 50.0), Window("MariaDB", None, 20.0, 0.0, 25.0)]
    meter.refused = [(10.0, 503), (22.0, 503), (30.0, 413)]
    assert meter.refused_without_reason() == {503: 1, 413: 1}


def test_one_death_after_the_other_is_each_its_own_standstill() -> None:
    """Three processes that die in turn may each hold a company up; one that holds it up for as long
    as all three together may not.
    """
    meter, waited = Meter(), Journey(1, "a", 0.0, 24.0)
    assert meter.late([waited], 15.0) == [waited]
    meter.deaths = [-3.0, 8.0, 16.0, 90.0]
    assert meter.unexcused_seconds(waited) == 8.0
    meter.windows = [Window("MariaDB", None, 9.0, 0.0, 12.0)]
    assert meter.unexcused_seconds(waited) == 8.0
    meter.deaths = [4.0]
    assert meter.unexcused_seconds(waited) == 17.0
