"""Looking into journal, messages and event log: for people, not for the hot path. Bounded by time,
as no index is kept for it.
"""

import msgspec

from server.core.identifiers import parse_digits
from server.core.state.entities import DeliveryError
from server.core.state.message_trace import SeenDelivery, SeenEvent
from server.core.state.views import shown_state
from server.db.engine.database import Connection
from server.db.engine.row_mapper import RowMapper
from server.db.journal.journal import SOURCE
from server.db.schema import columns
from server.db.schema.crm_words import SHOWN_SENDER
from server.db.state import search
from server.problems import Text, decode

_MAX_BODY_CHARACTERS = 200_000  # characters of a body that is shown


class Entry(msgspec.Struct, frozen=True, rename="camel"):
    """One delivery without its body; times in microseconds."""

    id: int
    received_us: int
    state: str
    reason: Text | None
    integration_id: int | None
    attempts: int
    finished_us: int | None
    is_verified: bool


class Found(msgspec.Struct, frozen=True):
    """A message as the ledger's search shows it; of its text only the beginning."""

    id: int
    conversation_id: int
    customer: str | None
    sender_type: str
    created_us: int | None
    chatwoot_message_id: int | None
    delivery_state: str | None
    excerpt: str
    delivery_error: DeliveryError | None = None  # with the channel's own words


_ENTRIES = RowMapper(
    Entry,
    {
        "id": "id",
        "received_us": "received_at",
        "state": "state",
        "reason": "reason",
        "integration_id": "integration_id",
        "attempts": "attempts",
        "finished_us": "finished_at",
        "is_verified": "is_verified",
    },
    converts={"reason": decode, "is_verified": bool},
)
_MESSAGES = RowMapper(
    Found,
    {
        "id": "m.id",
        "conversation_id": "m.conversation_id",
        "customer": "c.external_user_name",
        "sender_type": SHOWN_SENDER,
        "created_us": "m.created_at",
        "chatwoot_message_id": "m.omni_chatwoot_message_id",
        "delivery_state": "m.omni_delivery_state",
        "excerpt": "SUBSTR(m.content, 1, 80)",
        "delivery_error": "m.omni_delivery_error",
    },
    converts={
        "created_us": columns.time_from_column,
        "delivery_state": shown_state,
        "delivery_error": msgspec.json.Decoder(DeliveryError).decode,
    },
    absent={"excerpt": "", "delivery_error": None},
)


async def list_deliveries(
    connection: Connection,
    *,
    state: str | None,
    since_us: int,
    integration_id: int | None,
    limit: int,
    integration_ids: set[int] | None = None,
    before: int | None = None,
) -> list[Entry]:
    """Newest first. `integration_ids`: only theirs, and those that belong to none (the caller
    judges these by their address).
    """
    conditions, values = ["received_at >= :since"], {"since": since_us, "limit": limit}
    if state is not None:
        conditions.append("state = :state")
    if integration_id is not None:
        conditions.append("integration_id = :integration_id")
    if integration_ids is not None:
        conditions.append(
            f"(integration_id IS NULL OR integration_id IN ({columns.ids(integration_ids)}))"
        )
    if before is not None:
        conditions.append("id < :before")
        values["before"] = before
    rows = await connection.fetch_all(
        f"SELECT {_ENTRIES.text} FROM omni_webhook_deliveries WHERE {' AND '.join(conditions)} "
        "ORDER BY id DESC LIMIT :limit",
        values | {"state": state, "integration_id": integration_id},
    )
    return [_ENTRIES.read(row) for row in rows]


async def read_bodies(connection: Connection, delivery_ids: list[int]) -> dict[int, str]:
    """Return the first 200,000 characters of each of these deliveries' bodies."""
    rows = await connection.fetch_all(
        f"SELECT id, SUBSTR(body, 1, {_MAX_BODY_CHARACTERS}) FROM omni_webhook_deliveries "
        f"WHERE id IN ({columns.ids(delivery_ids)})"
    )
    return {number: body for number, body in rows}


async def read_body(connection: Connection, delivery_id: int) -> tuple[Entry, str] | None:
    """Return a delivery and its whole body; None if it is gone."""
    row = await connection.fetch_one(
        f"SELECT {_ENTRIES.text}, body FROM omni_webhook_deliveries WHERE id = :id",
        {"id": delivery_id},
    )
    if row is None:
        return None
    *entry, body = row
    return _ENTRIES.read(entry), body


async def read_joins(connection: Connection, delivery_id: int) -> tuple[str, dict[str, str]]:
    """(its uid, as the log names it; the headers that were kept of it)."""
    row = await connection.fetch_one(
        "SELECT uid, headers FROM omni_webhook_deliveries WHERE id = :id", {"id": delivery_id}
    )
    uid, headers = row or ("", None)
    return uid, msgspec.json.decode(headers or "{}")


async def ids_in_state(connection: Connection, state: str, limit: int) -> list[int]:
    """Return the numbers of the oldest deliveries in this state."""
    return await connection.fetch_column(
        "SELECT id FROM omni_webhook_deliveries WHERE state = :state ORDER BY id LIMIT :limit",
        {"state": state, "limit": limit},
    )


async def find_messages(
    connection: Connection, company_id: int, text: str, since_us: int, limit: int
) -> list[Found]:
    """By our number, Chatwoot's, or a part of the text or the customer's name, in conversations
    active since the moment; newest first.

    Three SELECTs, each by an index of its own: in one, the numbers of whatever age would have the
    text looked for in all there is.
    """
    number = parse_digits(text) or 0
    found_by, values_of_text = search.messages_with(text)
    by: dict[str, dict[str, object]] = {
        "m.id = :number": {"number": number},
        "m.omni_chatwoot_message_id = :number": {"number": number},
        f"c.last_message_at >= :since AND {found_by}": {
            "since": columns.time_to_column(since_us),
            **values_of_text,
        },
    }
    selects = [
        (
            f"SELECT {_MESSAGES.text} FROM social_conversations c JOIN social_messages m ON "
            "m.conversation_id = c.id "
            f"WHERE c.company_id = :company_id AND {condition} ORDER BY m.id DESC LIMIT :limit",
            {"company_id": company_id, "limit": limit, **values},
        )
        for condition, values in by.items()
        if values.get("number") != 0
    ]
    results = await connection.fetch_each(*selects)
    found = {one.id: one for rows in results for one in map(_MESSAGES.read, rows)}
    return [found[message_id] for message_id in sorted(found, reverse=True)[:limit]]


async def read_found(
    connection: Connection, company_id: int | None, message_id: int
) -> tuple[Found, int, int | None, int] | None:
    """Return (the message, its company, its integration, when its state was last received in
    microseconds); None for another company's.
    """
    row = await connection.fetch_one(
        f"SELECT {_MESSAGES.text}, c.company_id, c.omni_integration_id, m.omni_told_at FROM "
        "social_messages m "
        "JOIN social_conversations c ON c.id = m.conversation_id WHERE m.id = :id",
        {"id": message_id},
    )
    if row is None:
        return None
    *message, owner, integration_id, observed_us = row
    if company_id not in (None, owner):
        return None
    return _MESSAGES.read(message), owner, integration_id, observed_us or 0


async def read_message_number(
    connection: Connection, integration_id: int, chatwoot_message_id: int
) -> int | None:
    """Our number of a message that Chatwoot numbers so."""
    found = await connection.fetch_value(
        "SELECT m.id FROM social_messages m JOIN social_conversations c ON c.id = "
        "m.conversation_id "
        "WHERE c.omni_integration_id = :integration_id AND m.omni_chatwoot_message_id = :number",
        {"integration_id": integration_id, "number": chatwoot_message_id},
    )
    return None if found is None else int(found)


async def read_events_of(
    connection: Connection, company_id: int, message_id: int, between: tuple[int, int], limit: int
) -> list[SeenEvent]:
    """Events that hold the message, of those written between two moments, in order."""
    rows = await connection.fetch_all(
        "SELECT seq, created_at, body FROM omni_inbox_events WHERE created_at BETWEEN :low AND "
        ":high AND company_id = :company_id "
        "AND body LIKE :pattern ORDER BY seq LIMIT :limit",
        {
            "low": between[0],
            "high": between[1],
            "company_id": company_id,
            "pattern": f'%"message":{{"id":{message_id},%',
            "limit": limit,
        },
    )
    return [SeenEvent(seq, stored_us, msgspec.json.decode(body)) for seq, stored_us, body in rows]


async def read_deliveries_at(
    connection: Connection, integration_id: int, received_us: int, limit: int
) -> list[tuple[SeenDelivery, str]]:
    """Deliveries of an integration that were received in this millisecond, with their bodies."""
    low = received_us - received_us % 1000
    rows = await connection.fetch_all(
        "SELECT id, received_at, finished_at, state, body, headers FROM omni_webhook_deliveries "
        "WHERE received_at BETWEEN :low AND :high AND integration_id = :integration_id ORDER BY "
        "id LIMIT :limit",
        {"low": low, "high": low + 999, "integration_id": integration_id, "limit": limit},
    )
    return [
        (SeenDelivery(number, at_us, finished_us, state, SOURCE in (headers or "")), body)
        for number, at_us, finished_us, state, body, headers in rows
    ]
