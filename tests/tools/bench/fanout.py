"""Fan-out: what it costs the server to bring one event to one socket, one event at a time and in
bursts.
"""

import contextlib
import functools
import itertools
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

from server.db.engine.database import Connection
from server.lab.load.loop import READ, Loop
from tests.tools.bench import machine
from tests.tools.bench.agents import Fleet
from tests.tools.bench.deliveries import company_of, requests
from tests.tools.bench.fill import fill_journal
from tests.tools.bench.http_load import Client, Load
from tests.tools.bench.results import Result
from tests.tools.bench.servers import ROOT, Bench, Running

SOCKETS = 1_000
RATE = 50
_numbers = itertools.count(10_000_000)


class SendLoop:
    """The baseline process, with this side's ends of its sockets being read."""

    def __init__(self, loop: Loop, count: int, frame_bytes: int, cores: frozenset[int]) -> None:
        self._loop = loop
        command = [sys.executable, "-m", "tests.tools.bench.send_loop"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, bufsize=0
        )
        machine.pin(self._process.pid, cores)
        port = int(self._answer())
        self._ask(f"{count} {frame_bytes}")
        self._sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
        for connection in self._sockets:
            loop.add(connection.fileno(), READ, functools.partial(_read, connection))
        self._answer()

    def run(self, rounds: int, rate: float) -> float:
        """CPU seconds for one send."""
        self._ask(f"{rounds} {rate}")
        return float(self._answer()) / rounds / len(self._sockets)

    def close(self) -> None:
        for connection in self._sockets:
            self._loop.remove(connection.fileno())
            connection.close()
        self._process.kill()
        self._process.communicate()

    def _ask(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    def _answer(self) -> str:
        assert self._process.stdout is not None
        lines: list[bytes] = []
        descriptor, output = self._process.stdout.fileno(), self._process.stdout
        self._loop.add(descriptor, READ, lambda mask: lines.append(output.readline()))
        self._loop.run_until(lambda: bool(lines), 120, lambda: "the send loop's answer")
        self._loop.remove(descriptor)
        return lines[0].decode()


def _read(connection: socket.socket, mask: int) -> None:
    connection.recv(65_536)


@contextlib.contextmanager
def send_loop(bench: Bench, count: int, frame_bytes: int) -> Iterator[SendLoop]:
    baseline = SendLoop(bench.loop, count, frame_bytes, bench.cores.server)
    try:
        yield baseline
    finally:
        baseline.close()


def frame_bytes(running: Running) -> int:
    """The usual size of an event's frame."""

    async def read(connection: Connection) -> int:
        row = await connection.fetch_one(
            "SELECT AVG(LENGTH(body)) FROM (SELECT body FROM omni_inbox_events ORDER BY seq DESC "
            "LIMIT 50) AS last"
        )
        return int(row[0]) + 4 if row else 0

    return running.do(read)


class Paced:
    """CPU for an event while events come one at a time: the next webhook is sent when all sockets
    have the one before.

    So an event never shares a write with another, however busy the machine is. Needs at least one
    agent in each company.
    """

    def __init__(self, bench: Bench, running: Running, fleet: Fleet, companies: int = 1) -> None:
        """Makes the conversations: from then on a webhook is an event."""
        self._bench = bench
        self._running = running
        self._fleet = fleet
        self._requests = requests(200 * companies, is_simple=True, companies=companies)
        load = Load(bench.loop, running.port, self._requests, 8, False)
        load.run_count(200 * companies)
        load.close()
        running.await_ingest()
        self._listeners: Counter[int] = Counter()

    def run(self, rate: float, seconds: float) -> float:
        """CPU seconds for an event, at most so many a second; every socket has been seen to have
        them all.
        """
        self._bench.loop.run_until(
            lambda: self._fleet.live == len(self._fleet.agents), 60, lambda: "all agents"
        )
        self._fleet.await_level(self._running.heads())
        self._listeners = Counter(agent.company_id for agent in self._fleet.agents)
        answers: list[bytes] = []
        client = Client(
            self._bench.loop, self._running.port, lambda _, answer: answers.append(answer)
        )
        count, expected = int(rate * seconds), self._fleet.delivered
        started, cpu = time.monotonic(), self._running.cpu_seconds()
        for number in range(count):
            self._bench.loop.run_for(max(0.0, started + number / rate - time.monotonic()))
            ready = next(self._requests)
            client.send(ready)
            expected += self._listeners[company_of(ready)]
            self._bench.loop.run_until(
                functools.partial(self._has_all, expected, answers, number + 1),
                30,
                lambda: "one event at all sockets",
            )
        spent = self._running.cpu_seconds() - cpu
        client.close()
        self._fleet.check(expected)
        return spent / count

    def _has_all(self, expected: int, answers: list[bytes], count: int) -> bool:
        return self._fleet.delivered >= expected and len(answers) == count


def paced(bench: Bench) -> Result:
    """One event at a time to 1,000 sockets."""
    result = Result(
        "fanout_paced",
        f"One event at a time to {SOCKETS:,} sockets, at most {RATE} webhooks a second, one "
        "company",
    )
    seconds, rounds = bench.pick(5.0, 3.0), bench.pick(5, 2)
    with bench.server() as quiet, bench.server() as running:
        witness, fleet = bench.fleet(), bench.fleet()
        alone_measure, measure = Paced(bench, quiet, witness), Paced(bench, running, fleet)
        witness.join(1, quiet.port)
        fleet.join(SOCKETS, running.port)
        size = frame_bytes(running)
        with send_loop(bench, SOCKETS, size) as baseline, bench.load_noted(result):
            measure.run(RATE, 1.0)
            alone_measure.run(RATE, 1.0)
            baseline.run(RATE, RATE)
            alone, whole, base = [], [], []
            for number in range(rounds):
                alone.append(alone_measure.run(RATE, seconds))
                whole.append(measure.run(RATE, seconds))
                base.append(baseline.run(int(RATE * seconds), RATE))
                costs = (
                    f"{alone[-1] * 1e3:.2f} ms alone, {whole[-1] * 1e3:.2f} ms with sockets, "
                    f"{base[-1] * 1e6:.2f} µs the bare send"
                )
                bench.say(f"round {number + 1} of {rounds}: {costs}")
    cost = [(event - nobody) / (SOCKETS - 1) for event, nobody in zip(whole, alone, strict=True)]
    ratios = [mine / loop for mine, loop in zip(cost, base, strict=True)]
    result.add("CPU per delivery", statistics.median(cost) * 1e6, "µs")
    result.add("CPU per send of the bare loop", statistics.median(base) * 1e6, "µs")
    result.add(
        "fan-out of single events",
        statistics.median(ratios),
        "x",
        baseline="a loop that only calls send()",
        most=1.25,
    )
    result.add(
        "webhook, ingest and publish, with one socket",
        statistics.median(alone) * 1e3,
        "ms CPU an event",
    )
    result.notes.append(
        f"Frames of {size} bytes, those of the documented small webhook. Every socket got every "
        "event once, in order."
    )
    return result


def burst(bench: Bench) -> Result:
    """Events that commit by the hundred."""
    result = Result(
        "fanout_burst",
        f"Bursts to {SOCKETS:,} sockets: deliveries waiting in the journal, taken in batches of "
        "300",
    )
    count, rounds = bench.pick(3_000, 900), bench.pick(3, 2)
    with bench.server() as running:
        fleet = bench.fleet()
        _burst(bench, running, fleet, 600)
        alone = [_burst(bench, running, fleet, count) for _ in range(2)]
        fleet.join(SOCKETS, running.port)
        with bench.load_noted(result):
            whole = [_burst(bench, running, fleet, count) for _ in range(rounds)]
        size = frame_bytes(running)
        pauses = running.metric("omni_inbox_feed_gaps_total")
    event = statistics.fmean(event for event, _ in alone)
    cost = [(spent - event) / SOCKETS for spent, _ in whole]
    result.add("CPU per delivery in bursts", statistics.median(cost) * 1e6, "µs", most=1.0)
    result.add(
        "deliveries to sockets", statistics.median(rate for _, rate in whole) * SOCKETS, "1/s"
    )
    result.add("ingest of the same deliveries, nobody listening", event * 1e3, "ms CPU an event")
    result.notes.append(
        f"Frames of {size} bytes; {pauses:.0f} gaps read from the log. Every socket got every "
        "event once, in order."
    )
    return result


def _burst(bench: Bench, running: Running, fleet: Fleet, count: int) -> tuple[float, float]:
    """(CPU seconds for an event, events a second) of so many deliveries put into the journal at
    once.
    """
    first, delivered = running.heads().get(1, 0), fleet.delivered
    start = next(_numbers)
    for _ in range(count):
        next(_numbers)
    cpu = running.cpu_seconds()
    fill_journal(running, range(start, start + count), is_simple=True)
    started = time.monotonic()
    if fleet.live:
        bench.loop.run_until(
            lambda: fleet.delivered - delivered >= count * fleet.live, 120, lambda: "the burst"
        )
    running.await_ingest()
    spent = running.cpu_seconds() - cpu
    elapsed = time.monotonic() - started
    head = running.heads()[1]
    if fleet.live:
        fleet.await_level({1: head})
        fleet.check(delivered + (head - first) * len(fleet.agents))
    return spent / (head - first), (head - first) / elapsed
