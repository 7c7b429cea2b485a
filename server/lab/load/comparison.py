"""Push against polling: the same companies, customers and number of agents, once on sockets, once
polling, and once with no agents.

What the server spends without agents (webhooks, ingest, its services) is subtracted from both, so
that an agent's own cost is left.
"""

from collections.abc import Sequence

import msgspec

from server.lab.load import plot
from server.lab.load.run_result import Result
from server.lab.load.scenario_plan import Plan, with_values

_HOUR = 3_600.0
NAMES = ("polling", "push")


class Row(msgspec.Struct):
    """One figure for both; `unit` is written behind the number."""

    name: str
    polling: float
    push: float
    unit: str

    @property
    def factor(self) -> float | None:
        """How many times less push needs; None where one of both is 0."""
        return self.polling / self.push if self.push > 0 and self.polling > 0 else None


def plans(plan: Plan) -> list[Plan]:
    """The three plans of a comparison: no agents, polling, push."""
    return [
        with_values(plan, {"name": f"{plan.name}: nobody", "agents": 0, "replies_per_minute": 0.0}),
        with_values(
            plan,
            {
                "name": f"{plan.name}: polling",
                "agents": 0,
                "pollers": plan.agents,
                "replies_per_minute": 0.0,
            },
        ),
        with_values(plan, {"name": f"{plan.name}: push", "replies_per_minute": 0.0}),
    ]


def rows(results: Sequence[Result]) -> list[Row]:
    """The figures compared, of three results in the order of `plans`."""
    nobody, polling, push = results
    agent_hours = push.plan.agents * push.seconds / _HOUR

    def spent(name: str, result: Result) -> float:
        return (
            max(
                0.0,
                result.server.get(name, 0.0)
                - nobody.server.get(name, 0.0) * result.seconds / nobody.seconds,
            )
            / agent_hours
        )

    def cpu(result: Result) -> float:
        share = result.server.get("cpu_share", 0.0) - nobody.server.get("cpu_share", 0.0)
        return max(0.0, share) * result.seconds / agent_hours

    def received(result: Result) -> float:
        return result.counters.received_bytes / 1e3 / agent_hours

    asked = (polling.counters.requests / agent_hours, push.counters.welcomes.total() / agent_hours)
    calls = "omni_inbox_database_calls_total"
    return [
        Row("delay, half are faster", _ms(polling, 0.5), _ms(push, 0.5), "ms"),
        Row("delay, 99 of 100 are faster", _ms(polling, 0.99), _ms(push, 0.99), "ms"),
        Row("requests and connects for each agent and hour", asked[0], asked[1], ""),
        Row(
            "database calls for each agent and hour", spent(calls, polling), spent(calls, push), ""
        ),
        Row("sent to each agent in an hour", received(polling), received(push), "kB"),
        Row("server CPU for each agent and hour", cpu(polling) * 1e3, cpu(push) * 1e3, "ms"),
    ]


def as_markdown(found: Sequence[Row], results: Sequence[Result]) -> str:
    """A table for a page."""
    push = results[2]
    head = (
        f"{push.plan.agents:,} agents in {push.plan.companies} companies, a message every "
        f"{push.plan.companies / push.plan.webhooks_per_second:.0f} s in each company, "
        f"{push.seconds:.0f} s each.\n\n"
        "| | polling (10 s / 5 s) | push | |\n| --- | ---: | ---: | ---: |\n"
    )
    lines = [
        (
            f"| {row.name} | {plot.number(row.polling)} {row.unit} | {plot.number(row.push)} "
            f"{row.unit} | {_factor(row)} |"
        ).replace("  |", " |")
        for row in found
    ]
    return head + "\n".join(lines) + "\n"


def as_svg(found: Sequence[Row]) -> str:
    """Bars of polling and push for each figure."""
    pairs = [
        (
            row.name,
            row.polling,
            row.push,
            f"{plot.number(row.polling)} {row.unit}".strip(),
            f"{plot.number(row.push)} {row.unit}".strip(),
        )
        for row in found
    ]
    return plot.bars("Push against polling", pairs, NAMES)


def _factor(row: Row) -> str:
    return (
        ""
        if row.factor is None
        else f"{plot.number(row.factor)} x less"
        if row.factor >= 1
        else f"{plot.number(1 / row.factor)} x more"
    )


def _ms(result: Result, share: float) -> float:
    found = result.counters.delays if result.plan.agents else result.counters.poll_delays
    return (found.percentile(share) or 0.0) * 1e3
