"""The outbox: replies on their way to Chatwoot. A reply is a row of `social_messages` whose `delivery_state` is `sending`."""

import msgspec

from server.core.entities import Message
from server.db import columns
from server.db.columns import MESSAGES
from server.db.database import Connection

_SKIP_LOCKED = {"sqlite": "", "mysql": " FOR UPDATE SKIP LOCKED"}


class Outgoing(msgspec.Struct, frozen=True):
    """A reply with where it goes."""

    message: Message
    company_id: int
    integration_id: int | None
    display_id: int | None


async def claim_replies(connection: Connection, now_us: int, lease_us: int, limit: int) -> list[Outgoing]:
    """Take replies whose time has come, the oldest of each conversation only, so that the customer gets them in order.

    The lease makes others leave them alone; until it ends nobody knows whether the attempt reached Chatwoot, and the row says so.
    """
    due = await connection.fetch_all(
        "SELECT m.id, m.conversation_id FROM social_messages m WHERE m.delivery_state = 'sending' AND m.next_attempt_at <= :now "
        "AND NOT EXISTS (SELECT 1 FROM social_messages o WHERE o.conversation_id = m.conversation_id AND o.delivery_state = 'sending' "
        f"AND o.id < m.id) ORDER BY m.next_attempt_at LIMIT :limit{_SKIP_LOCKED[connection.dialect]}",
        {"now": now_us, "limit": limit},
    )
    if not due:
        return []
    numbers = columns.ids(row[0] for row in due)
    rows = await connection.fetch_all(
        f"SELECT {MESSAGES.select[connection.dialect]}, c.company_id, c.integration_id, c.chatwoot_conversation_id FROM social_messages m "
        f"JOIN social_conversations c ON c.id = m.conversation_id WHERE m.id IN ({numbers})"
    )
    await connection.execute(
        "UPDATE social_messages SET delivery_attempts = delivery_attempts + 1, next_attempt_at = :until, is_outcome_unknown = :yes "
        f"WHERE id IN ({numbers})",
        {"until": now_us + lease_us, "yes": True},
    )
    return [Outgoing(MESSAGES.entity(row), *MESSAGES.rest(row)) for row in rows]


async def renew_lease(connection: Connection, message_id: int, attempts: int, until_us: int) -> bool:
    """Keep a claimed reply for longer. False when it is settled, or another process has claimed it since."""
    found = await connection.execute(
        "UPDATE social_messages SET next_attempt_at = :until "
        "WHERE id = :id AND delivery_state = 'sending' AND delivery_attempts = :attempts",
        {"until": until_us, "id": message_id, "attempts": attempts},
    )
    return found > 0


async def read_reply(connection: Connection, conversation_id: int, client_id: str) -> Message | None:
    """The reply written under this Idempotency-Key."""
    row = await connection.fetch_one(
        f"SELECT {MESSAGES.select[connection.dialect]} FROM social_messages m "
        "WHERE m.conversation_id = :conversation_id AND m.client_id = :client_id",
        {"conversation_id": conversation_id, "client_id": client_id},
    )
    return MESSAGES.entity(row) if row else None
