"""Rows that other programs write into the shared tables become events.

Triggers note them in `omni_crm_changes`, in the other program's own transaction; this follower
takes them from there, company by company in turns, and writes the events. It reads the rows as they
are now, so the order of the changes, and their number, says nothing.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from server import log, metrics
from server.core.state.crm_changes import (
    DELETED,
    MESSAGE,
    SERVER,
    Event,
    Inbound,
    RowChange,
    decides_alone,
    draft_events,
    with_messages,
)
from server.core.state.cursors import Stream
from server.core.state.entities import Conversation, Message
from server.core.wire.event_frames import EventBatch, encode_event
from server.db.engine.database import Connection, Database
from server.db.state import crm_notes, deciding_messages, eventlog
from server.db.state.crm_notes import Rows
from server.errors import DatabaseUnavailable

POLL_SECONDS = 0.5
_MAX_ROWS = 200  # of one company in one transaction
_MAX_DELETED = 2_000
_MAX_JUDGED = 2_000
_BUSY_SECONDS = 0.5  # until a conversation that another transaction holds is tried again
_MAX_BUSY = 1_000
_OTHERS_SECONDS = 30.0
# deleted rows make every client of the company take a snapshot: so often at most
_RESET_SECONDS = 3.0
_logger = log.get(__name__)

Publish = Callable[[EventBatch], None]


class Settled(msgspec.Struct):
    """The result of one transaction. `is_full`: there is more of the company."""

    applied: int = 0
    is_full: bool = False
    batch: EventBatch | None = None
    was_reset: bool = False
    busy: set[int] = set()


class CrmRows:
    """Turns noted rows into events, company by company; `turn` is one round of it."""

    def __init__(
        self,
        database: Database,
        publish: Publish,
        *,
        check_heads: Callable[[], None] = lambda: None,
        on_integrations: Callable[[Sequence[RowChange]], Awaitable[None]] | None = None,
        reset_seconds: float = _RESET_SECONDS,
    ) -> None:
        """`check_heads`: the feeds look at the log again. `on_integrations` gets what was changed
        there, before the changes are deleted.
        """
        self._database = database
        self._publish = publish
        self._check_heads = check_heads
        self._on_integrations = on_integrations
        self._reset_seconds = reset_seconds
        self._busy: dict[int, float] = {}  # conversation that another transaction holds -> next try
        # company -> when its clients last had to take a snapshot
        self._reset_at: dict[int, float] = {}
        # companies whose last transaction failed: one row at a time
        self._suspects: set[int] = set()
        self._after = 0  # the company that was served last
        self._others_at = 0.0

    async def run(self) -> None:
        """Makes turn after turn while there is something to do, then one each half second."""
        while True:
            has_more = False
            with contextlib.suppress(DatabaseUnavailable):
                has_more = await self.turn()
            await asyncio.sleep(0.01 if has_more else POLL_SECONDS)

    async def turn(self) -> bool:
        """Follows some changes of every company that has any. Returns whether there is more that
        can be done now.
        """
        companies = await self._database.read(crm_notes.read_companies)
        if not companies:
            return False
        now = time.monotonic()
        self._busy = {one: due for one, due in self._busy.items() if due > now}
        has_more = None in companies and await self._judge()
        if has_more:
            companies = await self._database.read(crm_notes.read_companies)
        known = sorted(one for one in companies if one is not None)
        # a proof of the watch is always there (`crm_proofs`), and a CRM's own number below nought
        # may look like it
        if any(one < 0 and one != SERVER for one in known) or (
            SERVER in known and now >= self._others_at
        ):
            self._others_at = now + _OTHERS_SECONDS
            await self._follow_others()
        own = [one for one in known if one >= 0]
        for company_id in [
            *(one for one in own if one > self._after),
            *(one for one in own if one <= self._after),
        ]:
            self._after = company_id
            has_more |= await self._follow_company(company_id)
        return has_more

    async def _judge(self) -> bool:
        """Looks up whose the messages are. Returns whether there were any."""
        unjudged = await self._database.read(lambda c: crm_notes.read_unjudged(c, _MAX_JUDGED))
        if unjudged:
            await self._database.transaction(lambda c: crm_notes.judge(c, unjudged))
        return bool(unjudged)

    async def _follow_others(self) -> None:
        found = await self._database.read(
            lambda c: crm_notes.read_integration_changes(c, _MAX_ROWS)
        )
        if found and self._on_integrations is not None:
            await self._on_integrations(found)

        async def write(connection: Connection) -> None:
            await crm_notes.delete_changes(connection, [one.id for one in found])
            await crm_notes.delete_nobodys(connection, _MAX_JUDGED)

        await self._database.transaction(write)

    async def _follow_company(self, company_id: int) -> bool:
        """Follows a company for one transaction. Returns whether there is more of it to be done
        now.
        """
        limit = 1 if company_id in self._suspects else _MAX_ROWS
        try:
            settled = await self._database.transaction(
                lambda c: self._settle(c, company_id, limit), attempts=2
            )
        except DatabaseUnavailable:
            raise
        # a row that we cannot read must not hold back the others
        except Exception as error:  # noqa: BLE001
            return await self._suspect(company_id, limit, error)
        if limit == 1 and not settled.is_full:
            self._suspects.discard(company_id)
        self._note_busy(settled.busy)
        if settled.batch is not None:
            metrics.crm_rows.inc(settled.applied)
            self._publish(settled.batch)
        if settled.was_reset:
            self._reset_at[company_id] = time.monotonic()
            self._check_heads()
        return settled.is_full and settled.applied > 0

    async def _suspect(self, company_id: int, limit: int, error: Exception) -> bool:
        """Goes on row by row; what fails alone is deleted from the notes and logged."""
        if limit > 1:
            self._suspects.add(company_id)
            return True
        without = set(self._busy)
        changes = await self._database.read(
            lambda c: crm_notes.read_changes(c, company_id, without, 1)
        )
        changes = changes or await self._database.read(
            lambda c: crm_notes.read_changes(c, company_id, without, 1, deleted=True)
        )
        rows = [msgspec.to_builtins(one) for one in changes]
        _logger.error(
            "a row of the CRM cannot be shown", company_id=company_id, rows=rows, exc_info=error
        )
        await self._database.transaction(
            lambda c: crm_notes.delete_changes(c, [one.id for one in changes])
        )
        return True

    def _note_busy(self, conversation_ids: set[int]) -> None:
        due = time.monotonic() + _BUSY_SECONDS
        for conversation_id in list(conversation_ids)[: max(0, _MAX_BUSY - len(self._busy))]:
            self._busy[conversation_id] = due

    async def _settle(self, connection: Connection, company_id: int, limit: int) -> Settled:
        streams, _ = await eventlog.lock_free_and_read(connection, [company_id])
        if company_id not in streams:  # held by somebody else, who may be doing just this
            return Settled()
        changes = await crm_notes.read_changes(connection, company_id, self._busy, limit)
        if time.monotonic() - self._reset_at.get(company_id, float("-inf")) >= self._reset_seconds:
            most = min(limit * 10, _MAX_DELETED)
            changes += await crm_notes.read_changes(
                connection, company_id, self._busy, most, deleted=True
            )
        if not changes:
            return Settled()
        rows = await crm_notes.read_rows(connection, company_id, changes)
        applied = [one for one in changes if not _is_left(one, rows)]
        settled = Settled(len(applied), len(changes) >= limit or bool(rows.left), busy=rows.busy)
        settled.was_reset = any(one.act == DELETED for one in applied)
        now_us = self._database.clock.now_us()
        conversations = await _counted(connection, rows, applied, now_us)
        if settled.was_reset:
            await _start_anew(connection, company_id, rows.conversations, conversations)
        else:
            settled.batch = await _append(
                connection, streams[company_id], company_id, rows, conversations, applied, now_us
            )
        if moved := rows.elsewhere & {
            one.conversation_id for one in changes if one.subject == MESSAGE
        }:
            await crm_notes.forget_judgement(connection, company_id, moved)
        await crm_notes.delete_changes(connection, [one.id for one in applied])
        return settled


def _is_left(change: RowChange, rows: Rows) -> bool:
    """Whether a change has to wait: for a transaction that holds its rows, or for its turn."""
    if change.conversation_id in rows.busy:
        return True
    if change.subject == MESSAGE:
        return change.conversation_id in rows.elsewhere or change.row_id in rows.left
    return False


async def _counted(
    connection: Connection, rows: Rows, applied: Sequence[RowChange], now_us: int
) -> dict[int, Conversation]:
    """The conversations as they are to be shown, counted anew where a message of theirs was
    touched.
    """
    found = {one.id: one for one in rows.conversations}
    touched = sorted(
        {one.conversation_id for one in applied if one.subject == MESSAGE or one.act == DELETED}
        & found.keys()
    )
    if touched:
        inbound = await crm_notes.count_inbound(connection, touched)
        newest = await deciding_messages.read_newest(connection, touched)
        deciding = await _deciding(
            connection, rows, applied, newest, [found[one] for one in touched]
        )
        for one in touched:
            found[one] = with_messages(
                found[one],
                newest.get(one),
                deciding[one],
                inbound.get(one, Inbound()),
                now_us,
            )
    return found


async def _deciding(
    connection: Connection,
    rows: Rows,
    applied: Sequence[RowChange],
    newest: Mapping[int, Message],
    conversations: Sequence[Conversation],
) -> dict[int, Sequence[Message]]:
    """What the rows of these conversations in the list are made of."""
    messages: dict[int, list[Message]] = defaultdict(list)
    for message in rows.messages:
        messages[message.conversation_id].append(message)
    without = {one.conversation_id for one in applied if one.act == DELETED}
    found: dict[int, Sequence[Message]] = {}
    wanted: dict[int, Sequence[int]] = {}
    for row in conversations:
        last = newest.get(row.id)
        if row.id not in without and decides_alone(row, last, messages[row.id]):
            found[row.id] = [] if last is None else [last]
        else:
            wanted[row.id] = ()
    return found | await deciding_messages.read_deciding(connection, wanted)


async def _append(
    connection: Connection,
    stream: Stream,
    company_id: int,
    rows: Rows,
    conversations: dict[int, Conversation],
    applied: Sequence[RowChange],
    now_us: int,
) -> EventBatch | None:
    before = {one.id: one for one in rows.conversations}
    events = draft_events(
        rows.conversations, conversations, rows.messages, applied, stream.head, now_us
    )
    if not events:
        return None
    for row in {event.conversation.id: event.conversation for event in events}.values():
        crm_notes.pipeline_conversation(connection, before[row.id], row)
    crm_notes.pipeline_messages(connection, events)
    bodies = tuple(_encoded(event, now_us) for event in events)
    batch = EventBatch(company_id, stream.epoch, stream.head + 1, bodies, now_us, written_us=now_us)
    await eventlog.append_events(connection, batch, now_us)
    return batch


def _encoded(event: Event, now_us: int) -> bytes:
    return encode_event(
        event.conversation.seq,
        event.kind,
        event.at_us,
        now_us,
        event.conversation,
        event.message,
        None,
    )


async def _start_anew(
    connection: Connection,
    company_id: int,
    before: Sequence[Conversation],
    conversations: dict[int, Conversation],
) -> None:
    """Starts a new epoch, as rows are gone, of which no event could tell: every client takes a
    snapshot.
    """
    for row in before:
        crm_notes.pipeline_conversation(connection, row, conversations[row.id])
    await eventlog.start_epoch(connection, company_id)
