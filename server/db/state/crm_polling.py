"""Finding what other programs wrote without triggers: new rows by their ids, changed ones by
looking at the top of a company's list.
"""

from collections.abc import Collection, Iterable

from server.core.state.crm_changes import (
    CONVERSATION,
    INSERTED,
    MESSAGE,
    POLLED,
    SERVER,
    UPDATED,
)
from server.db.engine.database import Connection

# conversation -> (number of its last event, all that another program may change)
Newest = dict[int, tuple[int, str]]
_MAX_COMPARED = 100  # of a company, the newest
_INSERT = (
    "INSERT INTO omni_crm_changes (company_id, subject, act, row_id, conversation_id) "
    "VALUES (:company_id, :subject, :act, :row_id, :id)"
)


async def read_ends(connection: Connection) -> tuple[int, int]:
    """The newest ids of conversations and messages."""
    conversations, messages = await connection.fetch_each(
        ("SELECT COALESCE(MAX(id), 0) FROM social_conversations", {}),
        ("SELECT COALESCE(MAX(id), 0) FROM social_messages", {}),
    )
    return int(conversations[0][0]), int(messages[0][0])


async def keep_floor(connection: Connection, ends: tuple[int, int]) -> tuple[int, int]:
    """The ids up to which all is known, kept over restarts: `ends` the first time."""
    row = await connection.fetch_one(
        "SELECT conversation_id, row_id FROM omni_crm_changes WHERE company_id = :place AND "
        "subject = :subject ORDER BY id LIMIT 1",
        {"place": SERVER, "subject": POLLED},
    )
    if row is not None:
        conversation_id, message_id = row
        return conversation_id, message_id
    values = {
        "company_id": SERVER,
        "subject": POLLED,
        "act": INSERTED,
        "row_id": ends[1],
        "id": ends[0],
    }
    await connection.execute(_INSERT, values)
    return ends


async def move_floor(connection: Connection, ends: tuple[int, int]) -> None:
    """Store up to which conversation and message rows have been polled."""
    await connection.execute(
        "UPDATE omni_crm_changes SET conversation_id = :c, row_id = :m WHERE company_id = :place "
        "AND subject = :subject",
        {"c": ends[0], "m": ends[1], "place": SERVER, "subject": POLLED},
    )


async def queue_unheard(
    connection: Connection,
    floor: tuple[int, int],
    limit: int,
    known: tuple[Collection[int], Collection[int]],
) -> tuple[list[int], list[int]]:
    """Order events for rows above these ids that never had one. Returns the ids of conversations
    and messages.
    """
    conversations, messages = await connection.fetch_each(
        (
            (
                "SELECT id, company_id FROM social_conversations WHERE id > :floor AND omni_seq "
                "= 0 "
                "ORDER BY id LIMIT :limit"
            ),
            {"floor": floor[0], "limit": limit},
        ),
        (
            (
                "SELECT id, conversation_id FROM social_messages WHERE id > :floor AND omni_seq "
                "= 0 "
                "ORDER BY id LIMIT :limit"
            ),
            {"floor": floor[1], "limit": limit},
        ),
    )
    new = [
        _row(company_id, CONVERSATION, INSERTED, one, one)
        for one, company_id in conversations
        if one not in known[0]
    ]
    new += [
        _row(None, MESSAGE, INSERTED, one, conversation_id)
        for one, conversation_id in messages
        if one not in known[1]
    ]
    connection.pipeline_many(_INSERT, new)
    return [one for one, _ in conversations], [one for one, _ in messages]


async def read_newest(connection: Connection, company_id: int) -> Newest:
    """Return the newest conversations of a company: our sequence number, and what the CRM's columns
    say.
    """
    rows = await connection.fetch_all(
        "SELECT id, omni_seq, platform, external_user_id, external_user_name, status, "
        "last_message_at, created_at, updated_at "
        "FROM social_conversations WHERE company_id = :company_id ORDER BY last_message_at DESC, "
        "id DESC LIMIT :limit",
        {"company_id": company_id, "limit": _MAX_COMPARED},
    )
    return {number: (seq, repr(rest)) for number, seq, *rest in rows}


def changed(before: Newest, now: Newest) -> list[int]:
    """Conversations that say something else, and had no event since."""
    return [
        one
        for one, (seq, text) in now.items()
        if one in before and before[one][0] == seq and before[one][1] != text
    ]


async def queue_changed(
    connection: Connection, company_id: int, conversation_ids: Iterable[int]
) -> None:
    """Queue conversations that were found changed, as a trigger would have; pipelined."""
    connection.pipeline_many(
        _INSERT, [_row(company_id, CONVERSATION, UPDATED, one, one) for one in conversation_ids]
    )


def _row(
    company_id: int | None, subject: int, act: str, row_id: int, conversation_id: int
) -> dict[str, object]:
    return {
        "company_id": company_id,
        "subject": subject,
        "act": act,
        "row_id": row_id,
        "id": conversation_id,
    }
