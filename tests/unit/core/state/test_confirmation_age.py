"""How old an answer is, whatever clocks and the process itself do."""

import time

from server.core.state.confirmation_age import Freshness, seconds_since_boot


class Clocks:
    def __init__(self) -> None:
        self.steady = 100.0
        self.wall = 1_000.0
        self.freshness = Freshness(4.5, lambda: self.steady, lambda: self.wall)

    def pass_by(self, steady: float, wall: float) -> bool:
        self.steady, self.wall = self.steady + steady, self.wall + wall
        return self.freshness.is_current


def test_an_answer_is_as_old_as_its_question() -> None:
    """A process that was stopped between the two has an old answer in its hands."""
    clocks = Clocks()
    assert not clocks.freshness.is_current
    asked = clocks.freshness.read_clocks()
    clocks.pass_by(10, 10)
    clocks.freshness.confirm(asked)
    assert not clocks.freshness.is_current
    clocks.freshness.confirm(clocks.freshness.read_clocks())
    assert [clocks.pass_by(2, 2), clocks.pass_by(2, 2), clocks.pass_by(2, 2)] == [True, True, False]


def test_the_larger_of_two_ages_counts() -> None:
    """A wall clock set back makes nothing young again; a machine that was paused may see it by the
    wall clock alone.
    """
    for steady, wall, is_current in (
        (1, 1, True),
        (1, -3600, True),
        (6, -3600, False),
        (1, 3600, False),
    ):
        clocks = Clocks()
        clocks.freshness.confirm(clocks.freshness.read_clocks())
        assert clocks.pass_by(steady, wall) is is_current


def test_the_machine_s_own_clock_goes_on() -> None:
    """Never backwards."""
    first = seconds_since_boot()
    assert 0 < first <= seconds_since_boot()
    assert Freshness(1.0).is_current is False
    assert time.monotonic() <= seconds_since_boot() + 1
