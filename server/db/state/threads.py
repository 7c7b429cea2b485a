"""The messages of one conversation in the order of `core/state/thread_order.py`: pages, and how far
an agent has read.

A second is read whole before it is put in order: the index knows the times alone, and a page that
ended inside a second would hold the wrong ones of it.
"""

from collections.abc import Sequence

from server.core.state.entities import Message
from server.core.state.thread_order import LAST
from server.core.times import SECOND
from server.db.engine.database import Connection
from server.db.schema.columns import (
    MESSAGES,
    ids,
    time_from_column,
    time_to_column,
)
from server.db.schema.crm_words import IS_AGENT, IS_CUSTOMER

_OF_CONVERSATION = (
    "FROM social_messages m JOIN social_conversations c ON c.id = m.conversation_id "
    "WHERE m.conversation_id = :conversation_id AND c.company_id = :company_id"
)
_NUMBER = f"COALESCE(m.omni_chatwoot_message_id, {LAST})"
# older programs left zero dates
_TIME = "CASE WHEN m.created_at >= '1000-01-01 00:00:00' THEN m.created_at END"
NEWEST_FIRST = f"SUBSTR({_TIME}, 1, 19) DESC, {_NUMBER} DESC, m.id DESC"
_MAX_RENAMED = 500  # with one name: what is older gets it when it is read again
_MAX_SEEN = 100  # of one conversation and look, the newest
# so far back from what an agent saw last, a message that came late still matters to a reply
_END_US = 10 * 60 * SECOND


async def read_messages(
    connection: Connection,
    company_id: int,
    conversation_id: int,
    *,
    limit: int,
    before: Message | None = None,
) -> list[Message]:
    """The newest `limit` messages before a given one, oldest first."""
    keys: dict[str, object] = {"conversation_id": conversation_id, "company_id": company_id}
    edge, values = ("", {}) if before is None else _before(before)
    from_us = await _first_second(connection, keys, limit, before)
    since = "" if from_us is None else "AND m.created_at >= :since"
    rows = await connection.fetch_all(
        f"SELECT {MESSAGES.select[connection.dialect]} {_OF_CONVERSATION} {edge} {since} ORDER "
        f"BY {NEWEST_FIRST} LIMIT :limit",
        keys
        | values
        | {"limit": limit}
        | ({} if from_us is None else {"since": time_to_column(from_us)}),
    )
    return [MESSAGES.entity(row) for row in reversed(rows)]


async def _first_second(
    connection: Connection, keys: dict[str, object], limit: int, before: Message | None
) -> int | None:
    """The second, in microseconds, in which a page of this many messages begins at the latest.
    None: with the oldest.
    """
    if before is not None and before.created_us is None:
        return None
    until = "" if before is None else "AND m.created_at < :second"
    at = await connection.fetch_value(
        f"SELECT m.created_at {_OF_CONVERSATION} {until} ORDER BY m.created_at DESC, m.id DESC "
        "LIMIT 1 OFFSET :skipped",
        keys | {"skipped": limit - 1} | ({} if before is None else {"second": _second(before)}),
    )
    at_us = time_from_column(at)
    return None if at_us is None else at_us - at_us % SECOND


async def read_unseen(
    connection: Connection, company_id: int, conversation_id: int, seen_id: int, limit: int
) -> list[Message]:
    """Public messages that came after this one, whose number says what an agent was shown. What was
    found late and lies further back than the thread's end is history, which a sync may bring by the
    thousand, and holds no reply back.
    """
    seen = (
        "SELECT s.created_at FROM social_messages s WHERE s.id = :seen_id AND "
        "s.conversation_id = :conversation_id"
    )
    seen_at = await connection.fetch_value(
        seen, {"conversation_id": conversation_id, "seen_id": seen_id}
    )
    seen_us = time_from_column(seen_at)
    rows = await connection.fetch_all(
        f"SELECT {MESSAGES.select[connection.dialect]} {_OF_CONVERSATION} AND m.id > :seen_id "
        "AND m.omni_is_private = :no "
        "AND m.created_at >= :since ORDER BY m.id LIMIT :limit",
        {
            "conversation_id": conversation_id,
            "company_id": company_id,
            "seen_id": seen_id,
            "no": False,
            "since": time_to_column(max(0, (seen_us or 0) - _END_US)),
            "limit": limit,
        },
    )
    return [MESSAGES.entity(row) for row in rows]


async def read_seen_since(
    connection: Connection, readings: Sequence[tuple[int, int, int]]
) -> list[Message]:
    """Messages to the customer that are not known to be read, of (conversation, since, until in
    microseconds). By whole seconds, as Chatwoot tells looks: that of `since` was not over then and
    is looked through again, that of `until` is not over now.
    """
    conditions: list[str] = []
    values: dict[str, object] = {"no": False, "limit": _MAX_SEEN * len(readings)}
    for n, (conversation_id, since_us, until_us) in enumerate(readings):
        conditions.append(
            f"(m.conversation_id = :c{n} AND m.created_at >= :s{n} AND m.created_at < :u{n})"
        )
        since, until = (
            time_to_column(since_us - since_us % SECOND),
            time_to_column(until_us - until_us % SECOND),
        )
        values |= {f"c{n}": conversation_id, f"s{n}": since, f"u{n}": until}
    rows = await connection.fetch_all(
        f"SELECT {MESSAGES.select[connection.dialect]} FROM social_messages m WHERE "
        f"({' OR '.join(conditions)}) "
        f"AND {IS_AGENT.format('m.sender_type')} AND m.omni_is_private = :no AND "
        "(m.omni_delivery_state IS NULL OR m.omni_delivery_state IN ('sent', 'delivered')) "
        "ORDER BY m.created_at DESC, m.id DESC LIMIT :limit",
        values,
    )
    return [MESSAGES.entity(row) for row in rows]


async def read_of_customers(
    connection: Connection, conversation_ids: Sequence[int]
) -> list[Message]:
    """The newest messages of the customers of these conversations."""
    rows = await connection.fetch_all(
        f"SELECT {MESSAGES.select[connection.dialect]} FROM social_messages m "
        f"WHERE m.conversation_id IN ({ids(conversation_ids)}) AND "
        f"{IS_CUSTOMER.format('m.sender_type')} "
        "ORDER BY m.created_at DESC, m.id DESC LIMIT :limit",
        {"limit": _MAX_RENAMED},
    )
    return [MESSAGES.entity(row) for row in rows]


async def count_inbound(connection: Connection, message: Message) -> int:
    """Count the messages the customer has sent up to this one, in the order they are shown: what
    came late is before it.
    """
    edge, values = _before(message)
    number = await connection.fetch_value(
        "SELECT COUNT(*) FROM social_messages m WHERE m.conversation_id = :conversation_id AND "
        f"{IS_CUSTOMER.format('m.sender_type')} "
        f"AND m.omni_is_private = :no AND (m.id = :id OR (TRUE {edge}))",
        values | {"conversation_id": message.conversation_id, "no": False, "id": message.id},
    )
    return int(number or 0)


def _before(message: Message) -> tuple[str, dict[str, object]]:
    """Return the condition that finds what is shown before a message."""
    in_second = f"{_NUMBER} < :number OR ({_NUMBER} = :number AND m.id < :id)"
    values: dict[str, object] = {"number": message.chatwoot_message_id or LAST, "id": message.id}
    if message.created_us is None:
        return f"AND {_TIME} IS NULL AND ({in_second})", values
    return (
        (
            "AND (m.created_at IS NULL OR m.created_at < :next) AND (m.created_at IS NULL OR "
            f"m.created_at < :second OR {in_second})"
        ),
        values
        | {
            "second": _second(message),
            "next": time_to_column(message.created_us - message.created_us % SECOND + SECOND),
        },
    )


def _second(message: Message) -> str | None:
    at_us = message.created_us or 0
    return time_to_column(at_us - at_us % SECOND)
