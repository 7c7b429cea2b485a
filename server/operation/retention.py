"""Retention: the event log, the journal and ended sessions are trimmed by age, in small
transactions. A client whose cursor falls below the floor is told to reset. The spool needs none:
the drain empties it, and it gives its room back by itself.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from server import log
from server.core.times import SECOND
from server.db.access import accounts, audit_log, second_factors
from server.db.engine.database import Connection, Database
from server.db.journal import fanouts, finds, journal
from server.db.state import eventlog, outgoing_files, store
from server.errors import CompanyBusy, DatabaseUnavailable

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
        self._strangers_us = 0
        self._event_us = int(event_days * _DAY_US)
        self._journal_us = int(journal_days * _DAY_US)
        self._audit_us = int(audit_days * _DAY_US)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._every_seconds)
            try:
                await self.trim()
            except DatabaseUnavailable:
                continue

    async def trim(self) -> int:
        """One round. Returns how many rows went."""
        now_us = self._database.clock.now_us()
        removed = 0
        before_us = now_us - self._event_us
        for company_id in await self._database.read(
            lambda c: eventlog.read_companies_to_trim(c, before_us, _COMPANIES)
        ):
            # held by another client: the others are trimmed all the same
            with contextlib.suppress(CompanyBusy):
                while count := await self._trim_events(company_id, before_us):
                    removed += count
        removed += await self._trim_strangers(now_us)
        for trim in self._trims(now_us):
            while count := await self._database.transaction(trim):
                removed += count
        if removed:
            _logger.info("trimmed", rows=removed)
        return removed

    async def _trim_strangers(self, now_us: int) -> int:
        """Each round looks at what has become a day old since the one before; the first one at a
        day more.
        """
        before_us, removed = now_us - _DAY_US, 0
        since_us = self._strangers_us or before_us - _DAY_US
        while count := await self._database.transaction(
            lambda c: journal.trim_strangers(c, since_us, before_us, _BATCH)
        ):
            removed += count
        # some come late from a spool, and some are `received` for a while
        self._strangers_us = before_us - _DAY_US // 24
        return removed

    def _trims(self, now_us: int) -> list[Trim]:
        """What is called again and again until it finds nothing more."""
        journal_us, day_us = now_us - self._journal_us, now_us - _DAY_US
        event_us, audit_us, orphan_us = (
            now_us - self._event_us,
            now_us - self._audit_us,
            now_us - _ORPHAN_US,
        )
        return [
            lambda c: journal.trim_deliveries(c, journal_us, _BATCH),
            lambda c: accounts.trim_sessions(c, day_us, _BATCH),
            lambda c: second_factors.trim_tickets(c, day_us, _BATCH),
            lambda c: audit_log.trim_acts(c, audit_us, _BATCH),
            lambda c: finds.trim_finds(c, journal_us, _BATCH),
            lambda c: fanouts.trim_reach(c, event_us, _BATCH),
            lambda c: outgoing_files.trim_content(c, orphan_us, _UPLOADS),
            lambda c: outgoing_files.trim_lines(c, journal_us, _UPLOADS),
        ]

    async def _trim_events(self, company_id: int, before_us: int) -> int:
        async def trim(connection: Connection) -> int:
            # the floor moves in the transaction that deletes, behind the lock every reader of a new
            # cursor respects
            await eventlog.lock_streams(connection, [company_id], store.new_epoch())
            return await eventlog.trim_events(connection, company_id, before_us, _BATCH)

        return await self._database.transaction(trim)
