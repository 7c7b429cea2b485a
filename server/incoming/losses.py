"""Late or lost: whether the webhook of what reconcile found first comes after all.

Chatwoot sends each webhook once, but its queue can hold one back for minutes, and reconcile
overtakes it. So what was found by asking is open at first; the journal tells whether its webhook
came, to whatever process; what has not come in time is lost.
"""

import asyncio
import contextlib
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence

from server import log, metrics
from server.core.chatwoot.changes import Change
from server.core.chatwoot.payloads import parse_delivery
from server.core.times import SECOND
from server.db.engine.database import Database
from server.db.journal import finds
from server.db.journal.finds import Find
from server.errors import DatabaseUnavailable, PayloadError
from server.integrations.arrivals import seconds_late

_logger = log.get(__name__)
_POLL_SECONDS = 5.0
_BATCH = 500
_OVERLAP = 100  # deliveries are not committed in the order of their numbers
_MAX_BATCHES = 20  # in one look at an integration
# a message's webhook may have come just before it was found, and have waited in the journal
_BEFORE_US = 120 * SECOND
_RECENT_US = 600 * SECOND
_CLOCKS_US = 5 * SECOND


class Losses:
    """Judges what reconcile found. Several processes may do it: each find is counted once."""

    def __init__(self, database: Database, lost_after_seconds: float) -> None:
        self._database = database
        self._lost_after_us = int(lost_after_seconds * SECOND)
        self._read_to: dict[int, int] = {}  # integration -> the last delivery that was compared
        # integration -> the newest find that it was compared with
        self._newest: dict[int, int] = {}

    async def run(self) -> None:
        """Judges finds every few seconds, until it is cancelled."""
        while True:
            await asyncio.sleep(min(_POLL_SECONDS, self._lost_after_us / SECOND))
            try:
                await self.judge()
            except DatabaseUnavailable:
                continue

    async def judge(self) -> None:
        """Judges all open finds once. Raises DatabaseUnavailable."""
        by_integration: defaultdict[int, list[Find]] = defaultdict(list)
        for one in await self._database.read(finds.read_open):
            by_integration[one.integration_id].append(one)
        for integration_id, found in by_integration.items():
            try:
                await self._judge(integration_id, found)
            except DatabaseUnavailable:
                raise
            # something nobody thought of, in one integration's data: the others have their turn
            except Exception:
                _logger.exception("losses not judged", integration_id=integration_id)
        self._read_to = {
            key: value for key, value in self._read_to.items() if key in by_integration
        }

    async def _judge(self, integration_id: int, found: Sequence[Find]) -> None:
        before_us = self._database.clock.now_us() - self._lost_after_us
        if not await self._compare(integration_id, found):
            return  # there is more in the journal: nothing is lost before it was read
        lost = await self._database.transaction(
            lambda c: finds.mark_lost(c, integration_id, before_us)
        )
        if lost:
            metrics.webhooks_lost.inc(lost)
            _logger.warning("webhooks lost", integration_id=integration_id, count=lost)

    async def recent_delay(self, integration_id: int) -> float | None:
        """How many seconds late the new messages of the last minutes came, by the journal; None
        where there were none.
        """
        since_us = self._database.clock.now_us() - _RECENT_US
        rows = await self._database.read(
            lambda c: finds.read_deliveries(c, integration_id, 0, since_us, _BATCH)
        )
        delays = [
            seconds
            for change, received_us in _changes(rows)
            if (seconds := seconds_late(change, received_us)) is not None
        ]
        return statistics.median(delays) if delays else None

    async def _compare(self, integration_id: int, found: Sequence[Find]) -> bool:
        """Looks for the webhooks of these finds in the journal. Returns whether all was read."""
        newest = max(one.id for one in found)
        # what was read before may hold the webhook of a new find
        if newest != self._newest.get(integration_id):
            self._newest[integration_id], self._read_to[integration_id] = newest, 0
        since_us = min(one.found_us for one in found) - _BEFORE_US
        open_finds = {(one.kind, one.number): one for one in found}
        for _ in range(_MAX_BATCHES):
            after = max(0, self._read_to.get(integration_id, 0) - _OVERLAP)
            rows = await self._database.read(
                # awaited at once
                lambda c: finds.read_deliveries(c, integration_id, after, since_us, _BATCH)  # noqa: B023
            )
            came = _came(rows, open_finds)
            if came:
                # awaited at once
                await self._database.transaction(lambda c: finds.mark_came(c, came))  # noqa: B023
                metrics.webhooks_late.inc(len(came))
            if rows:
                self._read_to[integration_id] = rows[-1][0]
            if len(rows) < _BATCH:
                return True
        return False


def _came(
    rows: Sequence[tuple[int, int, str]], found: dict[tuple[str, int], Find]
) -> list[tuple[int, int]]:
    """(find, when) of those whose webhook is among these deliveries; they are taken out of
    `found`.
    """
    came: list[tuple[int, int]] = []
    for change, received_us in _changes(rows):
        for key in _told_of(change):
            if (one := found.get(key)) is not None and _is_its_webhook(one, change, received_us):
                came.append((one.id, received_us))
                del found[key]
    return came


def _changes(rows: Sequence[tuple[int, int, str]]) -> Iterator[tuple[Change, int]]:
    for _, received_us, body in rows:
        with contextlib.suppress(PayloadError):
            yield parse_delivery(body, received_us), received_us


def _told_of(change: Change) -> list[tuple[str, int]]:
    keys = [("conversation", change.conversation.display_id)]
    if change.message is not None and change.message.message_id is not None:
        keys += [("message", change.message.message_id), ("edit", change.message.message_id)]
    return keys


def _is_its_webhook(one: Find, change: Change, received_us: int) -> bool:
    if one.kind == "conversation":
        return change.conversation.version_us >= one.happened_us
    if one.kind == "edit":  # the webhooks of before the edit say nothing of it
        return (
            change.message is not None
            and change.message.is_update
            and received_us >= one.found_us - _CLOCKS_US
        )
    return received_us >= one.found_us - _BEFORE_US
