"""Background services: started again whenever they end, their death told while it lasts, all of
them gone in the end.
"""

import asyncio
import gc
import logging
import random

import pytest

from server import tasks
from server.tasks import Services, spawn, stop
from tests.kit.eventually import eventually


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backoff in milliseconds."""
    monkeypatch.setattr(tasks, "_INITIAL_BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(tasks, "_MAX_BACKOFF_SECONDS", 0.004)


async def test_a_service_that_raises_or_returns_runs_again() -> None:
    """For as long as the process lives; once it runs it no longer counts as failing."""
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError("broken")
        if runs > 2:
            await asyncio.Event().wait()

    async with Services() as services:
        services.start("sometimes", run)
        await eventually(lambda: runs == 3)
        assert services.failing() == {}


async def test_a_dead_service_is_told_with_the_kind_of_its_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Readiness says so until its next start; nothing of the error's text is shown."""
    monkeypatch.setattr(tasks, "_INITIAL_BACKOFF_SECONDS", 60.0)
    monkeypatch.setattr(tasks, "_MAX_BACKOFF_SECONDS", 60.0)

    async def run() -> None:
        raise LookupError("a secret")

    async with Services() as services:
        services.start("dead", run)
        assert await eventually(services.failing) == {"dead": "LookupError"}
        services.failing().clear()
        assert services.failing() == {"dead": "LookupError"}


async def test_the_pause_grows_and_starts_anew_after_a_calm_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Doubled up to a limit; a service that ran for long is not punished for an old failure."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def record(seconds: float) -> None:
        # others sleep on this loop, too
        if (task := asyncio.current_task()) is not None and task.get_name() == "flapping":
            pauses.append(seconds)
        await sleep(0)

    async def run() -> None:
        if len(pauses) == 5:
            monkeypatch.setattr(tasks, "_CALM_SECONDS", -1.0)
        raise ValueError

    monkeypatch.setattr(asyncio, "sleep", record)
    monkeypatch.setattr(random, "random", lambda: 0.5)
    services = Services()
    services.start("flapping", run)
    while len(pauses) < 7:
        await sleep(0)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    await services.__aexit__(None, None, None)
    assert pauses[:7] == [0.001, 0.002, 0.004, 0.004, 0.004, 0.001, 0.001]


async def test_leaving_stops_everything() -> None:
    """Also a service that swallows its first cancellation, as a library may."""
    ended = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with Services() as services:
        services.start("stubborn", stubborn)
        await asyncio.sleep(0)
    assert ended.is_set()


async def test_a_spawned_task_reports_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """An error is logged under its name; a cancellation is none, and stopping what has ended is
    harmless.
    """

    async def fail() -> None:
        raise ValueError("broken")

    async def wait() -> None:
        await asyncio.Event().wait()

    with caplog.at_level(logging.ERROR):
        failing, waiting = spawn(fail(), "failing"), spawn(wait(), "waiting")
        await stop(waiting)
        await stop(waiting)
        await eventually(failing.done)
        await asyncio.sleep(0)
    assert waiting.cancelled()
    assert isinstance(failing.exception(), ValueError)


async def test_a_spawned_task_that_nobody_keeps_goes_on() -> None:
    """The loop knows it only weakly: without more it would vanish with the next collection,
    unheard.
    """

    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    spawn(wait(), "kept by nobody")
    await asyncio.sleep(0)
    gc.collect()
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "kept by nobody"]
    await stop(task)
