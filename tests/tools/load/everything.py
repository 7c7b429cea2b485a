"""`make load SCENARIO=all`: every scenario after the other, and one table of what came of them, in
docs/performance.md with `--write-docs`.

Not among them: `full`, which takes as long as all the others together, and `push-against-polling`,
which has a table of its own.
"""

import datetime as dt
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tools.bench.machine import describe

SCENARIOS = Path(__file__).parents[2] / "load" / "scenarios"
NAMES = tuple(
    path.stem
    for path in sorted(SCENARIOS.glob("*.toml"))
    if path.stem not in ("full", "push-against-polling")
)
PAGE = Path(__file__).parents[3] / "docs" / "performance.md"
_BEGIN, _END = "<!-- scenarios: written by make load SCENARIO=all -->", "<!-- scenarios: end -->"
_HEAD = (
    "scenario",
    "agents + pollers",
    "delivered",
    "verdict",
    "delay p50",
    "p99",
    "most",
    "connected p99",
    "resets",
    "server CPU",
    "memory",
    "harness CPU",
    "others' CPU",
)


@dataclass(frozen=True)
class Played:
    """One scenario. `facts`: its report, None when it came to none. `others`: CPU of processes that
    were not of the run, in cores.
    """

    name: str
    facts: dict[str, Any] | None
    others: float


class Others:
    """What the rest of the machine spends while a scenario is played: all that was spent, without
    what was spent for us.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._busy = _busy_seconds()
        self._own = _own_seconds()

    def cores(self) -> float:
        """Since it was made. Processes started by us count as ours once they have ended and were
        waited for.
        """
        spent = _busy_seconds() - self._busy - (_own_seconds() - self._own)
        return max(0.0, spent) / (time.monotonic() - self._began)


def play_all(play: Callable[[str], Path], names: Sequence[str] = NAMES) -> list[Played]:
    """`play` plays one and returns where its report is; a scenario that fails is told in the table
    and holds up no other.
    """
    found = []
    for name in names:
        others = Others()
        path = play(name)
        [facts] = json.loads(path.read_text()) if path.exists() else [None]
        found.append(Played(name, facts, others.cores()))
        print("\n".join(_table(found[-1:])), flush=True)
    return found


def is_clean(played: Sequence[Played]) -> bool:
    return all(one.facts is not None and one.facts["clean"] for one in played)


def write_table(played: Sequence[Played], *, is_short: bool, page: Path = PAGE) -> None:
    """Between the marks of the page. Raises ValueError when they are gone."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{page} has lost the marks between which the scenarios stand")
    options = "--short --write-docs" if is_short else "--write-docs"
    told = describe()
    machine = ", ".join(told[key] for key in ("processor", "memory", "system"))
    lines = [
        (
            f"Measured {dt.datetime.now(dt.UTC):%Y-%m-%d} with `make load SCENARIO=all "
            f"ARGS='{options}'` on {machine}."
        ),
        "",
    ]
    page.write_text(
        "\n".join([f"{before}{_BEGIN}", *lines, *_table(played), ""]) + f"{_END}{after}",
        encoding="utf-8",
    )


def _table(played: Sequence[Played]) -> list[str]:
    rows = [_HEAD, ("---", *("---:" for _ in _HEAD[1:])), *(_row(one) for one in played)]
    return ["| " + " | ".join(row) + " |" for row in rows]


def _row(one: Played) -> tuple[str, ...]:
    facts = one.facts
    if facts is None:
        return (
            one.name,
            *("" for _ in _HEAD[1:3]),
            "came to no report",
            *("" for _ in _HEAD[4:-1]),
            _cores(one.others),
        )
    plan, server = facts["plan"], facts["server"]
    delays = facts["delays"] if plan["agents"] else facts["poll_delays"]
    return (
        one.name,
        f"{plan['agents']:,} + {plan['pollers']:,}",
        f"{facts['delivered']:,}",
        _verdict(facts),
        *(_milliseconds(delays[name]) for name in ("p50Ms", "p99Ms", "mostMs")),
        _milliseconds(facts["connects"]["p99Ms"]),
        f"{sum(facts['resetsCounts'].values()):,}",
        _cores(server.get("cpu_share")),
        f"{server['memory_bytes'] / 1e6:.0f} MB" if "memory_bytes" in server else "",
        _cores(sum(facts["harnessCpu"].values()))
        + (", its limit" if facts["harnessAtLimit"] else ""),
        _cores(one.others),
    )


def _verdict(facts: dict[str, Any]) -> str:
    if facts["clean"]:
        return "clean"
    broken = [f"{name} {count}" for name, count in facts["invariants"].items() if count]
    return "; ".join([*broken, *facts["unfinished"]])


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value / 1e3:,.1f} s" if value >= 1e3 else f"{value:,.3g} ms"


def _cores(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _busy_seconds() -> float:
    """Of all processors since the machine's start: everything but idle and waiting for disks. Steal
    is others' as well.
    """
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _waiting, irq, softirq, steal = (int(word) for word in words)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
