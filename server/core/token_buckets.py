"""Token buckets, and by what a client is counted. They take the time, hold no clock."""

import ipaddress
from collections.abc import Hashable

from server.core.bounded_dict import BoundedDict


class Bucket:
    """`rate` tokens a second, at most `burst` of them saved up. Times are monotonic seconds."""

    __slots__ = ("_burst", "_rate", "_tokens", "_when")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._when = now

    def try_take(self, now: float, count: float = 1.0) -> bool:
        """Remove tokens, and return whether there were enough; none are removed otherwise. `now`:
        monotonic seconds.
        """
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._when) * self._rate)
        self._when = now
        if self._tokens < count:
            return False
        self._tokens -= count
        return True

    def is_empty(self, now: float) -> bool:
        """Whether there is not even one."""
        return min(self._burst, self._tokens + max(0.0, now - self._when) * self._rate) < 1.0

    def spend(self, now: float, count: float) -> None:
        """Remove tokens in any case: what is owed, up to a whole burst, is waited for as well."""
        self.try_take(now, 0.0)
        self._tokens = max(-self._burst, self._tokens - count)

    def wait_seconds(self, count: float = 1.0) -> float:
        """How long until `count` tokens are there, as of the last call of `try_take`."""
        return max(0.0, (count - self._tokens) / self._rate)


class Buckets:
    """A bucket for each key, the longest unused forgotten when there are too many: a full one, by
    then, or a flood's.
    """

    def __init__(self, rate: float, burst: float, max_keys: int = 50_000) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: BoundedDict[Hashable, Bucket] = BoundedDict(max_keys)

    def is_empty(self, key: Hashable, now: float) -> bool:
        """Whether there is not even one for this key."""
        bucket = self._buckets.get(key)
        return bucket is not None and bucket.is_empty(now)

    def spend(self, key: Hashable, now: float, count: float) -> None:
        """Remove tokens of this key in any case."""
        self._bucket(key, now).spend(now, count)

    def wait(self, key: Hashable, now: float) -> float:
        """Remove one token and return 0.0, or return the seconds until there will be one. Times are
        monotonic seconds.
        """
        bucket = self._bucket(key, now)
        return 0.0 if bucket.try_take(now) else bucket.wait_seconds()

    def _bucket(self, key: Hashable, now: float) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._rate, self._burst, now)
        else:
            self._buckets.move_to_end(key)
        return bucket


def network_of(address: str) -> str:
    """Return what an address is counted by: the owner of one IPv6 address has a whole network of
    them.
    """
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address
