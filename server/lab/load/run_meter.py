"""The figures of a run while it goes on: rates and delays since the last tick, and CPU."""

import time
from collections import deque
from collections.abc import Callable

from server.lab.load import probe
from server.lab.load.counters import Counters
from server.lab.load.histogram import Histogram
from server.lab.load.run_result import Moment
from server.lab.load.worker_processes import WorkerProcesses

_BUSY_OVER_TICKS = 10


class RunMeter:
    """`pids`: the server's processes on this machine, empty where it runs elsewhere. `peak`: the
    largest share of a core that a worker used over some ticks while the load was on.
    """

    def __init__(self, workers: WorkerProcesses, pids: Callable[[], tuple[int, ...]]) -> None:
        self._workers = workers
        self._pids = pids
        self.moments: list[Moment] = []
        self.peak = 0.0
        self.last_at = time.monotonic()
        self._started = self.last_at
        self._recent_cpu: dict[str, deque[tuple[float, float]]] = {}
        self._last: Counters | None = None
        self._last_server_cpu: float | None = None

    def start(self) -> None:
        """Count the seconds of moments from now on."""
        self._started = time.monotonic()

    def tick(self, *, is_playing: bool) -> Moment:
        """The moment since the last tick; it is kept while the load is on."""
        now = time.monotonic()
        seconds, self.last_at = now - self.last_at, now
        counters, last = self._workers.total(), self._last or Counters()
        since = Histogram(counters.delays.counts - last.delays.counts)
        p50, p99 = since.percentile(0.5), since.percentile(0.99)
        server_cpu = self._server_cpu(seconds)
        moment = Moment(
            at=round(now - self._started, 2),
            live=counters.live,
            delivered_per_second=(counters.delivered - last.delivered) / seconds,
            written_per_second=(counters.written - last.written) / seconds,
            p50_ms=None if p50 is None else p50 * 1e3,
            p99_ms=None if p99 is None else p99 * 1e3,
            waiting=sum(report.get("waiting", 0) for report in self._workers.reports()),
            errors=counters.failures.total() + sum(counters.faults.values()),
            harness_cpu=self._busiest(now, is_playing=is_playing),
            server_cpu=server_cpu,
        )
        self._last = counters
        if is_playing:
            self.moments.append(moment)
        return moment

    def _busiest(self, now: float, *, is_playing: bool) -> float:
        shares = [0.0]
        for name, seconds in self._workers.cpu_seconds().items():
            recent = self._recent_cpu.setdefault(name, deque(maxlen=_BUSY_OVER_TICKS))
            recent.append((now, seconds))
            (first_at, first), (last_at, last) = recent[0], recent[-1]
            if len(recent) == recent.maxlen:
                shares.append((last - first) / (last_at - first_at))
        if is_playing:
            self.peak = max(self.peak, *shares)
        return max(shares)

    def _server_cpu(self, seconds: float) -> float | None:
        sample = probe.cpu_seconds(self._pids())
        last, self._last_server_cpu = self._last_server_cpu, sample
        return (
            None if sample is None or last is None or sample < last else (sample - last) / seconds
        )
