"""Reconcile: find by ourselves what no webhook told. Chatwoot sends each webhook once and forgets
it.

Runs at the start (for the time we were away), every few minutes, and more often while an
integration's webhooks are silent or late. What it finds is noted: `losses.py` tells whether its
webhook was only late. Changes younger than a grace are left to their webhook.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from server import log
from server.chatwoot import (
    ChatwootClient,
)
from server.core.times import SECOND
from server.db.access.integration_record import Integration
from server.db.engine.database import Connection, Database
from server.db.journal import reconcile_claims
from server.errors import DatabaseUnavailable
from server.incoming.ingest import Ingester
from server.incoming.reconcile_run import LEASE_SECONDS, ReconcileRun, ReconcileRunner
from server.incoming.sync_outcome import SyncOutcome
from server.integrations.arrivals import LATE_SECONDS, Arrivals
from server.integrations.directory import Directory
from server.problems import Problem, Text
from server.settings import Settings

_logger = log.get(__name__)
_POLL_INTERVAL_SECONDS = 1.0
_FIRST_WINDOW_SECONDS = 24 * 3600.0
_MARGIN_SECONDS = 120.0  # clocks differ, and rows move between pages while one reads
_START_SECONDS = 10.0  # processes that start together leave the first round to one of them
# a turn that another process had, or that the database did not let us take, is asked for again
# after this
_AGAIN_SECONDS = 5.0
_FLUSH_INTERVAL_SECONDS = 2.0
_MAX_AT_ONCE = 16
_MAX_AT_ONCE_OF_ONE = 2  # a Chatwoot that hangs takes no more places than this
_LATE_EVERY_SECONDS = LATE_SECONDS  # between two rounds while webhooks are later than this

Json = dict[str, Any]
ClientOf = Callable[[Integration], ChatwootClient]


class Reconcile:
    """Reconciles each integration when its turn has come, one process at a time."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        ingester: Ingester,
        client_of: ClientOf,
        settings: Settings,
        arrivals: Arrivals | None = None,
    ) -> None:
        self._arrivals = arrivals or Arrivals()
        self._database = database
        self._directory = directory
        self._ingester = ingester
        self._client_of = client_of
        self._settings = settings
        self._tried_at: dict[int, float] = {}
        self._running: dict[int, str] = {}  # integration -> the Chatwoot it is asked of
        self._written_seen: dict[int, int] = {}
        self._runner = ReconcileRunner(database, ingester, settings, self._arrivals)

    async def run(self) -> None:
        """Checks once a second which integration is due. A Chatwoot that hangs holds back its own
        integrations and no others.
        """
        self._running = {}
        async with asyncio.TaskGroup() as group:
            while True:
                for integration in self._due():
                    self._running[integration.id] = integration.base_url
                    group.create_task(self._reconcile_in_turn(integration))
                await self._write_seen()
                await asyncio.sleep(_POLL_INTERVAL_SECONDS)

    def problems(self) -> list[Problem]:
        """For the status: webhooks that do not arrive, a Chatwoot that cannot be asked.
        The same in every process.
        """
        active = [
            integration
            for integration in self._directory.integrations.values()
            if integration.is_active
        ]
        # something happened so long after the last webhook, and none told of it: an old loss that
        # is found late is no sign of that
        quiet_us = int(self._settings.reconcile_quiet_seconds * SECOND)
        silent = [
            _problem_of(i, Problem.of("webhooks.lost", count=i.repaired_count))
            for i in active
            if self._seen_us(i) < i.repaired_us - quiet_us
        ]
        silent += self._arrivals.problems([i.id for i in active])
        return silent + [
            _problem_of(i, Problem.of("chatwoot.cannot_be_asked", why=i.walk_problem))
            for i in active
            if i.walk_problem
        ]

    async def reconcile(
        self, integration: Integration, every_seconds: float = 0.0
    ) -> ReconcileRun | None:
        """Reconcile once, unless another process is at it or began less than `every_seconds` ago.
        Returns what it repaired; None when it was not its turn or did not end.
        """
        try:
            current = await self._claim(integration, every_seconds)
            if current is None:
                return None
            problem = await self._run_claimed(current)
            is_whole = problem is None and not current.outcome.errors
            await self._release(current, current.until_us if is_whole else None, problem)
        except DatabaseUnavailable:
            return None
        return current if is_whole else None

    async def _claim(self, integration: Integration, every_seconds: float) -> ReconcileRun | None:
        every_us = int(every_seconds * SECOND)

        async def write(connection: Connection) -> tuple[int, reconcile_claims.Claim | None]:
            now_us = await self._database.clock.read(connection)
            lease_us = now_us + int(LEASE_SECONDS * SECOND)
            return now_us, await reconcile_claims.claim(
                connection, integration.id, now_us, lease_us, every_us
            )

        started_us, claim = await self._database.transaction(write, attempts=1)
        if claim is None:
            return None
        before_us = claim.reconciled_us or started_us - int(_FIRST_WINDOW_SECONDS * SECOND)
        return ReconcileRun(
            integration,
            self._client_of(integration),
            claim,
            started_us=started_us,
            since_us=before_us - int(_MARGIN_SECONDS * SECOND),
            until_us=started_us - int(self._settings.reconcile_grace_seconds * SECOND),
            outcome=SyncOutcome(integration.id),
            is_first=claim.reconciled_us == 0,
        )

    async def _run_claimed(self, current: ReconcileRun) -> Text | None:
        """Returns why it could not come to its end, else None."""
        try:
            return await self._runner.run(current)
        # this process stops: the next one must not wait for a lease that nobody uses
        except asyncio.CancelledError:
            with contextlib.suppress(DatabaseUnavailable):
                await self._database.transaction(
                    lambda c: reconcile_claims.renew(c, current.claim, current.started_us),
                    attempts=1,
                )
            raise

    async def _reconcile_in_turn(self, integration: Integration) -> None:
        is_start = integration.id not in self._tried_at
        self._tried_at[integration.id] = time.monotonic()
        every_seconds = self._every(integration)
        try:
            await self.reconcile(
                integration, min(_START_SECONDS, every_seconds) if is_start else every_seconds
            )
        # something nobody thought of, in one integration's data: it must not end the runs of all
        # others
        except Exception:
            _logger.exception("round failed", integration_id=integration.id)
        finally:
            del self._running[integration.id]

    async def _release(
        self, current: ReconcileRun, reconciled_us: int | None, problem: Text | None
    ) -> None:
        await self._database.transaction(
            lambda c: reconcile_claims.release(
                c,
                current.claim,
                reconciled_us=reconciled_us,
                newest_us=current.newest_us,
                problem=problem,
            )
        )
        if current.repaired:
            _logger.warning(
                "repaired what no webhook told",
                integration_id=current.integration.id,
                conversations=current.conversations,
                messages=current.messages,
                edits=current.edits,
            )

    def _due(self) -> list[Integration]:
        """Whose turn it is, those who wait longest first: not too many at once, and few of one
        Chatwoot.
        """
        waiting = [
            i
            for i in self._directory.integrations.values()
            if i.id not in self._running and self._is_due(i)
        ]
        addresses, room = Counter(self._running.values()), _MAX_AT_ONCE - len(self._running)
        due: list[Integration] = []
        for integration in sorted(waiting, key=lambda i: self._tried_at.get(i.id, 0.0)):
            if len(due) < room and addresses[integration.base_url] < _MAX_AT_ONCE_OF_ONE:
                addresses[integration.base_url] += 1
                due.append(integration)
        return due

    def _is_due(self, integration: Integration) -> bool:
        if (
            not integration.is_active
            or integration.problem
            or not integration.base_url
            or not integration.access_token
        ):
            return False
        tried_at = self._tried_at.get(integration.id)
        if tried_at is None:
            return True
        every = self._every(integration)
        if time.monotonic() - tried_at < min(every, _AGAIN_SECONDS):
            return False
        age = self._database.clock.now_seconds() - integration.walked_us / SECOND
        return age >= every or age < 0  # in the future: a clock was wrong

    def _every(self, integration: Integration) -> float:
        """Seconds between two rounds, of all processes together."""
        is_quiet = (
            self._database.clock.now_seconds() - self._seen_us(integration) / SECOND
            > self._settings.reconcile_quiet_seconds
        )
        often = self._settings.reconcile_seconds
        if self._arrivals.is_late(integration.id):
            return min(often, _LATE_EVERY_SECONDS)
        return min(self._settings.reconcile_quiet_seconds, often) if is_quiet else often

    def _seen_us(self, integration: Integration) -> int:
        """When its webhooks came last, to whatever process."""
        return max(integration.seen_us, self._ingester.seen.get(integration.id, 0))

    async def _write_seen(self) -> None:
        """Let the other processes know what came to this one."""
        new = {
            i: at
            for i, at in self._ingester.seen.items()
            if at - self._written_seen.get(i, 0) > _FLUSH_INTERVAL_SECONDS * SECOND
        }
        if not new:
            return
        try:
            await self._database.transaction(
                lambda c: reconcile_claims.write_seen(c, new), attempts=1
            )
        except DatabaseUnavailable:
            return
        self._written_seen |= new


def _problem_of(integration: Integration, why: Problem) -> Problem:
    return Problem.of("integration.named_problem", id=integration.id, why=why)
