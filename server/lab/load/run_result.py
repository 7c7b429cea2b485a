"""What a run leaves: one moment for each tick, and the whole result."""

import msgspec

from server.lab.load import probe
from server.lab.load.counters import Counters
from server.lab.load.scenario_plan import Plan
from server.lab.load.verdict import Verdict

_BUSY_SHARE = 0.9  # of a core: from here on it is the harness that is measured


class Moment(msgspec.Struct):
    """One tick of the run, for the view and the plots."""

    at: float  # seconds since the start
    live: int
    delivered_per_second: float
    written_per_second: float
    p50_ms: float | None
    p99_ms: float | None
    waiting: int
    errors: int
    harness_cpu: float  # of the busiest process, as a share of a core
    server_cpu: float | None


class Result(msgspec.Struct):
    """Everything a report shows."""

    plan: Plan
    verdict: Verdict
    counters: Counters
    moments: list[Moment]
    seconds: float
    settled_seconds: float
    harness_cpu: dict[str, float]  # process -> share of a core over the whole run
    harness_peak: float
    server: dict[str, float]
    heads: int


def is_at_limit(result: Result) -> bool:
    """Whether a process of the harness was so busy that the figures are partly its own."""
    return result.harness_peak > _BUSY_SHARE


def server_figures(before: probe.Sample, after: probe.Sample) -> dict[str, float]:
    """What the server did and cost between two samples, per second where it is a rate."""
    seconds = after.at - before.at
    found = {
        name: value - before.metrics.get(name, 0.0)
        for name, value in after.metrics.items()
        if name.endswith(("_total", "_sum", "_count"))
    }
    figures = {"seconds": seconds, **{name: value for name, value in found.items() if value}}
    if after.cpu_seconds is not None and before.cpu_seconds is not None:
        figures["cpu_share"] = max(0.0, after.cpu_seconds - before.cpu_seconds) / seconds
    if after.memory_bytes is not None:
        figures["memory_bytes"] = float(after.memory_bytes)
    return figures
