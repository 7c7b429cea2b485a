"""Keeps the triggers that note what other programs write, and makes good what was written without
them.

Whoever drops a shared table and makes it anew takes its triggers along. They are looked for every
two seconds and put back; what was missed meanwhile is found by a comparison, and clients take a
snapshot. Where the database's account may not create triggers, new rows are found by their ids,
changes of the conversations that agents have before them by looking at them, and an answer's tag
lasts ten seconds.

A trigger that cannot write its note lets the CRM's statement pass. So a note is tried as often as
that (`crm_proofs`), and once it can be written again what went without is found by the same
comparison.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import partial

from server import log
from server.core.state.entities import Conversation
from server.core.times import SECOND
from server.db.engine.database import Connection, Database
from server.db.engine.refusals import Act
from server.db.migrations import put_triggers_back
from server.db.schema import crm_triggers
from server.db.state import (
    crm_comparisons,
    crm_notes,
    crm_polling,
    crm_proofs,
    eventlog,
)
from server.errors import ConfigurationError, DatabaseUnavailable, OmniError
from server.incoming.note_refusals import NewRefusals, NoteRefusals

CHECK_SECONDS = 2.0
_AGAIN_SECONDS = 30.0  # after triggers could not be put back for another reason
_RETRY_SECONDS = 600.0  # an account that may not create triggers is tried again
_LEASE_US = 600 * SECOND
_PAGE = 200
# between pages: a comparison of a million conversations takes minutes and disturbs nobody
_PAUSE_SECONDS = 0.02
_MOST_NAMED = 10  # in a line of the log
_TAG_SECONDS = 10  # without triggers a tag proves no more than this
# a transaction may be open for so long and its rows are still found by polling
_LATE_SECONDS = 600.0
_MAX_UNHEARD = 5_000
_MAX_WATCHED = 200  # companies looked at in one round
# a server that is read-only refuses the CRM's writes too, but for those of an administrator
_READ_ONLY = {Act.DEMOTED}
_logger = log.get(__name__)


class CrmWatch:
    """Watches the triggers and their notes. `reason` is why there are no triggers; None: there are,
    or it is not known yet.
    """

    def __init__(
        self,
        database: Database,
        database_url: str,
        *,
        watched: Callable[[], Collection[int]] = tuple,
        check_heads: Callable[[], None] = lambda: None,
    ) -> None:
        """`watched`: companies whose agents this process serves."""
        self._database = database
        self._database_url = database_url
        self._watched = watched
        self._check_heads = check_heads
        self.reason: str | None = None
        self._retry_at = 0.0
        self._ends: deque[tuple[float, tuple[int, int]]] = deque()
        self._queued: tuple[set[int], set[int]] = set(), set()
        self._looked: dict[int, crm_polling.Newest] = {}
        self._note_refusals = NoteRefusals(database.refusals)
        self._read_only = NewRefusals(database.refusals, _READ_ONLY)
        self._was_read_only = False
        self._read_only_us = 0  # when it was met last, by the database's clock

    async def run(self) -> None:
        """Checks triggers and notes every two seconds, until it is cancelled."""
        while True:
            with contextlib.suppress(DatabaseUnavailable):
                await self.turn()
            await asyncio.sleep(CHECK_SECONDS if self.reason is None else CHECK_SECONDS / 2)

    async def turn(self) -> None:
        """Runs all checks once. Raises DatabaseUnavailable."""
        self._observe_read_only()
        try:
            await self.prove()
        finally:
            self._observe_read_only()
        await self._order_after_read_only()
        await self.check()
        await self._compare_ordered()

    def notes(self) -> list[str]:
        """What is worth knowing, for `/readyz`."""
        if self._note_refusals.reason is not None:
            return [
                "what the CRM writes cannot be noted, and follows once it can "
                f"({self._note_refusals.reason}); see docs/operation.md"
            ]
        if self.reason is None:
            return []
        return [
            "there are no triggers on the CRM's tables: its new rows are found by polling, "
            "changes of older ones late, deleted ones by "
            f"reading again ({self.reason}); see docs/operation.md"
        ]

    def tag_suffix(self) -> str:
        """The end of answers' tags: where not every change is noticed, the same tag must not be
        good for ever.
        """
        return "" if self.reason is None else f".{int(time.time()) // _TAG_SECONDS}"

    async def check(self) -> None:
        """Puts missing triggers back, or polls without them. Raises DatabaseUnavailable."""
        missing = await self._database.read(crm_triggers.read_missing)
        if not missing:
            self.reason = None
            return
        if time.monotonic() >= self._retry_at:
            try:
                done = await asyncio.to_thread(put_triggers_back, self._database_url)
            except PermissionError as error:
                self._deny(str(error))
            # mostly a table or a column is missing as well: said elsewhere
            except ConfigurationError as error:
                self._retry_at = time.monotonic() + _AGAIN_SECONDS
                _logger.warning(
                    "triggers on the CRM's tables could not be put back", problem=error.message
                )
                return
            else:
                self.reason = None
                _logger.warning("triggers on the CRM's tables were missing", done=done)
                return
        await self._poll()

    async def prove(self) -> None:
        """Tries whether a note can be written; once it can be again, what went without is compared.
        Raises DatabaseUnavailable.
        """
        if self._database.dialect == "sqlite" and await self._database.read(crm_proofs.has_proof):
            return
        has_refused, longest_us = self._note_refusals.begin(), self._note_refusals.longest_us

        async def write(connection: Connection) -> str | None:
            # asked for, as a process that has just started knows only its own clock
            now_us = await self._database.clock.read(connection)
            return await crm_proofs.prove(
                connection, now_us, has_refused=has_refused, longest_us=longest_us
            )

        try:
            reason = await self._database.transaction(write, attempts=1)
        except DatabaseUnavailable:
            self._note_refusals.end_away()
            raise
        # nobody thought of it: a table that is not ours any more, or damaged
        except OmniError as error:
            self._keep_refusal(error.message)
            return
        self._database.refusals.record_write()
        self._note_refusals.end_written()
        if reason is not None:  # also at the first start on a database
            _logger.info("the CRM's rows are to be compared", reason=reason)

    def _keep_refusal(self, problem: str) -> None:
        if self._note_refusals.reason is None:
            _logger.warning("notes of what the CRM writes cannot be written", problem=problem)
        self._note_refusals.end_refused(problem)

    def _deny(self, reason: str) -> None:
        if self.reason is None:
            _logger.warning("no triggers on the CRM's tables", reason=reason)
        self.reason = reason
        self._retry_at = time.monotonic() + _RETRY_SECONDS

    def _observe_read_only(self) -> None:
        if self._read_only.has_new():
            self._was_read_only, self._read_only_us = True, self._database.clock.now_us()

    async def _order_after_read_only(self) -> None:
        """Only what differs is told: as a rule nobody wrote, and a switchover must not have every
        client take a snapshot. One comparison is enough for all processes that saw it. Raises
        DatabaseUnavailable.
        """
        if self._was_read_only and self._read_only.is_over:
            since_us = self._read_only_us
            await self._database.transaction(
                lambda c: crm_comparisons.order_quiet_comparison(c, since_us)
            )
            self._was_read_only = False

    async def _compare_ordered(self) -> None:
        """One comparison answers all orders that were there when it began: each trigger's session
        may write its own.
        """
        orders, is_quiet = await self._database.read(crm_comparisons.read_comparisons)
        if not orders:
            return
        now_us = self._database.clock.now_us()
        if await self._database.transaction(
            lambda c: crm_comparisons.claim_comparison(c, orders[0], now_us, _LEASE_US)
        ):
            await self._compare(tells_all=not is_quiet, order_id=orders[0])
            await self._database.transaction(
                lambda c: crm_comparisons.record_compared(c, orders, now_us)
            )

    async def _compare(self, *, tells_all: bool = True, order_id: int | None = None) -> None:
        """Count all conversations anew. `tells_all`: every client takes a snapshot, as nothing says
        which rows were changed; else those of companies where a count or a preview differs.
        `order_id`: whose claim is renewed meanwhile.
        """
        after: int | None = 0
        odd, renewed_at = set[int](), time.monotonic()
        while after is not None:
            after, found = await self._database.snapshot(
                lambda c: crm_comparisons.find_miscounted(c, after or 0, _PAGE)  # noqa: B023
            )
            if found:
                _logger.warning(
                    "rows of the list differ from their messages; they are counted anew, and "
                    "every client of their companies takes a snapshot",
                    conversations=[one.id for one in found[:_MOST_NAMED]],
                    count=len(found),
                )
                await self._database.transaction(partial(_order_counts, found=found))
            odd |= {one.company_id for one in found}
            # else a comparison of ten minutes would look as if nobody had tried, and order another
            if self._note_refusals.seconds_since_written > CHECK_SECONDS:
                await self.prove()
            if order_id is not None and time.monotonic() - renewed_at > CHECK_SECONDS:
                renewed_at, now_us = time.monotonic(), self._database.clock.now_us()
                await self._database.transaction(
                    partial(crm_comparisons.renew_claim, order_id=order_id, now_us=now_us)
                )
            await asyncio.sleep(_PAUSE_SECONDS)
        companies = await self._database.read(crm_notes.read_all_companies) if tells_all else []
        for company_id in companies:
            if company_id not in odd:  # those are told when their conversations are counted

                async def begin(connection: Connection) -> None:
                    # awaited at once
                    await eventlog.lock_streams(connection, [company_id])  # noqa: B023
                    await eventlog.start_epoch(connection, company_id)  # noqa: B023

                await self._database.transaction(begin)
        self._check_heads()
        _logger.info("the CRM's rows were compared", companies_with_differences=len(odd))

    async def _poll(self) -> None:
        """New rows, by their ids: those above what was the newest ten minutes ago, as a transaction
        may commit late.
        """
        ends, now = await self._database.read(crm_polling.read_ends), time.monotonic()
        if not self._ends:
            kept = await self._database.transaction(lambda c: crm_polling.keep_floor(c, ends))
            self._ends.append((float("-inf"), kept))
        self._ends.append((now, ends))
        while len(self._ends) > 1 and self._ends[1][0] < now - _LATE_SECONDS:
            self._ends.popleft()
            await self._database.transaction(lambda c: crm_polling.move_floor(c, self._ends[0][1]))
        floor = self._ends[0][1]
        self._queued = (
            {one for one in self._queued[0] if one > floor[0]},
            {one for one in self._queued[1] if one > floor[1]},
        )
        found = await self._database.transaction(
            lambda c: crm_polling.queue_unheard(c, floor, _MAX_UNHEARD, self._queued)
        )
        self._queued[0].update(found[0])
        self._queued[1].update(found[1])
        await self._look_at_watched()

    async def _look_at_watched(self) -> None:
        companies = list(self._watched())[:_MAX_WATCHED]
        self._looked = {one: self._looked[one] for one in companies if one in self._looked}
        for company_id in companies:
            # awaited at once
            looked = await self._database.read(lambda c: crm_polling.read_newest(c, company_id))  # noqa: B023
            changed = crm_polling.changed(self._looked.get(company_id, {}), looked)
            self._looked[company_id] = looked
            if changed:
                await self._database.transaction(
                    lambda c: crm_polling.queue_changed(c, company_id, changed)  # noqa: B023
                )


async def _order_counts(connection: Connection, found: Sequence[Conversation]) -> None:
    crm_comparisons.order_counts(connection, found)
