"""Ingest: from the journal into state and events, against a database filled before."""

import contextlib
import time

from server.db.engine.database import Connection
from tests.tools.bench.fill import fill_journal
from tests.tools.bench.results import Result
from tests.tools.bench.servers import Bench, Running


def ingest(bench: Bench) -> Result:
    """Deliveries a second from the journal."""
    result = Result("ingest", "Ingest from a full journal into MariaDB, deliveries of 4 KB")
    count = bench.pick(5_000, 2_000)
    one, cpu = _drain(bench, count, companies=1, processes=1)
    result.add("one company, one process", one, "1/s", least=2_000)
    result.add("CPU of the server for a delivery", cpu * 1e6, "µs")
    bench.say(f"one company: {one:,.0f}/s")
    many, _ = _drain(bench, count, companies=10, processes=1)
    result.add("ten companies, one process", many / one, "x", baseline="one company, one process")
    free, _ = _drain(bench, count, companies=1, processes=1, is_free=True)
    two, _ = _drain(bench, count, companies=1, processes=2, is_free=True)
    two_many, _ = _drain(bench, count, companies=10, processes=2, is_free=True)
    result.add(
        "one company, two processes", two / free, "x", baseline="one process, not pinned either"
    )
    result.add(
        "ten companies, two processes",
        two_many / free,
        "x",
        baseline="one process, not pinned either",
    )
    result.notes.append(
        "Timed from the first batch's commit to the last's. Two processes share both cores with "
        "MariaDB."
    )
    return result


def _drain(
    bench: Bench, count: int, *, companies: int, processes: int, is_free: bool = False
) -> tuple[float, float]:
    """(deliveries a second, CPU seconds of the first process for a delivery it took)."""
    running = bench.prepared(companies=companies, bus="memory" if processes == 1 else "redis")
    servers = [running] + [bench.beside(running) for _ in range(processes - 1)]
    fill_journal(running, range(1, 1 + count), companies=companies)
    cores = bench.cores.everything if is_free else None
    with contextlib.ExitStack() as stack:
        started = time.monotonic()
        for server in servers:
            stack.enter_context(bench.started(server, cores))
        cpu = running.cpu_seconds()
        running.await_ingest(60 + count / 50)
        spent = running.cpu_seconds() - cpu
        bench.say(
            f"{companies} companies, {processes} processes: {time.monotonic() - started:.1f} s "
            "with the start"
        )
        return _rate(running, count), spent / count


def _rate(running: Running, count: int) -> float:
    async def read(connection: Connection) -> list[tuple[int, int]]:
        rows = await connection.fetch_all(
            "SELECT finished_at, COUNT(*) FROM omni_webhook_deliveries GROUP BY finished_at "
            "ORDER BY finished_at LIMIT 100000"
        )
        return [(row[0], row[1]) for row in rows]

    batches = running.do(read)
    elapsed = (batches[-1][0] - batches[0][0]) / 1e6
    return (count - batches[0][1]) / elapsed
