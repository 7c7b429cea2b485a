"""Polling clients: an unchanged list costs little more than an empty answer and no query; changed
ones are bounded.
"""

import itertools
import statistics
import time

from tests.tools.bench import machine
from tests.tools.bench.fill import fill_conversations, fill_messages
from tests.tools.bench.http_load import Client, Load
from tests.tools.bench.results import Result
from tests.tools.bench.servers import Bench, Running

_CONNECTIONS = 32


def poll(bench: Bench) -> Result:
    """304, a page of 50, the whole list, a long thread."""
    result = Result("poll", "REST of the polling clients, on MariaDB")
    conversations, messages = bench.pick(10_000, 2_000), bench.pick(5_000, 1_000)
    empty = bench.prepared("empty", database="sqlite")
    with bench.started(empty), bench.server() as running, bench.load_noted(result):
        fill_conversations(running, conversations)
        fill_messages(running, 1, messages)
        _unchanged(bench, result, running, empty)
        for name, path, goal, turns in (
            ("list of 50, changed", "/api/conversations?limit=50", 3.0, bench.pick(300, 60)),
            (
                f"whole list of {conversations:,}",
                "/api/conversations",
                150.0 * conversations / 10_000,
                bench.pick(10, 4),
            ),
            (
                f"thread of {messages:,} messages",
                "/api/conversations/1/messages",
                150.0 * messages / 10_000,
                bench.pick(20, 5),
            ),
        ):
            _answer_cost(bench, result, running, name, path, goal, turns)
    result.notes.append(
        "CPU is the server's alone, bodies not compressed (the load asks for none); memory is "
        "the highest resident size above that before."
    )
    return result


def request(
    path: str, token: str, etag: bytes | None = None, *, is_compressed: bool = False
) -> bytes:
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Accept: application/json",
        f"Authorization: Bearer {token}",
    ]
    if is_compressed:
        lines.append("Accept-Encoding: gzip, deflate, br")
    if etag is not None:
        lines.append(f"If-None-Match: {etag.decode()}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def etag_of(answer: bytes) -> bytes | None:
    head = answer[: answer.index(b"\r\n\r\n")]
    at = head.lower().find(b"\r\netag: ")
    return None if at < 0 else head[at + 8 :].partition(b"\r\n")[0]


def _unchanged(bench: Bench, result: Result, running: Running, empty: Running) -> None:
    seconds, rounds = bench.pick(3.0, 1.5), bench.pick(5, 3)
    token = bench.token(1, 1)
    etag = etag_of(_once(bench, running, request("/api/conversations?limit=1", token)))
    poll_request = request("/api/conversations?status=Open", token, etag)
    mine, base, polls = [], [], 0
    cpu = [running.cpu_seconds(), empty.cpu_seconds()]
    empties = 0
    calls = running.database_calls()
    started = time.monotonic()
    for _ in range(rounds):
        load = Load(bench.loop, running.port, itertools.repeat(poll_request), _CONNECTIONS, False)
        mine.append(load.run(seconds))
        polls += len(load.seconds)
        assert set(load.answers) == {b"304"}, load.answers
        load.close()
        load = Load(bench.loop, empty.port, itertools.repeat(poll_request), _CONNECTIONS, False)
        base.append(load.run(seconds))
        empties += len(load.seconds)
        load.close()
    costs = [(running.cpu_seconds() - cpu[0]) / polls, (empty.cpu_seconds() - cpu[1]) / empties]
    extra = running.database_calls() - calls
    elapsed = time.monotonic() - started
    before = running.database_calls()
    bench.loop.run_for(5.0)
    idle = (running.database_calls() - before) / 5.0
    result.add("empty endpoint", statistics.median(base), "1/s")
    result.add("304 from memory", statistics.median(mine), "1/s")
    result.add(
        "304",
        statistics.median(a / b for a, b in zip(mine, base, strict=True)),
        "x",
        baseline="empty endpoint",
        least=0.8,
    )
    result.add("CPU of the server for a 304", costs[0] * 1e6, "µs")
    result.add("the same", costs[1] / costs[0], "x", baseline="CPU of the empty endpoint by this")
    result.add(
        "database calls for 1,000 polls",
        max(0.0, (extra - idle * elapsed) / polls * 1000),
        "calls",
        most=0.5,
    )
    result.notes.append(
        f"{polls:,} polls; the server's own background calls ({idle:.1f}/s, measured idle) are "
        "taken off."
    )


def _answer_cost(
    bench: Bench, result: Result, running: Running, name: str, path: str, goal: float, turns: int
) -> None:
    answer = request(path, bench.token(1, 1))
    body = _once(bench, running, answer)
    machine.reset_memory_peak(running.pid)
    before = machine.memory_bytes(running.pid, "Rss")
    cpu = running.cpu_seconds()
    for _ in range(turns):
        _once(bench, running, answer)
    spent = (running.cpu_seconds() - cpu) / turns
    result.add(f"{name}: CPU", spent * 1e3, "ms", most=goal)
    result.add(f"{name}: size", len(body) / 1024, "KB")
    result.add(
        f"{name}: memory above before",
        max(0, machine.memory_peak_bytes(running.pid) - before) / 2**20,
        "MB",
    )


def _once(bench: Bench, running: Running, ready: bytes) -> bytes:
    answers: list[bytes] = []
    client = Client(bench.loop, running.port, lambda _, answer: answers.append(answer))
    client.send(ready)
    bench.loop.run_until(lambda: bool(answers), 60, lambda: "an answer")
    client.close()
    assert answers[0][9:12] == b"200", answers[0][:300]
    return answers[0]
