"""Webhook acknowledgements: 200 only when the delivery is on disk, against an application that
answers at once.
"""

import statistics

from tests.tools.bench.deliveries import requests
from tests.tools.bench.http_load import Load, percentile
from tests.tools.bench.results import Result
from tests.tools.bench.servers import Bench, DatabaseKind, Running

_CONNECTIONS = 32
# so many requests are made ready for each second; what is beyond is made on the way
_EXPECTED_RATE = 20_000


def acknowledge(bench: Bench) -> Result:
    """Durable acknowledgements a second, on both databases."""
    result = Result(
        "acknowledge",
        f"Webhook acknowledgements, {_CONNECTIONS} connections, signed bodies of 4 KB, each "
        "another message",
    )
    for database in ("mariadb", "sqlite"):
        _compare(bench, result, database)
    result.notes += [
        (
            "The baseline reads the body and answers the same text under the same uvicorn "
            "configuration; slices of both alternate."
        ),
        "The goal is judged with the ingest service standing still: it shares the core, and is "
        "measured by itself. "
        "`with ingest` is the whole: the same core also made state and events of the deliveries, "
        "as far as it came in the same seconds.",
        (
            "Chatwoot opens a new connection for each delivery: `new connections`, compared with "
            "the "
            "empty endpoint over new connections."
        ),
    ]
    return result


def _compare(bench: Bench, result: Result, database: DatabaseKind) -> None:
    seconds, rounds = bench.pick(3.0, 1.5), bench.pick(3, 2)
    empty = bench.prepared("empty", database="sqlite")
    alone = bench.prepared("without-ingest", database=database)
    whole = bench.prepared("server", database=database)
    rates: dict[str, list[float]] = {}
    costs: dict[str, list[float]] = {}
    with bench.started(empty), bench.started(alone), bench.started(whole), bench.load_noted(result):
        for number in range(rounds):
            for name, running in (("empty", empty), ("alone", alone), ("whole", whole)):
                for is_fresh in (False, True):
                    rate, cost = _rate(bench, running, seconds, is_fresh=is_fresh)
                    rates.setdefault(f"{name} {is_fresh}", []).append(rate)
                    costs.setdefault(f"{name} {is_fresh}", []).append(cost)
                if name == "whole":
                    running.await_ingest()
            bench.say(
                f"{database}: round {number + 1} of {rounds}: "
                + ", ".join(f"{n} {v[-1]:,.0f}/s" for n, v in rates.items())
            )
        delays = _delays(bench, alone, statistics.median(rates["alone False"]) / 2, seconds)

    def ratio(name: str, is_fresh: bool) -> float:
        pairs = zip(rates[f"{name} {is_fresh}"], rates[f"empty {is_fresh}"], strict=True)
        return statistics.median(mine / base for mine, base in pairs)

    result.add(f"{database}: empty endpoint", statistics.median(rates["empty False"]), "1/s")
    result.add(f"{database}: acknowledgements", statistics.median(rates["alone False"]), "1/s")
    result.add(
        f"{database}: acknowledgement",
        ratio("alone", False),
        "x",
        baseline="empty endpoint",
        least=0.7,
    )
    cpu = statistics.median(costs["alone False"])
    result.add(f"{database}: CPU of the server for one", cpu * 1e6, "µs")
    result.add(
        f"{database}: the same",
        statistics.median(costs["empty False"]) / cpu,
        "x",
        baseline="CPU of the empty endpoint by this",
    )
    result.add(
        f"{database}: with ingest on the same core",
        ratio("whole", False),
        "x",
        baseline="empty endpoint",
    )
    result.add(
        f"{database}: acknowledgements over new connections",
        statistics.median(rates["alone True"]),
        "1/s",
    )
    result.add(
        f"{database}: over new connections",
        ratio("alone", True),
        "x",
        baseline="empty endpoint, new connections",
    )
    result.add(f"{database}: p50 at half the rate", percentile(delays, 0.5) * 1e3, "ms")
    result.add(f"{database}: p99 at half the rate", percentile(delays, 0.99) * 1e3, "ms", most=50)


def _rate(bench: Bench, running: Running, seconds: float, *, is_fresh: bool) -> tuple[float, float]:
    """(answers a second, CPU seconds of the server for one)."""
    load = Load(
        bench.loop,
        running.port,
        requests(int(seconds * _EXPECTED_RATE), is_fresh=is_fresh),
        _CONNECTIONS,
        is_fresh,
    )
    load.run_count(_CONNECTIONS * 2)
    before, cpu = len(load.seconds), running.cpu_seconds()
    rate = load.run(seconds)
    cost = (running.cpu_seconds() - cpu) / (len(load.seconds) - before)
    _all_taken(load)
    return rate, cost


def _delays(bench: Bench, running: Running, rate: float, seconds: float) -> list[float]:
    load = Load(bench.loop, running.port, requests(int(seconds * rate) + 1), _CONNECTIONS, False)
    load.pace(rate, seconds)
    _all_taken(load)
    return load.seconds


def _all_taken(load: Load) -> None:
    load.close()
    assert set(load.answers) == {b"200"}, load.answers
