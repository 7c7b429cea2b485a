"""Runs a task during a `with` body."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from server.tasks import spawn


@asynccontextmanager
async def beside(
    work: Coroutine[Any, Any, None],
    stop: Callable[[asyncio.Task[None]], object] = asyncio.Task.cancel,
) -> AsyncIterator[None]:
    """Run `work` while inside; at the end `stop` it, wait for it, and raise what it has failed
    with.

    Its failure does not cancel the body, as a task group would: the body of a fixture waits in the
    one task that runs all tests of a process, and all of them would fail. What the body raises
    comes out as it is.
    """
    task = spawn(work, "beside")
    try:
        yield
    finally:
        stop(task)
        await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
