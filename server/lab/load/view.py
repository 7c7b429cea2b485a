"""Shows a run in the terminal: live figures while it goes on, and the verdict after it."""

import types

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from server.lab.load.counters import FAULTS
from server.lab.load.plot import number
from server.lab.load.run_result import Moment, Result, is_at_limit
from server.lab.load.scenario_plan import Plan

_PHASES = {
    "preparing": "making companies and integrations",
    "playing": "playing",
    "settling": "traffic is over: until everybody is level",
    "judging": "reading the event logs",
}


class View:
    """A context manager; `show` is given each moment. Silent where there is no terminal."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self._plan = plan
        self._console = console
        self._live = (
            Live(console=console, refresh_per_second=4, transient=True)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> "View":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: types.TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, moment: Moment, phase: str) -> None:
        """Redraw the live panel, where there is one."""
        if self._live is not None:
            self._live.update(self._panel(moment, phase))

    def _panel(self, moment: Moment, phase: str) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        whole = self._plan.ramp + self._plan.duration
        table.add_row(
            f"[bold]{self._plan.name}[/]",
            f"{_PHASES[phase]}, {min(moment.at, whole):.0f} of {whole:.0f} s"
            if phase == "playing"
            else _PHASES[phase],
        )
        table.add_row("live agents", f"{moment.live:,} of {self._plan.agents:,}")
        table.add_row(
            "written", f"{moment.written_per_second:,.0f} a second, {moment.waiting} under way"
        )
        table.add_row("delivered", f"{moment.delivered_per_second:,.0f} a second")
        table.add_row("delay", f"p50 {_ms(moment.p50_ms)}, p99 {_ms(moment.p99_ms)}")
        table.add_row("errors", str(moment.errors))
        table.add_row(
            "CPU",
            f"server {_share(moment.server_cpu)}, busiest process of the harness "
            f"{_share(moment.harness_cpu)}",
        )
        return table


def print_result(result: Result, console: Console) -> None:
    """The verdict and the figures behind it."""
    verdict, counters = result.verdict, result.counters
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in rows_of(result):
        table.add_row(name, value)
    lines = [Text("clean", "bold green") if verdict.is_clean else Text("NOT CLEAN", "bold red")]
    lines.append(Text(", ".join(f"{name} {verdict.invariants[name]}" for name in FAULTS)))
    lines += [Text(sentence, "red") for sentence in verdict.unfinished]
    lines += [Text(sentence, "yellow") for sentence in verdict.notes]
    if counters.errors:
        lines.append(Text(f"errors told by the server: {dict(counters.errors)}", "yellow"))
    if is_at_limit(result):
        lines.append(
            Text(
                "the harness was at its limit: delays and rates are partly its own; try "
                "--processes",
                "yellow",
            )
        )
    console.print(Group(table, *lines))


def rows_of(result: Result) -> list[tuple[str, str]]:
    """The figures, as (name, text), for the terminal and the page alike."""
    rows = [*_traffic_rows(result), *_connection_rows(result), *_cost_rows(result)]
    return [(name, text) for name, text in rows if text not in ("", "-")]


def _traffic_rows(result: Result) -> list[tuple[str, str]]:
    counters, plan = result.counters, result.plan
    return [
        (
            "played",
            (
                f"{plan.agents:,} agents, {plan.pollers:,} pollers, {plan.companies:,} companies, "
                f"{result.seconds:.0f} s"
            ),
        ),
        (
            "written",
            f"{counters.written:,} messages; webhooks answered {_counts(counters.webhooks)}",
        ),
        ("replies", _counts(counters.replies)),
        (
            "delivered",
            f"{counters.delivered:,} events to sockets; {result.heads:,} events in the logs",
        ),
        ("delay, written until read", _delays(counters.delays.summary())),
        ("delay after a reconnect", _delays(counters.replays.summary())),
        ("delay of slow clients", _delays(counters.slow_delays.summary())),
        ("delay of pollers", _delays(counters.poll_delays.summary())),
        ("webhook acknowledged after", _delays(counters.acknowledgements.summary())),
    ]


def _connection_rows(result: Result) -> list[tuple[str, str]]:
    counters = result.counters
    return [
        ("connected after", _delays(counters.connects.summary())),
        ("polls", f"{_counts(counters.poll_answers)}; {_delays(counters.polls.summary())}"),
        ("welcomes", _counts(counters.welcomes)),
        ("resets", _counts(counters.resets)),
        ("closes by code", _counts(counters.closes)),
        ("lines cut by the harness", _counts(counters.cuts)),
        ("lines lost otherwise", _counts(counters.failures)),
    ]


def _cost_rows(result: Result) -> list[tuple[str, str]]:
    server = result.server
    return [
        ("level after", f"{result.settled_seconds:.1f} s"),
        (
            "server",
            (
                f"CPU {_share(server.get('cpu_share'))}, memory "
                f"{server.get('memory_bytes', 0) / 1e6:,.0f} MB"
            ),
        ),
        (
            "harness",
            ", ".join(f"{name} {_share(share)}" for name, share in result.harness_cpu.items())
            + f"; at most {_share(result.harness_peak)}",
        ),
    ]


def _counts(counts: dict[str, int] | dict[int, int]) -> str:
    return (
        ", ".join(
            f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda item: -item[1])
        )
        or "-"
    )


def _delays(summary: dict[str, float | int | None]) -> str:
    if not summary["count"]:
        return "-"
    parts = [f"{name} {_ms(summary[f'{name}Ms'])}" for name in ("p50", "p90", "p99", "most")]
    return f"{', '.join(parts)} ({summary['count']:,})"


def _ms(value: float | int | None) -> str:
    if value is None:
        return "-"
    return f"{number(value)} ms" if value < 1_000 else f"{number(value / 1_000)} s"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
