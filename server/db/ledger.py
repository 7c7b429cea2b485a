"""Looking into the journal: for people, not for the hot path."""

import msgspec

from server.db.database import Connection


class Entry(msgspec.Struct, frozen=True, rename="camel"):
    """One delivery without its body."""

    id: int
    received_us: int
    state: str
    reason: str | None
    integration_id: int | None
    attempts: int


async def list_deliveries(
    connection: Connection, *, state: str | None, since_us: int, integration_id: int | None, limit: int
) -> list[Entry]:
    """Newest first."""
    conditions, values = ["received_at >= :since"], {"since": since_us, "limit": limit}
    if state is not None:
        conditions.append("state = :state")
    if integration_id is not None:
        conditions.append("integration_id = :integration_id")
    rows = await connection.fetch_all(
        "SELECT id, received_at, state, reason, integration_id, attempts FROM webhook_deliveries "
        f"WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT :limit",
        values | {"state": state, "integration_id": integration_id},
    )
    return [Entry(*row) for row in rows]


async def read_body(connection: Connection, delivery_id: int) -> tuple[Entry, str] | None:
    row = await connection.fetch_one(
        "SELECT id, received_at, state, reason, integration_id, attempts, body FROM webhook_deliveries WHERE id = :id", {"id": delivery_id}
    )
    return (Entry(*row[:6]), row[6]) if row else None


async def ids_in_state(connection: Connection, state: str, limit: int) -> list[int]:
    rows = await connection.fetch_all(
        "SELECT id FROM webhook_deliveries WHERE state = :state ORDER BY id LIMIT :limit", {"state": state, "limit": limit}
    )
    return [row[0] for row in rows]
