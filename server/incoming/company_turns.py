"""Which deliveries are ingested next: the oldest, and in a backlog as many of each company, so that
none waits for another's. A company that is locked elsewhere is tried again after a backoff.
"""

import time
from collections.abc import Awaitable, Callable, Collection
from typing import NamedTuple

from server.core.backoff import Backoff
from server.db.engine.database import Connection
from server.db.journal import journal_reads
from server.db.journal.journal_reads import Waiting

# deliveries that are taken whoever sent them: more than that is a backlog, in which companies take
# turns
_MAX_WITHOUT_TURNS = 24
# until a company that is locked elsewhere is tried again
_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 0.004, 0.25


class Selection(NamedTuple):
    """Deliveries of one transaction, and where the turns stand once it is committed."""

    waiting: Waiting
    is_behind: bool
    turn_after: int | None


Select = Callable[[Connection], Awaitable[Selection]]


class CompanyTurns:
    """The turns of companies. Changed after a commit only, as a transaction may be run again."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._is_behind = False  # there is a backlog: companies take turns
        self._turn_after: int | None = None
        # company that is locked elsewhere -> (next try, the waiting times between its tries)
        self._busy: dict[int, tuple[float, Backoff]] = {}

    async def select(self, connection: Connection, skipped: Collection[int]) -> Selection:
        """Read the next deliveries, without those of `skipped` companies and of busy ones."""
        now = time.monotonic()
        skipped = {*skipped, *(i for i, (due, _) in self._busy.items() if due > now)}
        if not self._is_behind:
            waiting = await journal_reads.read_oldest(connection, _MAX_WITHOUT_TURNS)
            free = [one for one in waiting.deliveries if one.company_id not in skipped]
            waiting = Waiting(free, waiting.unreadable, waiting.is_full)
            return Selection(waiting, waiting.is_full, self._turn_after)
        ids, turn_after = await journal_reads.read_turns(
            connection, self._batch, skipped, self._turn_after
        )
        is_behind = len(ids) >= _MAX_WITHOUT_TURNS or turn_after is not None
        waiting = await journal_reads.read_by_ids(connection, ids) if ids else Waiting()
        waiting = Waiting(waiting.deliveries, waiting.unreadable, is_behind)
        return Selection(waiting, is_behind, turn_after)

    def advance(self, selection: Selection) -> None:
        """Its transaction is committed."""
        _, self._is_behind, self._turn_after = selection

    def record_locks(self, busy: Collection[int], served: Collection[int]) -> None:
        """Put off companies that were locked elsewhere, and forget that of those which are served
        again.
        """
        now = time.monotonic()
        for company_id in busy:
            _, backoff = self._busy.get(company_id) or (
                0.0,
                Backoff(_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS),
            )
            self._busy[company_id] = (now + backoff.next_seconds(), backoff)
        for company_id in served:
            self._busy.pop(company_id, None)

    def next_due(self, now: float) -> float | None:
        """When the next busy company is tried again, by the monotonic clock."""
        return min((due for due, _ in self._busy.values() if due > now), default=None)
