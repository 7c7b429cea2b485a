"""How late Chatwoot's messages come, by the source that brought it: from Chatwoot's own moment of a
message to its arrival here.

Fetched history is no news: what happened longer ago than a source can be late is left out.
"""

import statistics
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Literal

from server import metrics
from server.core.chatwoot.changes import Change
from server.core.times import SECOND, wall_now_us
from server.problems import Problem

Source = Literal["webhook", "socket", "asking"]
LATE_SECONDS = 10.0  # from here on it is said, and Chatwoot is asked more often
REMEDY = _QUEUE_IS_BUSY = Problem.of("delay.give_process")
_KEPT_SECONDS = 120.0
_MAX_KEPT = 200
_HISTORY_SECONDS = 1_800.0
_SOURCES: tuple[Source, ...] = ("webhook", "socket", "asking")
_DELAYS = {source: metrics.arrival_delay_seconds.labels(source) for source in _SOURCES}


def seconds_late(change: Change, received_us: int) -> float | None:
    """How late a delivery with a new message came. None: no message is new in it, or one that
    happened long ago.

    A message may be older than the moment in which Chatwoot wrote it down (an import, a channel
    that keeps its own times): its conversation was changed in that moment, and the later of both
    counts.
    """
    message = change.message
    if message is None or message.is_update:
        return None
    happened_us = max(
        message.created_us, message.version_us or 0, change.conversation.version_us or 0
    )
    return _late(happened_us, received_us)


def _late(happened_us: int, received_us: int) -> float | None:
    seconds = max(0.0, (received_us - happened_us) / SECOND)
    return seconds if seconds <= _HISTORY_SECONDS else None


class Arrivals:
    """The last arrivals of each integration and source, in this process."""

    def __init__(self) -> None:
        # (monotonic moment, delay in seconds)
        self._recent: dict[tuple[int, str], deque[tuple[float, float]]] = {}

    def record(
        self, source: Source, integration_id: int, happened_us: int, received_us: int | None = None
    ) -> None:
        """Records a new message that a source brought, by its moment at Chatwoot; `received_us`:
        now, where left out.
        """
        seconds = _late(happened_us, wall_now_us() if received_us is None else received_us)
        if seconds is not None:
            self._keep(source, integration_id, seconds)

    def record_all(self, arrived: Iterable[tuple[Source, int, Change, int]]) -> None:
        """Records those of a committed batch: (source, integration, what it brought, when it was
        received).
        """
        for source, integration_id, change, received_us in arrived:
            seconds = seconds_late(change, received_us)
            if seconds is not None:
                self._keep(source, integration_id, seconds)

    def _keep(self, source: Source, integration_id: int, seconds: float) -> None:
        _DELAYS[source].observe(seconds)
        kept = self._recent.get((integration_id, source))
        if kept is None:
            kept = self._recent[integration_id, source] = deque(maxlen=_MAX_KEPT)
        kept.append((time.monotonic(), seconds))

    def delay_seconds(
        self, integration_ids: Iterable[int], source: Source = "webhook"
    ) -> float | None:
        """The median of the last two minutes; None when nothing came."""
        since = time.monotonic() - _KEPT_SECONDS
        delays = [
            delay
            for one in integration_ids
            for at, delay in self._recent.get((one, source), ())
            if at >= since
        ]
        return statistics.median(delays) if delays else None

    def newest_us(self, integration_id: int, source: Source = "webhook") -> int | None:
        """How late the last one came, in microseconds; None when none came yet."""
        kept = self._recent.get((integration_id, source))
        return int(kept[-1][1] * SECOND) if kept else None

    def is_late(self, integration_id: int) -> bool:
        """Whether its webhooks come so late that Chatwoot is asked more often."""
        delay = self.delay_seconds([integration_id])
        return delay is not None and delay >= LATE_SECONDS

    def problems(self, integration_ids: Sequence[int]) -> list[Problem]:
        """Those that are late, for `/readyz`."""
        return [
            Problem.of("integration.named_problem", id=one, why=self._lateness(one))
            for one in integration_ids
            if self.is_late(one)
        ]

    def _lateness(self, integration_id: int) -> Problem:
        seconds = self.delay_seconds([integration_id]) or 0.0
        return Problem.of("webhooks.late", seconds=f"{seconds:.0f}", remedy=_QUEUE_IS_BUSY)
