"""What the kernel says about processes and the machine, and which core each side of a measurement
gets.
"""

import importlib.metadata
import os
import platform
import resource
import time
from dataclasses import dataclass
from pathlib import Path

_PACKAGES = (
    "uvicorn",
    "uvloop",
    "httptools",
    "websockets",
    "starlette",
    "databases",
    "aiomysql",
    "aiosqlite",
    "msgspec",
    "redis",
)


@dataclass(frozen=True)
class Cores:
    """`server` for the server under test, `load` for the client and its helpers, `database` for
    MariaDB and Redis.
    """

    server: frozenset[int]
    load: frozenset[int]
    database: frozenset[int]

    @property
    def everything(self) -> frozenset[int]:
        return self.server | self.load | self.database


def share_cores() -> Cores:
    """One core for the server, one for the load, the others for the databases; on two cores the
    databases share the load's.
    """
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) == 1:
        return Cores(frozenset(usable), frozenset(usable), frozenset(usable))
    rest = frozenset(usable[2:]) or frozenset(usable[1:2])
    return Cores(frozenset(usable[:1]), frozenset(usable[1:2]), rest)


def pin(pid: int, cores: frozenset[int]) -> None:
    """All threads of the process; those it starts later follow."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), cores)


def cpu_seconds(pid: int) -> float:
    """User and system time of the process with all its threads, from its CPU clock (finer than the
    ticks of /proc/pid/stat).
    """
    # MAKE_PROCESS_CPUCLOCK of include/linux/posix-timers.h
    return time.clock_gettime((~pid << 3) | 2)


def memory_bytes(pid: int, name: str = "Pss_Anon") -> int:
    """`Pss_Anon` (what is the process's own) or `Rss`. The kernel's socket buffers are in
    neither.
    """
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(name)


def reset_memory_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def memory_peak_bytes(pid: int) -> int:
    """The highest resident size since `reset_memory_peak`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError("VmHWM")


def raise_file_limit() -> int:
    """As many open files as this user may have. Returns how many those are."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def describe() -> dict[str, str]:
    """The machine and the versions, for the report."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "?",
    )
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    return {
        "processor": f"{model}, {os.cpu_count()} cores",
        "memory": f"{pages / 2**30:.0f} GB",
        "load of others and us": (
            f"{os.getloadavg()[1]:.1f} processes waiting or running on average, last 5 minutes"
        ),
        "system": f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}",
        "packages": versions,
    }
