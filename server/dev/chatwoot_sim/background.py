"""A task beside a `with` body."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def beside(
    work: Coroutine[Any, Any, None], stop: Callable[[asyncio.Task[None]], object] = asyncio.Task.cancel
) -> AsyncIterator[None]:
    """Run `work` while inside; at the end `stop` it and wait for it. If it fails, the body is cancelled and the failure raised.

    What the body raises comes out as it is: a task group alone would wrap it, and a test could not expect it.
    """
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        try:
            yield
        except asyncio.CancelledError:
            raise
        except BaseException as problem:  # noqa: BLE001 - raised again below, outside of the group
            failure = problem
        stop(task)
    if failure is not None:
        raise failure
