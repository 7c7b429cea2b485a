"""Syncs in the background: asked for on a page, run by whichever process claims them, stopped and
gone on with, also after a restart.

How far a sync is is written every second, and shown to the company's administrators. A process that
dies is noticed by its silence; another one then takes its place.
"""

import asyncio
import contextlib
from collections.abc import Callable

from msgspec.structs import replace

from server import log
from server.core.state.entities import Json
from server.core.times import SECOND, iso, iso_or_none
from server.db.access import audit_log
from server.db.access.audit_log import Actor
from server.db.access.integration_record import Integration
from server.db.engine.database import Connection, Database
from server.db.journal import sync_runs
from server.db.journal.sync_runs import SyncRun
from server.errors import DatabaseUnavailable, NotFound
from server.incoming.full_sync import FullSync
from server.incoming.sync_outcome import SyncOutcome
from server.integrations.directory import Directory
from server.problems import Problem, Text, english_or_none

_logger = log.get(__name__)
_POLL_INTERVAL_SECONDS = 1.0
_FLUSH_INTERVAL_SECONDS = 1.0
_LEASE_SECONDS = 20.0
_MAX_AT_ONCE = 3


class _Job:
    """A sync of this process, as it goes. `before` is how far it had come when we took it."""

    def __init__(self, company_id: int, before: SyncRun, now_us: int) -> None:
        self.company_id = company_id
        self.before = before
        self.run = replace(
            before, state="running", started_us=now_us, updated_us=now_us, problem=None
        )

    def show_progress(self, outcome: SyncOutcome) -> None:
        """Called with each conversation that was fetched."""
        # after a stop, or in the place of a process that died
        goes_on = outcome.is_resumed or self.before.state == "running"
        messages, created = (self.before.messages, self.before.created) if goes_on else (0, 0)
        self.run = replace(
            self.run,
            total=outcome.total,
            conversations=outcome.walked,
            walked_before=outcome.walked_before,
            messages=messages + outcome.messages_created + outcome.messages_skipped,
            created=created + outcome.messages_created,
        )

    def end(self, state: str, problem: Text | None = None) -> None:
        """Sets the state it ends in; the caller writes it down."""
        self.run = replace(self.run, state=state, problem=problem)


class SyncJobs:
    """Syncs that people asked for, each run by one process at a time."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        sync: FullSync,
        show: Callable[[int, Json], None] = lambda company_id, run: None,
    ) -> None:
        """`show(company_id, run)` broadcasts how far one is, to the company's administrators."""
        self._database = database
        self._directory = directory
        self._sync = sync
        self._show = show
        self._running: set[int] = set()

    async def request(self, actor: Actor, integration_id: int) -> SyncRun:
        """Ask for a sync: it begins, or goes on where the last one was stopped; a running one goes
        on. Raises NotFound.
        """
        return await self._act(actor, integration_id, "sync.start")

    async def stop(self, actor: Actor, integration_id: int) -> SyncRun:
        """Ask it to stop within a second; what is done stays done. Raises NotFound."""
        return await self._act(actor, integration_id, "sync.stop")

    async def get(self, company_id: int, integration_id: int) -> SyncRun | None:
        """The last one, if there ever was one. Raises NotFound for another company's
        integration.
        """
        self._check_company(company_id, integration_id)
        return await self._database.read(lambda c: sync_runs.read_run(c, integration_id))

    async def run(self) -> None:
        """Claim and run jobs that wait, a few at a time."""
        self._running.clear()
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(_POLL_INTERVAL_SECONDS)
                try:
                    waiting = await self._database.read(self._read_waiting)
                except DatabaseUnavailable:
                    continue
                for run in waiting:
                    integration = self._directory.integrations.get(run.integration_id)
                    if (
                        integration is None
                        or len(self._running) >= _MAX_AT_ONCE
                        or run.integration_id in self._running
                    ):
                        continue
                    self._running.add(run.integration_id)
                    group.create_task(self._claim_and_run(integration, run))

    async def _read_waiting(self, connection: Connection) -> list[SyncRun]:
        now_us, stale_us = await self._database.clock.read(connection), int(_LEASE_SECONDS * SECOND)
        return await sync_runs.read_waiting(connection, now_us - stale_us, now_us + stale_us)

    async def _claim_and_run(self, integration: Integration, run: SyncRun) -> None:
        now_us = self._database.clock.now_us()
        try:
            if await self._database.transaction(lambda c: sync_runs.claim_run(c, run, now_us)):
                await self._run(integration, _Job(integration.company_id, run, now_us))
        except DatabaseUnavailable:
            return  # its silence is noticed, and another process goes on with it
        finally:
            self._running.discard(run.integration_id)

    async def _run(self, integration: Integration, job: _Job) -> None:
        """Sync, and write every second how far it is. Raises DatabaseUnavailable."""
        async with asyncio.TaskGroup() as group:
            syncing = group.create_task(self._sync_whole(integration, job))
            reporting = group.create_task(self._report(job, syncing))
            syncing.add_done_callback(lambda _task: reporting.cancel())
        if syncing.cancelled():
            job.end("stopped")
        await self._write(job)

    async def _sync_whole(self, integration: Integration, job: _Job) -> None:
        """Cancelling it stops the sync: what was fetched stays, and the next one goes on there."""
        try:
            outcome = await self._sync.run(integration, job.show_progress)
        # something nobody thought of, in one integration's data: it must not end the syncs of all
        # others
        except Exception:
            _logger.exception("sync failed", integration_id=integration.id)
            job.end("failed", Problem.of("sync.failed"))
            return
        job.show_progress(outcome)
        problem = outcome.errors[0] if outcome.errors else None
        job.end("failed" if problem else "done", problem)

    async def _report(self, job: _Job, syncing: "asyncio.Task[None]") -> None:
        """Write and show the progress; cancel the sync when it was asked to stop."""
        while True:
            await asyncio.sleep(_FLUSH_INTERVAL_SECONDS)
            # the sync waits for it as well, or ends with it
            with contextlib.suppress(DatabaseUnavailable):
                if await self._write(job) == "stopping":
                    syncing.cancel()

    async def _write(self, job: _Job) -> str:
        """Returns the state that was asked for."""
        run = replace(job.run, updated_us=self._database.clock.now_us())
        asked = await self._database.transaction(lambda c: sync_runs.write_progress(c, run))
        self._show_run(job.company_id, replace(run, state=asked) if run.state == "running" else run)
        return asked

    def _show_run(self, company_id: int, run: SyncRun) -> None:
        self._show(company_id, {"integrationId": run.integration_id, **run_view(run)})

    async def _act(self, actor: Actor, integration_id: int, act: str) -> SyncRun:
        self._check_company(actor.company_id, integration_id)

        async def write(connection: Connection) -> SyncRun | None:
            change = sync_runs.ask_for_run if act == "sync.start" else sync_runs.ask_to_stop
            await change(connection, integration_id, self._database.clock.now_us())
            await audit_log.append_act(connection, actor, act, f"integration {integration_id}")
            return await sync_runs.read_run(connection, integration_id)

        found = await self._database.transaction(write)
        if found is None:
            raise NotFound(Problem.of("sync.never_asked"))
        self._show_run(actor.company_id, found)
        return found

    def _check_company(self, company_id: int, integration_id: int) -> None:
        if self._directory.of_company(company_id, integration_id) is None:
            raise NotFound(Problem.of("integration.unknown", id=integration_id))


def run_view(run: SyncRun) -> Json:
    """With the rate (conversations a second, since it began or went on) and the seconds left, as
    far as they can be told.
    """
    seconds = (run.updated_us - run.started_us) / SECOND if run.started_us else 0.0
    walked = run.conversations - run.walked_before
    rate = walked / seconds if run.state == "running" and seconds > 1 and walked > 0 else None
    left = (
        round((run.total - run.conversations) / rate)
        if rate and run.total and run.total > run.conversations
        else None
    )
    return {
        "state": run.state,
        "startedAt": iso_or_none(run.started_us),
        "updatedAt": iso(run.updated_us),
        "total": run.total,
        "conversations": run.conversations,
        "messages": run.messages,
        "created": run.created,
        "perSecond": None if rate is None else round(rate, 1),
        "secondsLeft": left,
        "problem": english_or_none(run.problem),
    }
