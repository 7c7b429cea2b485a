"""Counts for the status page; each bounded by an index."""

import msgspec

from server.db.engine.database import Connection
from server.db.journal.journal import SOURCE
from server.db.schema import columns

_MAX_COUNTED = 10_000  # beyond this it does not matter how many
_MINUTE = {"sqlite": "received_at / 60000000", "mysql": "received_at DIV 60000000"}


class Backlog(msgspec.Struct, frozen=True):
    """What waits: deliveries not yet dealt with (of all companies, as theirs is not known yet), the
    company's replies, dead deliveries. None: not known now.
    """

    deliveries: int | None
    replies: int | None
    dead: int | None


async def count_by_minute(
    connection: Connection, integration_ids: set[int], since_us: int
) -> dict[int, int]:
    """Count webhooks of these integrations by minute (since the epoch), without deliveries of the
    agents' socket.
    """
    minute = _MINUTE[connection.dialect]
    rows = await connection.fetch_all(
        f"SELECT {minute}, COUNT(*) FROM omni_webhook_deliveries WHERE received_at >= :since "
        f"AND integration_id IN ({columns.ids(integration_ids)}) AND (headers IS NULL OR headers "
        f"NOT LIKE :socket) GROUP BY {minute}",
        {"since": since_us, "socket": f"%{SOURCE}%"},
    )
    return {int(minute): int(count) for minute, count in rows}


async def read_backlog(
    connection: Connection, company_id: int, integration_ids: set[int]
) -> Backlog:
    """Count what waits: received deliveries and this company's dead ones, each up to a bound, and
    its replies.
    """
    waiting = await connection.fetch_one(
        "SELECT COUNT(*) FROM (SELECT id FROM omni_webhook_deliveries WHERE state = 'received' "
        "LIMIT :most) AS waiting",
        {"most": _MAX_COUNTED},
    )
    dead = await connection.fetch_one(
        "SELECT COUNT(*) FROM (SELECT id FROM omni_webhook_deliveries WHERE state = 'dead' "
        f"AND integration_id IN ({columns.ids(integration_ids)}) LIMIT :most) AS dead",
        {"most": _MAX_COUNTED},
    )
    replies = await connection.fetch_one(
        "SELECT COUNT(*) FROM social_messages m JOIN social_conversations c ON c.id = "
        "m.conversation_id "
        "WHERE m.omni_delivery_state = 'sending' AND c.company_id = :company_id",
        {"company_id": company_id},
    )
    return Backlog(
        waiting[0] if waiting else 0, replies[0] if replies else 0, dead[0] if dead else 0
    )
