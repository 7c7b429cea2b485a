"""What the server under load says and costs: its metrics over HTTP, and, where it runs on this
machine, its CPU and memory.
"""

import os
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_SAMPLE = re.compile(r"^(omni_inbox_\w+)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Sample:
    """Counters summed over their labels; `cpu_seconds` and `memory_bytes` None where the process is
    not to be seen.
    """

    at: float
    metrics: dict[str, float]
    cpu_seconds: float | None
    memory_bytes: int | None


def sample(url: str, pids: tuple[int, ...]) -> Sample:
    """Read the server's metrics and costs; the metrics are empty while it does not answer."""
    found: dict[str, float] = {}
    try:
        with _OPENER.open(f"{url}/metrics", timeout=5) as response:
            for name, value in _SAMPLE.findall(response.read().decode()):
                found[name] = found.get(name, 0.0) + float(value)
    except (urllib.error.URLError, OSError):
        found = {}
    costs = [cost for pid in pids if (cost := _costs(pid)) is not None]
    return Sample(
        time.monotonic(),
        found,
        sum(cpu for cpu, _ in costs) if costs else None,
        sum(memory for _, memory in costs) if costs else None,
    )


def cpu_seconds(pids: tuple[int, ...]) -> float | None:
    """CPU seconds of these processes together since their start, None where none can be read."""
    costs = [cost for pid in pids if (cost := _costs(pid)) is not None]
    return sum(cpu for cpu, _ in costs) if costs else None


def _costs(pid: int) -> tuple[float, int] | None:
    try:
        # MAKE_PROCESS_CPUCLOCK of include/linux/posix-timers.h
        cpu = time.clock_gettime((~pid << 3) | 2)
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return cpu, pages * os.sysconf("SC_PAGE_SIZE")
