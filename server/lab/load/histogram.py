"""Delays by the million: counts in buckets that grow by a twentieth, so that every percentile is
right to five per cent.
"""

import math
from collections import Counter
from collections.abc import Mapping

_MIN_SECONDS = 0.000_05
_GROWTH = math.log(1.05)


class Histogram:
    """Cheap to add to, to merge and to send between processes (`counts`: bucket -> how many)."""

    __slots__ = ("counts",)

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: Counter[int] = Counter(counts or {})

    def add(self, seconds: float) -> None:
        """Count one delay; those below the first bucket count in it."""
        self.counts[
            int(math.log(seconds / _MIN_SECONDS) / _GROWTH) if seconds > _MIN_SECONDS else 0
        ] += 1

    def merge(self, counts: Mapping[int, int]) -> None:
        """Add the counts of another histogram (bucket -> how many)."""
        self.counts.update(counts)

    @property
    def total(self) -> int:
        """How many delays were counted."""
        return self.counts.total()

    def percentile(self, share: float) -> float | None:
        """Seconds below which that share lies, as the upper edge of its bucket; None while there is
        nothing.
        """
        left = share * self.total
        for bucket in sorted(self.counts):
            left -= self.counts[bucket]
            if left <= 0:
                return upper_edge(bucket)
        return None

    def summary(self) -> dict[str, float | int | None]:
        """For the report, in milliseconds."""
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "most": 1.0}
        found = {name: self.percentile(share) for name, share in shares.items()}
        return {"count": self.total} | {
            f"{name}Ms": None if value is None else round(value * 1e3, 2)
            for name, value in found.items()
        }


def upper_edge(bucket: int) -> float:
    """The upper edge of a bucket, in seconds."""
    return _MIN_SECONDS * math.exp((bucket + 1) * _GROWTH)
