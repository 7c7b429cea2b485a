"""Retention: the event log, the journal and ended sessions are trimmed by age, in small
transactions. A client whose cursor falls below the floor is told to reset. The spool needs none:
the drain empties it, and it gives its room back by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from server import log, metrics
from server.core.times import SECOND
from server.db.access import agent_sessions, audit_log, second_factors
from server.db.engine.database import Connection, Database
from server.db.journal import fanouts, finds, journal
from server.db.state import eventlog, outgoing_files
from server.errors import CompanyBusy, DatabaseRefuses, DatabaseRetryable, DatabaseUnavailable

_logger = log.get(__name__)
_EVERY_SECONDS = 60.0
_BATCH = 1_000
_COMPANIES = 500  # in one round; the others have their turn in the next one
_UPLOADS = 20  # each may have a hundred pieces
_DAY_US = 86_400 * SECOND
_ORPHAN_US = 3_600 * SECOND  # an upload that has not become a reply by then never will

Trim = Callable[[Connection], Awaitable[int]]


class Retention:
    """Trims each kind of row by its age."""

    def __init__(
        self,
        database: Database,
        *,
        event_days: float,
        journal_days: float,
        audit_days: float = 365.0,
        every_seconds: float = _EVERY_SECONDS,
    ) -> None:
        self._database = database
        self._every_seconds = every_seconds
        self.failures = 0
        self._strangers_us = 0
        self._after = 0  # the company that was trimmed last, where a round was not enough
        self._event_us = int(event_days * _DAY_US)
        self._journal_us = int(journal_days * _DAY_US)
        self._audit_us = int(audit_days * _DAY_US)

    async def run(self) -> None:
        """Trims once a minute; a round that fails is made up for by the next."""
        while True:
            await asyncio.sleep(self._every_seconds)
            try:
                await self.trim()
            except DatabaseUnavailable:
                continue

    async def trim(self) -> int:
        """Trims all kinds of rows once. Returns how many rows went."""
        now_us = self._database.clock.now_us()
        removed = 0
        before_us = now_us - self._event_us
        for company_id in await self._read_companies(before_us):
            trim_events = partial(self._trim_events, company_id, before_us)
            removed += await self._until_nothing("events", trim_events, company_id=company_id)
        removed += await self._trim_strangers(now_us)
        for name, trim in self._trims(now_us).items():
            removed += await self._until_nothing(name, partial(self._database.transaction, trim))
        if removed:
            _logger.info("trimmed", rows=removed)
        return removed

    async def _read_companies(self, before_us: int) -> list[int]:
        """Those with events to trim, from where the round before ended: who cannot be trimmed takes
        nobody's turn.
        """
        found = await self._database.read(
            lambda c: eventlog.read_companies_to_trim(c, before_us, _COMPANIES, self._after)
        )
        self._after = found[-1] if len(found) == _COMPANIES else 0
        return found

    async def _until_nothing(
        self, what: str, step: Callable[[], Awaitable[int]], **whose: object
    ) -> int:
        """Call `step` until it removes nothing more. What is refused is counted and said, and
        waits for the next round; nobody else's turn is lost by it. Raises DatabaseUnavailable where
        the database is away for all.
        """
        removed = 0
        try:
            while count := await step():
                removed += count
        except CompanyBusy:  # held by another client
            pass
        except Exception as error:
            is_of_all = isinstance(error, DatabaseUnavailable)
            if is_of_all and not isinstance(error, (DatabaseRetryable, DatabaseRefuses)):
                raise
            self.failures += 1
            metrics.retention_failures.labels(what).inc()
            _logger.exception("could not be trimmed", what=what, **whose)
        return removed

    async def _trim_strangers(self, now_us: int) -> int:
        """Each round looks at what has become a day old since the one before; the first one at a
        day more.
        """
        before_us, failures = now_us - _DAY_US, self.failures
        since_us = self._strangers_us or before_us - _DAY_US
        removed = await self._until_nothing(
            "strangers",
            partial(
                self._database.transaction,
                lambda c: journal.trim_strangers(c, since_us, before_us, _BATCH),
            ),
        )
        if self.failures == failures:
            # some come late from a spool, and some are `received` for a while
            self._strangers_us = before_us - _DAY_US // 24
        return removed

    def _trims(self, now_us: int) -> dict[str, Trim]:
        """What is called again and again until it finds nothing more."""
        journal_us, day_us = now_us - self._journal_us, now_us - _DAY_US
        event_us, audit_us, orphan_us = (
            now_us - self._event_us,
            now_us - self._audit_us,
            now_us - _ORPHAN_US,
        )
        return {
            "deliveries": lambda c: journal.trim_deliveries(c, journal_us, _BATCH),
            "sessions": lambda c: agent_sessions.trim_sessions(c, day_us, _BATCH),
            "tickets": lambda c: second_factors.trim_tickets(c, day_us, _BATCH),
            "audit": lambda c: audit_log.trim_acts(c, audit_us, _BATCH),
            "finds": lambda c: finds.trim_finds(c, journal_us, _BATCH),
            "fanouts": lambda c: fanouts.trim_fanouts(c, event_us, _BATCH),
            "file_content": lambda c: outgoing_files.trim_content(c, orphan_us, _UPLOADS),
            "file_lines": lambda c: outgoing_files.trim_lines(c, journal_us, _UPLOADS),
        }

    async def _trim_events(self, company_id: int, before_us: int) -> int:
        async def trim(connection: Connection) -> int:
            # the floor moves in the transaction that deletes, behind the lock every reader of a new
            # cursor respects
            await eventlog.lock_streams(connection, [company_id])
            return await eventlog.trim_events(connection, company_id, before_us, _BATCH)

        return await self._database.transaction(trim)
