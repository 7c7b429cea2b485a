"""Rows of `omni_crm_changes` and the rows they name: what the follower reads and writes, one
company at a time.

Nothing here waits for another program's transaction: rows that it holds are skipped, and so are
left for later. Of the shared tables our own columns are written, and nothing else but a
conversation's `last_message_at`: values that are not ours to judge stay as they are.
"""

from collections.abc import Iterable, Sequence

import msgspec

from server.core.state.crm_changes import (
    CONVERSATION,
    INTEGRATION,
    INTEGRATIONS,
    MESSAGE,
    NOBODY,
    Event,
    Inbound,
    RowChange,
)
from server.core.state.entities import Conversation, Message
from server.core.state.search_text import message_form
from server.db.engine.database import Connection
from server.db.engine.driver_adapters import IntList
from server.db.schema import columns
from server.db.schema.columns import CONVERSATIONS, MESSAGES
from server.db.schema.crm_words import IS_CUSTOMER

_MESSAGES_BYTES = 2_000_000  # of texts in one transaction, or a single message
_COLUMNS = "id, subject, act, row_id, conversation_id"
_COUNTED = (
    "omni_preview",
    "omni_is_unsent",
    "omni_inbound_count",
    "omni_last_inbound_at",
    "omni_last_message_number",
    "omni_seq",
    "omni_search_text",
)


class Rows(msgspec.Struct):
    """What the changes of a company name, locked. `busy`: conversations that another transaction
    holds. `gone`: that are not there.
    """

    conversations: list[Conversation] = []
    messages: list[Message] = []
    busy: set[int] = set()
    gone: set[int] = set()
    elsewhere: set[int] = set()  # they belong to another company
    left: set[int] = set()  # messages that were not read: held, or too many bytes for once


async def read_companies(connection: Connection) -> list[int | None]:
    """Return the companies whose changes wait; None among them: some changes have no company yet.
    Costs the same however many there are.
    """
    return await connection.fetch_column("SELECT DISTINCT company_id FROM omni_crm_changes")


async def read_unjudged(connection: Connection, limit: int) -> list[tuple[int, int]]:
    """Return (id, conversation) of changes whose company is not known yet: the oldest, and as many
    of the newest, which one company's bulk update must not hold up.
    """
    select = "SELECT id, conversation_id FROM omni_crm_changes WHERE company_id IS NULL ORDER BY id"
    oldest, newest = await connection.fetch_each(
        (f"{select} LIMIT :limit", {"limit": limit}),
        (f"{select} DESC LIMIT :limit", {"limit": limit}),
    )
    return sorted({(number, one) for number, one in (*oldest, *newest)})


async def judge(connection: Connection, changes: Sequence[tuple[int, int]]) -> None:
    """Store the companies of changes; without its conversation a message has none, as it is shown
    to no one.
    """
    rows = await connection.fetch_all(
        "SELECT id, company_id FROM social_conversations WHERE id IN (:ids)",
        {"ids": IntList({one for _, one in changes})},
    )
    companies = {one: company_id for one, company_id in rows}
    found: dict[int, list[int]] = {}
    for change_id, conversation_id in changes:
        # none where there is no conversation, or the CRM has left it empty
        company_id = companies.get(conversation_id)
        found.setdefault(NOBODY if company_id is None or company_id < 0 else company_id, []).append(
            change_id
        )
    for company_id in sorted(found):
        connection.pipeline(
            "UPDATE omni_crm_changes SET company_id = :company_id WHERE id IN (:ids)",
            {"company_id": company_id, "ids": IntList(found[company_id])},
        )


async def read_changes(
    connection: Connection,
    company_id: int,
    without: Iterable[int],
    limit: int,
    *,
    deleted: bool = False,
) -> list[RowChange]:
    """The oldest of a company but for those of some conversations: of rows that are there, or of
    rows that are gone.

    Read with the company's stream locked: nobody else takes them then.
    """
    rows = await connection.fetch_all(
        f"SELECT {_COLUMNS} FROM omni_crm_changes WHERE company_id = :company_id AND NOT "
        "conversation_id IN (:without) "
        f"AND act {'=' if deleted else '<>'} 'D' ORDER BY id LIMIT :limit",
        {"company_id": company_id, "without": IntList([0, *without]), "limit": limit},
    )
    return [RowChange(*row) for row in rows]


async def read_integration_changes(connection: Connection, limit: int) -> list[RowChange]:
    """Return the oldest changes that other programs made to integrations."""
    rows = await connection.fetch_all(
        f"SELECT {_COLUMNS} FROM omni_crm_changes WHERE company_id = :place AND subject = "
        ":subject ORDER BY id LIMIT :limit",
        {"place": INTEGRATIONS, "subject": INTEGRATION, "limit": limit},
    )
    return [RowChange(*row) for row in rows]


async def delete_changes(connection: Connection, change_ids: Iterable[int]) -> None:
    """With the COMMIT at the latest."""
    if wanted := IntList(sorted(change_ids)):
        connection.pipeline("DELETE FROM omni_crm_changes WHERE id IN (:ids)", {"ids": wanted})


async def forget(connection: Connection, condition: str) -> None:
    """Delete changes that need no event, as their writer has announced them. By their keys, so that
    no other's row is waited for.
    """
    select = f"SELECT id FROM omni_crm_changes WHERE {condition}"
    await delete_changes(connection, await connection.fetch_column(select))


async def delete_nobodys(connection: Connection, limit: int) -> None:
    """Of rows that no company has. A company's number is positive; what a CRM may have below nought
    is nobody's.
    """
    nobodys = await connection.fetch_column(
        "SELECT id FROM omni_crm_changes WHERE company_id < 0 AND subject IN (:conversation, "
        ":message) ORDER BY id LIMIT :limit",
        {"conversation": CONVERSATION, "message": MESSAGE, "limit": limit},
    )
    await delete_changes(connection, nobodys)


async def forget_judgement(
    connection: Connection, company_id: int, conversation_ids: Iterable[int]
) -> None:
    """Have the companies of these conversations' changes read again."""
    await connection.execute(
        "UPDATE omni_crm_changes SET company_id = NULL "
        "WHERE company_id = :company_id AND conversation_id IN (:ids) AND subject = :subject",
        {"company_id": company_id, "ids": IntList(sorted(conversation_ids)), "subject": MESSAGE},
    )


async def read_rows(connection: Connection, company_id: int, changes: Sequence[RowChange]) -> Rows:
    """Lock and read what these changes name, as far as no other transaction holds it."""
    wanted = {one.conversation_id for one in changes}
    suffix = " FOR UPDATE SKIP LOCKED" if connection.dialect == "mysql" else ""
    found = await connection.fetch_all(
        f"SELECT {CONVERSATIONS.select[connection.dialect]} FROM social_conversations c "
        f"WHERE c.id IN (:ids) ORDER BY c.id{suffix}",
        {"ids": IntList(sorted(wanted))},
    )
    locked = [CONVERSATIONS.entity(row) for row in found]
    rows = Rows(conversations=[one for one in locked if one.company_id == company_id])
    rows.elsewhere = {one.id for one in locked} - {one.id for one in rows.conversations}
    if absent := wanted - {one.id for one in locked}:
        held = await connection.fetch_column(
            "SELECT id FROM social_conversations WHERE id IN (:ids)",
            {"ids": IntList(sorted(absent))},
        )
        rows.busy = set(held)
        rows.gone = absent - rows.busy
    own = {one.id for one in rows.conversations}
    message_ids = {
        one.row_id for one in changes if one.subject == MESSAGE and one.conversation_id in own
    }
    await _read_messages(connection, rows, message_ids, suffix)
    rows.messages = [one for one in rows.messages if one.conversation_id in own]
    return rows


async def _read_messages(
    connection: Connection, rows: Rows, message_ids: set[int], suffix: str
) -> None:
    if not message_ids:
        return
    sizes = await connection.fetch_all(
        "SELECT id, COALESCE(LENGTH(content), 0) + COALESCE(LENGTH(omni_attachments), 0) FROM "
        "social_messages "
        "WHERE id IN (:ids) ORDER BY id",
        {"ids": IntList(sorted(message_ids))},
    )
    wanted, total = list[int](), 0
    for message_id, size in sizes:
        total += size
        if wanted and total > _MESSAGES_BYTES:
            break
        wanted.append(message_id)
    found = await connection.fetch_all(
        f"SELECT {MESSAGES.select[connection.dialect]} FROM social_messages m WHERE m.id IN "
        f"(:ids) ORDER BY m.id{suffix}",
        {"ids": IntList(wanted)},
    )
    rows.messages = [MESSAGES.entity(row) for row in found]
    rows.left = {message_id for message_id, _ in sizes} - {one.id for one in rows.messages}


async def count_inbound(
    connection: Connection, conversation_ids: Sequence[int]
) -> dict[int, Inbound]:
    """What customers wrote in them. Costs an index entry and a row for each message of the
    conversations.
    """
    rows = await connection.fetch_all(
        "SELECT conversation_id, COUNT(*), MAX(CASE WHEN created_at > '1970-01-02' THEN "
        "created_at END) FROM social_messages "
        f"WHERE conversation_id IN (:ids) AND {IS_CUSTOMER.format('sender_type')} AND "
        "omni_is_private = :no "
        "GROUP BY conversation_id",
        {"ids": IntList(conversation_ids), "no": False},
    )
    return {one: Inbound(count, columns.time_from_column(last)) for one, count, last in rows}


def pipeline_conversation(connection: Connection, before: Conversation, row: Conversation) -> None:
    """Our columns, and the list's time where it goes forward; on SQLite in the form that it orders
    rightly.
    """
    is_text = connection.dialect == "sqlite" and row.last_message_us is not None
    names = [
        *_COUNTED,
        *(["last_message_at"] if is_text or row.last_message_us != before.last_message_us else []),
    ]
    assignments = ", ".join(f"{name} = :{name}" for name in names)
    values = columns.conversation_to_row(row)
    connection.pipeline(
        f"UPDATE social_conversations SET {assignments}, updated_at = updated_at WHERE id = :id",
        {name: values[name] for name in ("id", *names)},
    )


def pipeline_messages(connection: Connection, events: Iterable[Event]) -> None:
    """The number of its event, and what it is found by; on SQLite its time in the form that it
    orders rightly.
    """
    is_sqlite = connection.dialect == "sqlite"
    for event in events:
        if (row := event.message) is not None:
            values: dict[str, object] = {"seq": row.seq, "form": message_form(row), "id": row.id}
            if is_text := is_sqlite and row.created_us is not None:
                values["at"] = columns.time_to_column(row.created_us)
            at = ", created_at = :at" if is_text else ""
            connection.pipeline(
                f"UPDATE social_messages SET omni_seq = :seq, omni_search_text = :form{at} WHERE "
                "id = :id",
                values,
            )


async def read_all_companies(connection: Connection) -> list[int]:
    """Those that have an event log."""
    return await connection.fetch_column(
        "SELECT company_id FROM omni_inbox_streams ORDER BY company_id"
    )
