"""How the cost of an event grows: with the agents of a company, with the companies, with the
processes.
"""

import contextlib

from tests.tools.bench.fanout import Paced
from tests.tools.bench.results import Plot, Result
from tests.tools.bench.servers import Bench


def scale(bench: Bench) -> Result:
    """CPU for an event and for a delivery of it to one socket."""
    result = Result("scale", "CPU of the server for an event, by agents, companies and processes")
    seconds = bench.pick(5.0, 3.0)
    sizes = [
        size
        for size in bench.pick([100, 1_000, 10_000], [100, 1_000])
        if size < bench.most_files - 500
    ]
    points: list[tuple[float, float]] = []
    with bench.server() as running:
        fleet = bench.fleet()
        measure = Paced(bench, running, fleet)
        fleet.join(1, running.port)
        alone = measure.run(20, seconds)
        for size in sizes:
            fleet.join(size - len(fleet.agents), running.port)
            with bench.load_noted(result):
                event = measure.run(4 if size > 1_000 else 20, seconds)
            result.add(f"{size:,} agents of one company: an event", event * 1e3, "ms CPU")
            result.add(
                f"{size:,} agents of one company: a delivery",
                (event - alone) / (size - 1) * 1e6,
                "µs CPU",
            )
            points.append((size, event * 1e3))
            bench.say(f"{size:,} agents: {event * 1e3:.2f} ms an event")
        fleet.drop_all()
    result.plots.append(
        Plot("scale", "CPU of the server for one event", "agents", "ms", {"one company": points})
    )
    one = _companies(bench, 1, seconds)
    ten = _companies(bench, 10, seconds)
    result.add(
        "10 companies of 100 agents: a delivery", ten / one, "x", baseline="one company of 1,000"
    )
    single, double = _processes(bench, 1, seconds), _processes(bench, 2, seconds)
    result.add(
        "two processes of 500 agents on Redis: an event in both",
        double / single,
        "x",
        baseline="one process of 1,000",
    )
    result.notes.append(
        "Single events, 20 a second (4 at 10,000 agents). Both processes run on one core; their "
        "CPU is added up."
    )
    return result


def _companies(bench: Bench, companies: int, seconds: float) -> float:
    """CPU seconds for one delivery to one of 1,000 sockets."""
    with bench.server(companies=companies) as running:
        fleet = bench.fleet()
        measure = Paced(bench, running, fleet, companies)
        fleet.join(companies, running.port, companies=companies)
        alone = measure.run(20, seconds)
        fleet.join(1_000 - companies, running.port, companies=companies)
        event = measure.run(20, seconds)
        fleet.drop_all()
    return (event - alone) / (1_000 / companies - 1)


def _processes(bench: Bench, processes: int, seconds: float) -> float:
    """CPU seconds of all processes for an event to 1,000 sockets."""
    running = bench.prepared(bus="redis")
    servers = [running] + [bench.beside(running) for _ in range(processes - 1)]
    with contextlib.ExitStack() as stack:
        for server in servers:
            stack.enter_context(bench.started(server))
        fleet = bench.fleet()
        measure = Paced(bench, running, fleet)
        for server in servers:
            fleet.join(1_000 // processes, server.port)
        others = sum(server.cpu_seconds() for server in servers[1:])
        event = measure.run(20, seconds)
        spent = sum(server.cpu_seconds() for server in servers[1:]) - others
        fleet.drop_all()
    return event + spent / int(20 * seconds)
