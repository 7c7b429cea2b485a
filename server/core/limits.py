"""A token bucket. Takes the time, holds no clock."""


class Bucket:
    """`rate` tokens a second, at most `burst` of them saved up. Times are monotonic seconds."""

    __slots__ = ("_burst", "_rate", "_tokens", "_when")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst, self._tokens, self._when = rate, burst, burst, now

    def take(self, now: float, count: float = 1.0) -> bool:
        """Whether there was enough; nothing is taken otherwise."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._when) * self._rate)
        self._when = now
        if self._tokens < count:
            return False
        self._tokens -= count
        return True

    def wait_seconds(self, count: float = 1.0) -> float:
        """How long until `count` tokens are there, as of the last call of `take`."""
        return max(0.0, (count - self._tokens) / self._rate)
