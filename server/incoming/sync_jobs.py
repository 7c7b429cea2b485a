"""Syncs in the background: asked for on a page, walked by whichever process takes them, stopped and
gone on with, also after a restart.

How far a walk came is written every second, with the page it would go on from (`sync.py`). A
process that dies is noticed by its silence; another one then takes its place.
"""

import asyncio
import contextlib
from collections.abc import Callable

from msgspec.structs import replace

from server import log
from server.core.state.entities import Json
from server.core.times import SECOND, iso, iso_or_none
from server.db.access import audit_log
from server.db.access.accounts import Integration
from server.db.access.audit_log import Actor
from server.db.engine.database import Connection, Database
from server.db.journal import sync_runs
from server.db.journal.sync_runs import SyncRun
from server.errors import DatabaseUnavailable, NotFound
from server.incoming.full_sync import Outcome, Sync
from server.integrations.directory import Directory

_logger = log.get(__name__)
_LOOK_SECONDS = 1.0
_TELL_SECONDS = 1.0
_STALE_SECONDS = 20.0
_AT_ONCE = 3


class _Stopped(Exception):
    """Somebody asked for it."""


class _Walk:
    """One walk of this process, as it goes. `before` is how far it had come when we took it."""

    def __init__(self, company_id: int, before: SyncRun, now_us: int) -> None:
        self.company_id = company_id
        self.before = before
        self.run = replace(
            before, state="running", started_us=now_us, updated_us=now_us, problem=None
        )
        self.is_stopping = False
        self.is_over = False

    def on_progress(self, outcome: Outcome) -> None:
        self.note(outcome)
        if self.is_stopping:
            raise _Stopped

    def note(self, outcome: Outcome) -> None:
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


class SyncRuns:
    def __init__(
        self,
        database: Database,
        directory: Directory,
        sync: Sync,
        show: Callable[[int, Json], None] = lambda company_id, run: None,
    ) -> None:
        """`show(company_id, run)` is called whenever it has become known how far one is."""
        self._database = database
        self._directory = directory
        self._sync = sync
        self._show = show
        self._under_way: set[int] = set()

    async def ask(self, actor: Actor, integration_id: int) -> SyncRun:
        """Begin, or go on where the last one was stopped; one that is under way goes on. Raises
        NotFound.
        """
        return await self._act(actor, integration_id, "sync.start")

    async def stop(self, actor: Actor, integration_id: int) -> SyncRun:
        """What is done stays done. Raises NotFound."""
        return await self._act(actor, integration_id, "sync.stop")

    async def get(self, company_id: int, integration_id: int) -> SyncRun | None:
        """The last one, if there ever was one. Raises NotFound for another company's
        integration.
        """
        self._own(company_id, integration_id)
        return await self._database.read(lambda c: sync_runs.read_run(c, integration_id))

    async def run(self) -> None:
        """Take what waits."""
        self._under_way.clear()
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(_LOOK_SECONDS)
                try:
                    waiting = await self._database.read(self._read_waiting)
                except DatabaseUnavailable:
                    continue
                for run in waiting:
                    integration = self._directory.integrations.get(run.integration_id)
                    if (
                        integration is None
                        or len(self._under_way) >= _AT_ONCE
                        or run.integration_id in self._under_way
                    ):
                        continue
                    self._under_way.add(run.integration_id)
                    group.create_task(self._take(integration, run))

    async def _read_waiting(self, connection: Connection) -> list[SyncRun]:
        now_us, stale_us = await self._database.clock.read(connection), int(_STALE_SECONDS * SECOND)
        return await sync_runs.read_waiting(connection, now_us - stale_us, now_us + stale_us)

    async def _take(self, integration: Integration, run: SyncRun) -> None:
        now_us = self._database.clock.now_us()
        try:
            if await self._database.transaction(lambda c: sync_runs.claim_run(c, run, now_us)):
                walk = _Walk(integration.company_id, run, now_us)
                async with asyncio.TaskGroup() as group:
                    telling = group.create_task(self._tell(walk))
                    await self._walk(integration, walk)
                    walk.is_over = True
                    telling.cancel()
                await self._write(walk)
        except DatabaseUnavailable:
            return  # its silence is noticed, and somebody goes on with it
        finally:
            self._under_way.discard(run.integration_id)

    async def _walk(self, integration: Integration, walk: _Walk) -> None:
        try:
            outcome = await self._sync.walk(integration, walk.on_progress)
        except _Stopped:
            walk.run = replace(walk.run, state="stopped")
            return
        # something nobody thought of, in one integration's data: it must not end the walks of all
        # others
        except Exception:
            _logger.exception("sync failed", integration_id=integration.id)
            walk.run = replace(
                walk.run,
                state="failed",
                problem="Something went wrong here; the server's log says what",
            )
            return
        walk.note(outcome)
        problem = outcome.errors[0] if outcome.errors else None
        walk.run = replace(walk.run, state="failed" if problem else "done", problem=problem)

    async def _tell(self, walk: _Walk) -> None:
        while not walk.is_over:
            await asyncio.sleep(_TELL_SECONDS)
            if walk.is_over:
                return
            # the walk waits for it as well, or ends with it
            with contextlib.suppress(DatabaseUnavailable):
                walk.is_stopping = await self._write(walk) == "stopping"

    async def _write(self, walk: _Walk) -> str:
        run = replace(walk.run, updated_us=self._database.clock.now_us())
        asked = await self._database.transaction(lambda c: sync_runs.write_progress(c, run))
        self._tell_of(walk.company_id, replace(run, state=asked) if run.state == "running" else run)
        return asked

    def _tell_of(self, company_id: int, run: SyncRun) -> None:
        self._show(company_id, {"integrationId": run.integration_id, **run_view(run)})

    async def _act(self, actor: Actor, integration_id: int, act: str) -> SyncRun:
        self._own(actor.company_id, integration_id)

        async def write(connection: Connection) -> SyncRun | None:
            change = sync_runs.ask_for_run if act == "sync.start" else sync_runs.ask_to_stop
            await change(connection, integration_id, self._database.clock.now_us())
            await audit_log.append_act(connection, actor, act, f"integration {integration_id}")
            return await sync_runs.read_run(connection, integration_id)

        found = await self._database.transaction(write)
        if found is None:
            raise NotFound("No sync was ever asked for here")
        self._tell_of(actor.company_id, found)
        return found

    def _own(self, company_id: int, integration_id: int) -> None:
        if self._directory.of_company(company_id, integration_id) is None:
            raise NotFound(f"There is no Chatwoot integration {integration_id}")


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
        "problem": run.problem,
    }
