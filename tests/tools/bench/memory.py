"""Memory of the server for each idle agent."""

from tests.tools.bench import machine
from tests.tools.bench.results import Plot, Result
from tests.tools.bench.servers import Bench, Running

_WARM = 300  # the first sockets pay for code and pools that later ones share


def idle_memory(bench: Bench) -> Result:
    """Idle agents, each with a token of its own."""
    result = Result(
        "idle_memory", "Memory of the server for each idle agent, at rising numbers of them"
    )
    spare = bench.most_files - 500
    steps = [
        count
        for count in bench.pick([1_000, 5_000, 15_000], [1_000, 3_000])
        if count + _WARM < spare
    ]
    points: list[tuple[float, float]] = []
    with bench.server() as running:
        fleet = bench.fleet()
        fleet.join(_WARM, running.port)
        floor = last = _settled(bench, running)
        reached = 0
        for count in steps:
            with bench.load_noted(result):
                fleet.join(count - reached, running.port)
            now = _settled(bench, running)
            result.add(
                f"memory per idle agent at {count:,}", (now - floor) / count, "bytes", most=8_192
            )
            result.add(
                f"growth per agent from {reached:,} to {count:,}",
                (now - last) / (count - reached),
                "bytes",
            )
            points.append((count, (now - floor) / count))
            last, reached = now, count
            bench.say(f"{count:,} agents: {(now - floor) / count:,.0f} bytes each")
        result.add("the process with nobody on it", floor / 2**20, "MB")
        fleet.drop_all()
    result.notes.append(
        f"Anonymous memory (Pss_Anon of /proc/pid/smaps_rollup) above that with {_WARM} agents; "
        "this leaves out the kernel's socket "
        "buffers and counts all of the process: connection, its tokens and claims, the agent's "
        "entry, and what the allocator holds."
    )
    result.plots.append(
        Plot(
            "memory",
            "Server memory for each idle agent",
            "agents",
            "bytes",
            {"anonymous memory": points},
        )
    )
    return result


def _settled(bench: Bench, running: Running) -> int:
    """The lowest of some readings: what a burst of handshakes left on the way is freed by then."""
    readings = []
    for _ in range(4):
        bench.loop.run_for(0.7)
        readings.append(machine.memory_bytes(running.pid))
    return min(readings)
