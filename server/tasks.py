"""Supervised background services: restarted with jittered backoff, their death visible in
`/readyz`.

The only place, beside the database's lanes, where tasks are started by hand.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any

from server import log, metrics
from server.core.backoff import Backoff

_INITIAL_BACKOFF_SECONDS = 0.2
_MAX_BACKOFF_SECONDS = 10.0
# a service that dies so often within that time is reported
_DYING_SECONDS = 120.0
_DYING_DEATHS = 4
_CALM_SECONDS = 30.0  # a service that ran this long starts again at the first backoff
_logger = log.get(__name__)
# the loop holds its tasks weakly: one that only its own future knows would be collected
_spawned: set[asyncio.Task[None]] = set()


class Services:
    """The process's background services. Leaving the context cancels them and waits until each is
    done.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._last_error: dict[str, str] = {}
        self._deaths: dict[str, deque[float]] = {}

    async def __aenter__(self) -> "Services":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        for task in self._tasks.values():
            await stop(task)

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run `run` for as long as the process lives, again whenever it raises or returns."""
        self._tasks[name] = asyncio.create_task(self._supervise(name, run), name=name)

    def failing(self) -> dict[str, str]:
        """Services that died and are waiting for their next start: name -> kind of error."""
        return dict(self._last_error)

    def dying(self) -> dict[str, int]:
        """Services that die again and again: name -> deaths within the last minutes."""
        since = time.monotonic() - _DYING_SECONDS
        counts = {name: sum(at > since for at in deaths) for name, deaths in self._deaths.items()}
        return {name: count for name, count in counts.items() if count >= _DYING_DEATHS}

    async def _supervise(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        backoff = Backoff(_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS)
        while True:
            started = loop.time()
            try:
                await run()
            except Exception as exc:  # the one net under every service
                self._last_error[name] = type(exc).__name__
                self._deaths.setdefault(name, deque(maxlen=_DYING_DEATHS)).append(time.monotonic())
                _logger.exception(
                    "service died", task=name, retry_seconds=round(backoff.seconds, 2)
                )
            if loop.time() - started > _CALM_SECONDS:
                backoff.reset()
            metrics.task_restarts.labels(name).inc()
            await asyncio.sleep(backoff.next_seconds())
            self._last_error.pop(name, None)


async def stop(task: asyncio.Task[Any]) -> None:
    """Cancel until it is done: on Python 3.11 `asyncio.wait_for` inside a library can swallow one
    cancel.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.2)


def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """A task that belongs to the caller, who must `stop` one that does not end by itself; errors
    are logged when it ends.
    """
    task = asyncio.create_task(coroutine, name=name)
    _spawned.add(task)
    task.add_done_callback(_report)
    return task


def _report(task: asyncio.Task[None]) -> None:
    _spawned.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _logger.error("task failed", task=task.get_name(), exc_info=error)
