"""Waiting times between tries that failed: doubling up to a limit, jittered so that clients that
failed together do not come back together.
"""

import random

_MAX_DOUBLINGS = 30  # beyond this every limit is reached


def jittered(seconds: float, spread: float = 0.5) -> float:
    """At random within `spread` of the time on either side: 0.5 gives half to one and a half."""
    return seconds * (1 - spread + 2 * spread * random.random())  # noqa: S311 - no secret


def doubled(initial_seconds: float, max_seconds: float, failures: int) -> float:
    """The time after so many failures in a row, at least one, without jitter."""
    return min(max_seconds, initial_seconds * 2.0 ** min(failures - 1, _MAX_DOUBLINGS))


class Backoff:
    """The waiting times of one thing that is tried again and again."""

    def __init__(self, initial_seconds: float, max_seconds: float) -> None:
        self._initial_seconds = initial_seconds
        self._max_seconds = max_seconds
        self._failures = 0

    @property
    def seconds(self) -> float:
        """About how long the next wait will be."""
        return doubled(self._initial_seconds, self._max_seconds, self._failures + 1)

    def next_seconds(self) -> float:
        """How long to wait now; the next wait will be twice as long."""
        seconds = self.seconds
        self._failures += 1
        return jittered(seconds)

    def reset(self) -> None:
        """It went well for long enough: the next wait is the first one again."""
        self._failures = 0
