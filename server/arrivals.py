"""How late Chatwoot's news comes, by the source that brought it: from Chatwoot's own moment of a message to its arrival here.

Fetched history is no news: what happened longer ago than a source can be late is left out.
"""

import statistics
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Literal

from server import metrics
from server.core.times import SECOND

Source = Literal["webhook", "socket", "asking"]
LATE_SECONDS = 10.0  # from here on it is said, and Chatwoot is asked more often
REMEDY = "Chatwoot's queue is busy: give its webhooks (the Sidekiq queue `medium`) a Sidekiq process of their own"
_KEPT_SECONDS = 120.0
_KEPT_MOST = 200
_HISTORY_SECONDS = 1_800.0


class Arrivals:
    """The last arrivals of each integration and source, in this process."""

    def __init__(self) -> None:
        self._recent: dict[tuple[int, str], deque[tuple[float, float]]] = {}  # (monotonic moment, delay in seconds)

    def note(self, source: Source, integration_id: int, happened_us: int, received_us: int | None = None) -> None:
        """A new message came from a source. `happened_us`: its created_at at Chatwoot; `received_us`: now, where left out."""
        received = time.time() if received_us is None else received_us / SECOND
        delay = max(0.0, received - happened_us / SECOND)
        if delay > _HISTORY_SECONDS:
            return
        metrics.arrival_delay_seconds.labels(source).observe(delay)
        kept = self._recent.setdefault((integration_id, source), deque(maxlen=_KEPT_MOST))
        kept.append((time.monotonic(), delay))

    def delay_seconds(self, integration_ids: Iterable[int], source: Source = "webhook") -> float | None:
        """The middle of what came lately; None when nothing did."""
        since = time.monotonic() - _KEPT_SECONDS
        delays = [delay for one in integration_ids for at, delay in self._recent.get((one, source), ()) if at >= since]
        return statistics.median(delays) if delays else None

    def is_late(self, integration_id: int) -> bool:
        delay = self.delay_seconds([integration_id])
        return delay is not None and delay >= LATE_SECONDS

    def problems(self, integration_ids: Sequence[int]) -> list[str]:
        """Sentences for `/readyz`."""
        return [
            f"integration {one}: webhooks come {self.delay_seconds([one]) or 0.0:.0f} s late; Chatwoot's queue is busy: "
            "give its webhooks (the Sidekiq queue `medium`) a Sidekiq process of their own"
            for one in integration_ids
            if self.is_late(one)
        ]
