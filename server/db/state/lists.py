"""Lists of conversations as one agent sees them: keyset pages, newest `last_message_at` first."""

from collections.abc import Sequence

import msgspec

from server.core.state.entities import Conversation
from server.db.engine.database import Connection
from server.db.engine.driver_adapters import Dialect, IntList
from server.db.engine.packed import fetch_packed
from server.db.schema import columns
from server.db.schema.columns import CONVERSATIONS
from server.db.schema.crm_words import SHOWN_STATUS, StatusWords
from server.db.state import search

_IS_UNSENT = "c.omni_is_unsent = 1"


class Filters(msgspec.Struct, frozen=True):
    """What a list is narrowed to; `before` is (last_message_at in microseconds or None, id) of the
    row above the page.
    """

    status: str | None = None
    platform: str | None = None
    q: str | None = None
    before: tuple[int | None, int] | None = None
    is_unsent: bool = False  # those alone that have a reply that was not sent

    def takes(self, row: Conversation) -> bool:
        """Whether it has the status, and the reply that was not sent, that are asked for."""
        is_unsent = row.preview is not None and row.preview.unsent is not None
        return self.status in (None, row.status) and (is_unsent or not self.is_unsent)


async def list_conversations(
    connection: Connection, company_id: int, agent_id: int, filters: Filters, limit: int
) -> list[tuple[Conversation, int]]:
    """One page: (conversation, this agent's read_count)."""
    conditions, values = _conditions(filters, connection.dialect)

    def select(is_status: str) -> tuple[str, dict[str, object]]:
        sql = (
            f"SELECT {CONVERSATIONS.select[connection.dialect]}, r.read_count FROM "
            "social_conversations c "
            "LEFT JOIN omni_conversation_reads r ON r.agent_id = :agent_id AND r.conversation_id = "
            f"c.id WHERE c.company_id = :company_id {is_status} {conditions} "
            "ORDER BY c.last_message_at DESC, c.id DESC LIMIT :limit"
        )
        return sql, values | {"company_id": company_id, "agent_id": agent_id, "limit": limit}

    is_usual, rest = _is_status(connection.crm.status, filters.status)
    if not rest:
        rows = await connection.fetch_all(*select(is_usual))
    else:  # rare, and not in the order of the index: asked in the same round trip
        rows, others = await connection.fetch_each(select(is_usual), _exists(company_id, rest))
        if others[0][0]:
            rows = await connection.fetch_all(*select(_either(is_usual, rest)))
    return [(CONVERSATIONS.entity(row), CONVERSATIONS.rest(row)[0] or 0) for row in rows]


async def list_ids(connection: Connection, company_id: int, filters: Filters) -> list[int]:
    """The numbers of all of them, in the list's order: one statement, so of one moment."""
    conditions, values = _conditions(filters, connection.dialect)
    is_status, rest = _is_status(connection.crm.status, filters.status)
    if rest and (await connection.fetch_all(*_exists(company_id, rest)))[0][0]:
        is_status = _either(is_status, rest)
    rows = await fetch_packed(
        connection,
        ["c.id"],
        f"social_conversations c WHERE c.company_id = :company_id {is_status} {conditions}",
        "c.last_message_at DESC, c.id DESC",
        values | {"company_id": company_id},
    )
    return [number for (number,) in rows]


async def read_listed(
    connection: Connection,
    company_id: int,
    agent_id: int,
    conversation_ids: Sequence[int],
    filters: Filters,
) -> list[tuple[Conversation, int]]:
    """Those rows as they are now, in the order of the numbers; without those that the filters no
    longer take.
    """
    rows = await connection.fetch_all(
        f"SELECT {CONVERSATIONS.select[connection.dialect]}, r.read_count FROM "
        "social_conversations c "
        "LEFT JOIN omni_conversation_reads r ON r.agent_id = :agent_id AND r.conversation_id = "
        "c.id "
        "WHERE c.company_id = :company_id AND c.id IN (:ids)",
        {"company_id": company_id, "agent_id": agent_id, "ids": IntList(conversation_ids)},
    )
    found = {
        row.id: (row, CONVERSATIONS.rest(raw)[0] or 0)
        for raw in rows
        for row in (CONVERSATIONS.entity(raw),)
    }
    return [found[one] for one in conversation_ids if one in found and filters.takes(found[one][0])]


async def count_unsent(connection: Connection, company_id: int) -> int:
    """In how many conversations there is a reply that was not sent."""
    number = await connection.fetch_value(
        "SELECT COUNT(*) FROM social_conversations c WHERE c.company_id = :company_id "
        f"AND {_IS_UNSENT}",
        {"company_id": company_id},
    )
    return int(number or 0)


async def count_unread(connection: Connection, company_id: int, agent_id: int) -> dict[str, int]:
    """In how many conversations there is a message of the customer that this agent has not read, by
    their status.
    """
    rows = await connection.fetch_all(
        f"SELECT {SHOWN_STATUS}, COUNT(*) FROM social_conversations c "
        "LEFT JOIN omni_conversation_reads r ON r.agent_id = :agent_id AND r.conversation_id = "
        "c.id "
        "WHERE c.company_id = :company_id AND c.omni_inbound_count > c.omni_read_count "
        "AND c.omni_inbound_count > COALESCE(r.read_count, 0) GROUP BY 1",
        {"company_id": company_id, "agent_id": agent_id},
    )
    return {str(status): int(count) for status, count in rows}


async def read_read_count(connection: Connection, agent_id: int, conversation_id: int) -> int:
    """Return how many of the conversation's messages the agent has read here."""
    number = await connection.fetch_value(
        "SELECT read_count FROM omni_conversation_reads WHERE agent_id = :agent_id AND "
        "conversation_id = :conversation_id",
        {"agent_id": agent_id, "conversation_id": conversation_id},
    )
    return int(number or 0)


async def write_read_count(
    connection: Connection,
    agent_id: int,
    conversation_id: int,
    read_count: int,
    message_id: int,
    now_us: int,
) -> None:
    """Store how many messages an agent has read. The company's stream is locked, so that no other
    transaction writes the row between the two statements.
    """
    values = {
        "a": agent_id,
        "c": conversation_id,
        "count": read_count,
        "m": message_id,
        "now": now_us,
    }
    found = await connection.execute(
        "UPDATE omni_conversation_reads SET read_count = :count, message_id = :m, updated_at = "
        ":now "
        "WHERE agent_id = :a AND conversation_id = :c",
        values,
    )
    if not found:
        await connection.execute(
            "INSERT INTO omni_conversation_reads (agent_id, conversation_id, read_count, "
            "message_id, updated_at) "
            "VALUES (:a, :c, :count, :m, :now)",
            values,
        )


def _is_status(words: StatusWords, status: str | None) -> tuple[str, list[str]]:
    """Conditions as `StatusWords.conditions`, the first to be put behind others."""
    if status is None:
        return "", []
    usual, rest = words.conditions(status)
    return f"AND {usual}", rest


def _exists(company_id: int, conditions: Sequence[str]) -> tuple[str, dict[str, object]]:
    """Whether any row meets one of them; each is looked for by itself, as SQLite would read all
    rows of the company for several at once.
    """
    select = "EXISTS (SELECT 1 FROM social_conversations c WHERE c.company_id = :company_id AND "
    found = " OR ".join(f"{select}{condition})" for condition in conditions)
    return f"SELECT {found}", {"company_id": company_id}


def _either(is_usual: str, rest: Sequence[str]) -> str:
    return f"AND ({' OR '.join((is_usual.removeprefix('AND '), *rest))})"


def _conditions(filters: Filters, dialect: Dialect) -> tuple[str, dict[str, object]]:
    parts: list[str] = []
    values: dict[str, object] = {}
    if filters.is_unsent:
        parts.append(f"AND {_IS_UNSENT}")
    if filters.platform is not None:
        parts.append("AND LOWER(TRIM(c.platform)) = :platform")
        values["platform"] = filters.platform
    if filters.q:
        condition, wanted = search.conversations_with(filters.q)
        parts.append(f"AND {condition}")
        values |= wanted
    if filters.before is not None:
        moment, values["edge_id"] = filters.before
        if moment is None:
            parts.append(f"AND ({_after_unreadable(dialect)})")
        else:
            values["edge"] = columns.time_to_column(moment)
            parts.append(
                "AND (c.last_message_at < :edge OR (c.last_message_at = :edge AND c.id < "
                ":edge_id) OR c.last_message_at IS NULL)"
            )
    return " ".join(parts), values


def _after_unreadable(dialect: Dialect) -> str:
    """What follows the row `:edge_id`, whose time is NULL or none of the calendar
    (`0000-00-00`, `2026-02-31`): such a row has its place in the order all the same, which only the
    database can tell.

    Not IS NULL on MySQL, which finds `0000-00-00` in a column that takes no NULL.
    """
    edge = "(SELECT e.last_message_at FROM social_conversations e WHERE e.id = :edge_id)"
    same = "<=>" if dialect == "mysql" else "IS"
    return (
        f"c.last_message_at < {edge} OR (c.last_message_at {same} {edge} AND c.id < :edge_id) "
        f"OR (c.last_message_at {same} NULL AND NOT {edge} {same} NULL)"
    )
