"""A call that runs in a lane, its transaction, and what becomes of it when its caller has
given up.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from server.db.engine.driver_adapters import Dialect as Dialect
from server.db.engine.driver_adapters import Parameters as Parameters
from server.db.engine.driver_adapters import Row as Row
from server.db.engine.sql_connection import Connection as Connection

T = TypeVar("T")


BEGIN_WRITE: dict[Dialect, tuple[str, ...]] = {"sqlite": ("BEGIN IMMEDIATE",), "mysql": ("BEGIN",)}


BEGIN_SNAPSHOT: dict[Dialect, tuple[str, ...]] = {
    "sqlite": ("BEGIN",),
    "mysql": ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION READ ONLY"),
}


Call = Callable[[Connection], Awaitable[T]]


class Job:
    """A call with the statements that begin its transaction; none: it runs outside of one."""

    __slots__ = ("begin", "call", "future", "is_abandoned", "is_committing")

    def __init__(
        self, call: Call[Any], begin: tuple[str, ...], future: asyncio.Future[Any]
    ) -> None:
        self.call = call
        self.begin = begin
        self.future = future
        self.is_abandoned = False  # nobody waits for it: it must not take effect any more
        # its writes are being committed: what comes of it is the database's to say
        self.is_committing = False

    def finish(self, result: object) -> None:
        """Give the caller the result, unless they have given up."""
        if not self.future.done():
            self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Give the caller the error, unless they have given up."""
        # asyncio logs an exception that nobody fetches
        if not self.future.done() and not self.is_abandoned:
            self.future.set_exception(error)


class Abandoned(Exception):
    """The caller has gone: ROLLBACK, not COMMIT."""


async def wait_for_result(job: Job, seconds: float, commit_seconds: float) -> Any:
    """What becomes of the job. Raises TimeoutError; from then on it takes no effect, unless its
    COMMIT has left already: that one is waited for a little longer, as only its answer can tell.
    Cancelling is giving up at once.
    """
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            return await asyncio.shield(job.future)
    except TimeoutError:
        if not job.is_committing:
            raise
        async with asyncio.timeout(commit_seconds):
            return await asyncio.shield(job.future)
    finally:
        job.is_abandoned = not job.future.done()


async def run_job(job: Job, connection: Connection) -> Any:
    """Run the job's call in its transaction and commit it. Raises Abandoned where the caller gave
    up before the commit; the lane rolls back.
    """
    connection.begin(job.begin)
    result = await job.call(connection)
    if not job.begin:
        await connection.flush()
        return result
    # no await between this look and the note: who gives up from here on knows that COMMIT has left
    if job.is_abandoned:
        raise Abandoned
    # a snapshot changes nothing
    job.is_committing = job.begin is not BEGIN_SNAPSHOT[connection.dialect]
    await connection.commit()
    return result


async def roll_back(connection: Connection) -> bool:
    """Roll back within two seconds. False: the connection is of no more use."""
    try:
        async with asyncio.timeout(2):
            await connection.rollback()
    except Exception:  # noqa: BLE001 - whatever went wrong, the connection is given up
        return False
    return True
