"""The processes of a run, started, steered and ended through their pipes.

A worker sends pairs over its pipe: `("report", counts)` twice a second, and `(command, value)` in
answer to a command.
"""

import multiprocessing
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from server.errors import OmniError
from server.lab.load.counters import Counters

_ANSWER_SECONDS = 60.0
_END_SECONDS = 10.0


class WorkerProcess:
    """One worker and its pipe. `report`: its newest counts, None before the first ones."""

    def __init__(self, name: str, target: Callable[..., None], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.name = name
        self.report: dict[str, Any] | None = None
        self.answers: dict[str, Any] = {}
        self._process = context.Process(
            target=target, args=(theirs, *arguments), name=name, daemon=True
        )
        self._process.start()
        theirs.close()

    def receive(self) -> None:
        """Read one message from the pipe, which must have one. Raises EOFError when the process has
        died.
        """
        kind, value = self.pipe.recv()
        if kind == "report":
            self.report = value
        else:
            self.answers[kind] = value

    def end(self) -> None:
        """Ask the process to end, and kill it if it has not within seconds."""
        with suppress(OSError):
            self.pipe.send("end")
        self._process.join(_END_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self.pipe.close()


class WorkerProcesses:
    """All workers of a run. Every wait here receives the reports of all of them."""

    def __init__(self) -> None:
        self._workers: list[WorkerProcess] = []

    def start(self, name: str, target: Callable[..., None], *arguments: object) -> WorkerProcess:
        """Start `target(pipe, *arguments)` in a process of its own."""
        worker = WorkerProcess(name, target, *arguments)
        self._workers.append(worker)
        return worker

    def end(self) -> None:
        """End all workers, one after the other; those that have ended already stay so."""
        for worker in self._workers:
            worker.end()

    def reports(self) -> list[dict[str, Any]]:
        """The newest report of each worker that has sent one."""
        return [worker.report for worker in self._workers if worker.report is not None]

    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds of each worker since its start, by its name."""
        return {
            worker.name: worker.report["cpu_seconds"]
            for worker in self._workers
            if worker.report is not None
        }

    def total(self) -> Counters:
        """The counters of all workers, added up."""
        counters = Counters()
        for report in self.reports():
            counters.add(report)
        return counters

    def ask_all(self, command: str) -> dict[str, Any]:
        """Send a command to all, and return their answers by name. Raises OmniError as `answer_of`
        does.
        """
        for worker in self._workers:
            worker.answers.pop(command, None)
            worker.pipe.send(command)
        return {
            worker.name: self.answer_of(worker, command, _ANSWER_SECONDS)
            for worker in self._workers
        }

    def answer_of(self, worker: WorkerProcess, command: str, limit: float) -> Any:
        """Wait for a worker's answer. Raises OmniError when it does not come within `limit` seconds
        or any worker has died.
        """
        until = time.monotonic() + limit
        while command not in worker.answers:
            if time.monotonic() > until:
                raise OmniError(f"the harness's process {worker.name!r} did not answer {command!r}")
            self.receive(0.1)
        return worker.answers[command]

    def receive(self, seconds: float) -> None:
        """Receive what workers send, for at most so many seconds. Raises OmniError when one has
        died.
        """
        by_pipe: dict[Connection, WorkerProcess] = {one.pipe: one for one in self._workers}
        for pipe in wait(list(by_pipe), seconds):
            try:
                by_pipe[pipe].receive()  # type: ignore[index]
            except EOFError:
                raise OmniError(f"the harness's process {by_pipe[pipe].name!r} has died") from None  # type: ignore[index]
