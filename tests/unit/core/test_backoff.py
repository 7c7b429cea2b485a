"""Waiting times between tries."""

import pytest

from server.core.backoff import Backoff, doubled, jittered


def test_waits_double_up_to_a_limit() -> None:
    """Whatever number of failures; after a reset they begin anew."""
    backoff = Backoff(0.1, 3.0)
    expected = [0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0]
    for seconds in expected:
        assert backoff.seconds == pytest.approx(seconds)
        assert 0.5 * seconds <= backoff.next_seconds() <= 1.5 * seconds
    assert doubled(1.0, 15.0, 100_000) == 15.0
    backoff.reset()
    assert backoff.seconds == 0.1


def test_waits_differ() -> None:
    """Else those who failed together come back together."""
    times = [jittered(8.0, spread=0.25) for _ in range(50)]
    assert len(set(times)) > 1
    assert all(6.0 <= seconds <= 10.0 for seconds in times)
