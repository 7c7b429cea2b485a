"""The whole way: from sending a webhook to having read its frame, with pollers beside; and a whole
company coming back at once.
"""

import time
from collections import Counter

from tests.tools.bench.agents import Fleet
from tests.tools.bench.deliveries import number_of, requests
from tests.tools.bench.http_load import Client, Load, percentile
from tests.tools.bench.poll import etag_of, request
from tests.tools.bench.results import Result
from tests.tools.bench.servers import Bench, Running

_AGENTS, _POLLERS, _RATE = 1_000, 300, 100
_LIST_SECONDS, _THREAD_SECONDS = 10.0, 5.0


class Poller:
    """One legacy client: list every 10 s, open thread every 5 s, each with its last ETag."""

    def __init__(self, bench: Bench, running: Running, number: int, start: float) -> None:
        self._bench = bench
        self._port = running.port
        self._token = bench.token(1, number)
        self.answers: Counter[bytes] = Counter()
        self._clients: list[Client] = []
        self._is_over = False
        self._poll(
            "/api/conversations?status=Open",
            _LIST_SECONDS,
            start + _LIST_SECONDS * number / _POLLERS,
        )
        self._poll(
            f"/api/conversations/{1 + number % 50}/messages",
            _THREAD_SECONDS,
            start + _THREAD_SECONDS * number / _POLLERS,
        )

    def stop(self) -> None:
        self._is_over = True
        for client in self._clients:
            client.close()

    def _poll(self, path: str, every: float, first: float) -> None:
        etag: bytes | None = None

        def note(_: Client, answer: bytes) -> None:
            nonlocal etag
            self.answers[answer[9:12]] += 1
            etag = etag_of(answer)

        client = Client(self._bench.loop, self._port, note)
        self._clients.append(client)

        def ask(moment: float) -> None:
            if self._is_over:
                return
            if not client.is_busy:
                client.send(request(path, self._token, etag, is_compressed=True))
            self._bench.loop.call_at(moment + every, lambda: ask(moment + every))

        self._bench.loop.call_at(first, lambda: ask(first))


def whole_way(bench: Bench) -> Result:
    """Webhook sent until frame read."""
    result = Result(
        "whole_way",
        f"Webhook sent -> frame read: {_AGENTS:,} agents, {_POLLERS} pollers, {_RATE} webhooks a "
        "second",
    )
    seconds = bench.pick(20.0, 6.0)
    with bench.server() as running:
        load = Load(
            bench.loop,
            running.port,
            requests(200 + int(_RATE * seconds), conversations=50),
            32,
            False,
        )
        load.run_count(200)
        running.await_ingest()
        fleet = bench.fleet()
        fleet.join(_AGENTS, running.port)
        start = time.monotonic() + 0.2
        pollers = [Poller(bench, running, number, start) for number in range(1, _POLLERS + 1)]
        bench.loop.run_for(5.5)
        heads, delivered, cpu, began = (
            running.heads(),
            fleet.delivered,
            running.cpu_seconds(),
            time.monotonic(),
        )
        answered = len(load.seconds)
        with bench.load_noted(result):
            load.pace(
                _RATE,
                seconds,
                lambda ready, moment: fleet.sent_at.__setitem__(number_of(ready), moment),
            )
        busy = (running.cpu_seconds() - cpu) / (time.monotonic() - began)
        bench.loop.run_for(1.0)
        running.await_ingest()
        head = running.heads()[1]
        fleet.await_level({1: head})
        fleet.check(delivered + (head - heads[1]) * _AGENTS)
        for poller in pollers:
            poller.stop()
    result.add("p50 webhook to frame", percentile(fleet.delays, 0.5) * 1e3, "ms", most=10)
    result.add("p99 webhook to frame", percentile(fleet.delays, 0.99) * 1e3, "ms", most=50)
    result.add("p99 of the acknowledgement", percentile(load.seconds[answered:], 0.99) * 1e3, "ms")
    result.add("the server's core in use", busy * 100, "%")
    polls = sum((poller.answers for poller in pollers), Counter[bytes]())
    result.add("deliveries to sockets seen", len(fleet.delays), "")
    result.notes.append(
        f"Polls: {polls[b'200']} whole, {polls[b'304']} unchanged, {polls[b'503']} refused. "
        "Delays count from when a webhook was due."
    )
    return result


def reconnect(bench: Bench) -> Result:
    """A whole office comes back."""
    agents = min(bench.pick(10_000, 2_000), bench.most_files - 1_000)
    result = Result("reconnect", f"{agents:,} agents reconnect at once, 50 events behind")
    with bench.server() as running:
        load = Load(bench.loop, running.port, requests(400, is_simple=True), 8, False)
        load.run_count(250)
        running.await_ingest()
        fleet = bench.fleet()
        fleet.join(agents, running.port)
        for name in ("the network breaks", "the server is started again"):
            fleet.drop_all()
            for agent in fleet.agents:
                agent.cursor = agent.cursor and f"{agent.cursor.rpartition('.')[0]}.{agent.seq}"
            if "server" in name:
                load.close()
                running.omni.process.kill()
            else:
                bench.loop.run_for(1.0)
            with bench.started(running) if "server" in name else bench.load_noted(result):
                load.run_count(50)
                running.await_ingest()
                _return(bench, result, running, fleet, name)
                fleet.await_level(running.heads())
                assert fleet.faults == 0, f"{fleet.faults} events came twice, late or never"
    return result


def _return(bench: Bench, result: Result, running: Running, fleet: Fleet, name: str) -> None:
    before = running.database_calls()
    bench.loop.run_for(3.0)
    idle = (running.database_calls() - before) / 3.0  # what the services ask by themselves
    calls, cpu, started = running.database_calls(), running.cpu_seconds(), time.monotonic()
    fleet.connect(fleet.agents, running.port, most_at_once=4_000, limit=180)
    elapsed = time.monotonic() - started
    made = max(0.0, running.database_calls() - calls - idle * elapsed)
    result.add(f"{name}: all live again after", elapsed, "s", most=15)
    result.add(f"{name}: database calls", made, "calls", most=20)
    result.add(
        f"{name}: CPU of the server for one agent",
        (running.cpu_seconds() - cpu) / len(fleet.agents) * 1e6,
        "µs",
    )
