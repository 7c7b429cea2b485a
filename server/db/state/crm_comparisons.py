"""Comparisons of all the CRM's rows with what was counted of them: how they are ordered, claimed by
one process, made page by page, and noted as made.
"""

from collections.abc import Iterable, Mapping, Sequence

from server.core.state.crm_changes import (
    COMPARE,
    COMPARED,
    DELETED,
    INSERTED,
    MESSAGE,
    QUIET,
    SERVER,
    Inbound,
)
from server.core.state.entities import Conversation, Message
from server.core.state.list_rows import rank_of, settled
from server.core.state.previews import SPOKEN, UNKNOWN, Preview, RowPreview
from server.core.state.views import preview_of
from server.core.times import SECOND
from server.db.engine.database import Connection
from server.db.engine.driver_adapters import IntList
from server.db.schema.columns import CONVERSATIONS
from server.db.state import crm_notes, deciding_messages


async def read_comparisons(connection: Connection) -> tuple[list[int], bool]:
    """Orders to compare everything, as triggers or their notes were missing for a while; whether
    all of them are quiet.
    """
    rows = await connection.fetch_all(
        "SELECT id, act FROM omni_crm_changes WHERE company_id = :place AND subject = :subject "
        "ORDER BY id LIMIT 100000",
        {"place": SERVER, "subject": COMPARE},
    )
    return [order_id for order_id, _ in rows], all(kind == QUIET for _, kind in rows)


async def order_quiet_comparison(connection: Connection, since_us: int) -> None:
    """Unless another process has ordered one that is still to begin, or has begun one since this
    moment. Of two that order at once both orders are answered by one comparison.
    """
    begun = (
        "SELECT 1 FROM omni_crm_changes WHERE company_id = :place AND (subject = :compare AND "
        "(row_id = 0 OR conversation_id >= :since) OR subject = :compared AND row_id >= :since)"
    )
    await connection.execute(
        "INSERT INTO omni_crm_changes (company_id, subject, act, row_id) SELECT :place, :compare, "
        f":act, 0 FROM (SELECT 1 AS one) AS one WHERE NOT EXISTS ({begun})",
        {
            "place": SERVER,
            "compare": COMPARE,
            "compared": COMPARED,
            "act": QUIET,
            "since": since_us,
        },
    )


async def record_compared(connection: Connection, order_ids: Iterable[int], begun_us: int) -> None:
    """These orders are answered; what began then stays known until the next one."""
    compared = await connection.fetch_column(
        "SELECT id FROM omni_crm_changes WHERE company_id = :place AND subject = :subject",
        {"place": SERVER, "subject": COMPARED},
    )
    await crm_notes.delete_changes(connection, [*order_ids, *compared])
    connection.pipeline(
        "INSERT INTO omni_crm_changes (company_id, subject, act, row_id) VALUES (:place, "
        ":subject, :act, :begun)",
        {"place": SERVER, "subject": COMPARED, "act": INSERTED, "begun": begun_us},
    )


async def claim_comparison(
    connection: Connection, order_id: int, now_us: int, lease_us: int
) -> bool:
    """Whether it is this process that compares, for as long as it renews. `row_id` of an order is
    when it was renewed last, `conversation_id` when its comparison began.

    Two processes' readings of the database's clock differ by milliseconds: only a moment that lies
    a whole lease ahead is one that cannot be.
    """
    found = await connection.execute(
        "UPDATE omni_crm_changes SET row_id = :now, conversation_id = :now WHERE id = :id AND "
        "(row_id < :before OR row_id > :after)",
        {
            "now": now_us,
            "id": order_id,
            "before": now_us - lease_us,
            "after": now_us + lease_us,
        },
    )
    return found > 0


async def renew_claim(connection: Connection, order_id: int, now_us: int) -> None:
    """The process that compares is alive."""
    await connection.execute(
        "UPDATE omni_crm_changes SET row_id = :now WHERE id = :id",
        {"now": now_us, "id": order_id},
    )


async def find_miscounted(
    connection: Connection, after_id: int, limit: int
) -> tuple[int | None, list[Conversation]]:
    """Find conversations whose preview or count is not what their messages say, and of which no
    note waits that would have them counted anyway.

    To be run in one snapshot: between two SELECTs a message may be stored. Returns the last id of
    the page (None: there was none) and what was found.
    """
    found = await connection.fetch_all(
        f"SELECT {CONVERSATIONS.select[connection.dialect]} FROM social_conversations c WHERE "
        "c.id > :after ORDER BY c.id LIMIT :limit",
        {"after": after_id, "limit": limit},
    )
    rows = [CONVERSATIONS.entity(row) for row in found]
    if not rows:
        return None, []
    ids = [one.id for one in rows]
    inbound = await crm_notes.count_inbound(connection, ids)
    newest = await deciding_messages.read_newest(connection, ids)
    shown = await _read_shown(connection, rows, newest)
    odd = [
        one
        for one in rows
        if one.inbound_count != inbound.get(one.id, Inbound()).count
        or not _is_same_preview(one.preview, shown[one.id])
    ]
    noted = await _read_noted(connection, [one.id for one in odd]) if odd else set[int]()
    return ids[-1], [one for one in odd if one.id not in noted]


async def _read_noted(connection: Connection, conversation_ids: Sequence[int]) -> set[int]:
    rows = await connection.fetch_all(
        "SELECT DISTINCT conversation_id FROM omni_crm_changes WHERE conversation_id IN (:ids) "
        "AND (subject = :message OR act = :deleted)",
        {"ids": IntList(conversation_ids), "message": MESSAGE, "deleted": DELETED},
    )
    return {conversation_id for (conversation_id,) in rows}


def order_counts(connection: Connection, conversations: Sequence[Conversation]) -> None:
    """Order these conversations to be counted anew, as after a message was deleted."""
    connection.pipeline_many(
        "INSERT INTO omni_crm_changes (company_id, subject, act, row_id, conversation_id) "
        "VALUES (:company_id, :subject, :act, :row_id, :id)",
        [
            {
                "company_id": one.company_id,
                "subject": MESSAGE,
                "act": DELETED,
                "row_id": 0,
                "id": one.id,
            }
            for one in conversations
        ],
    )


async def _read_shown(
    connection: Connection, rows: Iterable[Conversation], newest: Mapping[int, Message]
) -> dict[int, Preview | None]:
    """Return the preview that each should have. One that a version before ranks stored is of the
    newest public message.
    """
    found: dict[int, Preview | None] = {}
    wanted: dict[int, Sequence[int]] = {}
    for row in rows:
        last = newest.get(row.id)
        is_old = row.preview is not None and row.preview.rank == UNKNOWN
        if last is None or is_old:
            found[row.id] = None if last is None else preview_of(last)
        elif rank_of(last) == SPOKEN:
            found[row.id] = settled([last])
        else:
            wanted[row.id] = ()
    deciding = await deciding_messages.read_deciding(connection, wanted)
    return found | {one: settled(messages) for one, messages in deciding.items()}


def _is_same_preview(stored: RowPreview | None, wanted: Preview | None) -> bool:
    """Whether a row says what its thread would have it say. A reply without a number has given way
    in the row to what was written in its second, and stands last in the thread.
    """
    if stored is None or wanted is None:
        return stored is wanted
    if (stored.content, stored.sender_type) == (wanted.content, wanted.sender_type):
        return True
    if not isinstance(wanted, RowPreview) or wanted.number is not None:
        return False
    return (stored.at_us or 0) // SECOND == (wanted.at_us or 0) // SECOND
