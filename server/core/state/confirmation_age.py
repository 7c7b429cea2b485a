"""How old an answer of the database is, by clocks that a process which was stopped cannot fool."""

import time
from collections.abc import Callable

# Linux: goes on while the machine sleeps, which CLOCK_MONOTONIC does not
_BOOT = getattr(time, "CLOCK_BOOTTIME", None)


def seconds_since_boot() -> float:
    """Return a clock that nobody can set and, where the system has one, that goes on while it
    sleeps.
    """
    return time.monotonic() if _BOOT is None else time.clock_gettime(_BOOT)


Reading = tuple[float, float]


class Freshness:
    """Whether something was confirmed within the last `seconds`. The larger of two ages counts: a
    wall clock that steps forward costs one look, and a virtual machine that was paused is noticed
    by its corrected wall clock alone.
    """

    def __init__(
        self,
        seconds: float,
        steady: Callable[[], float] = seconds_since_boot,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._seconds = seconds
        self._steady = steady
        self._wall = wall
        self._confirmed: Reading | None = None

    def read_clocks(self) -> Reading:
        """Read both clocks before the question is asked: the answer is at least as new."""
        return self._steady(), self._wall()

    def confirm(self, asked: Reading) -> None:
        """The question that was asked then has been answered."""
        self._confirmed = asked

    @property
    def is_current(self) -> bool:
        """Whether it was confirmed within the limit, by the steady clock and by the wall clock."""
        if self._confirmed is None:
            return False
        steady, wall = self._confirmed
        return self._steady() - steady <= self._seconds and self._wall() - wall <= self._seconds
