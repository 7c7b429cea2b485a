"""What reconcile found before its webhook came: late while the webhook may still come, lost when it
has not come in time.
"""

from collections.abc import Sequence

import msgspec

from server.core.state.message_trace import SeenFind
from server.db.engine.database import Connection
from server.db.journal.journal import SOURCE
from server.db.schema import columns

_SOCKET = f"%{SOURCE}%"  # what the agents' socket told is in the journal as well, and is no webhook
_WEBHOOK = "(headers IS NULL OR headers NOT LIKE :socket)"
_MAX_OPEN = 5_000


class Find(msgspec.Struct, frozen=True):
    """`number` is Chatwoot's: of the message, or (kind `conversation`) of the conversation.
    `happened_us`: by Chatwoot's clock.
    """

    integration_id: int
    kind: str
    number: int
    happened_us: int
    found_us: int
    id: int = 0


class Losses(msgspec.Struct, frozen=True):
    """Webhooks of some integrations since a moment."""

    came: int
    lost: int
    late: int


async def append_finds(connection: Connection, finds: Sequence[Find]) -> None:
    """Store, as open, what reconcile found before its webhook came."""
    await connection.execute_many(
        "INSERT INTO omni_found_by_asking (integration_id, kind, number, happened_at, found_at, "
        "state) "
        "VALUES (:integration_id, :kind, :number, :happened_at, :found_at, 'open')",
        [
            {
                "integration_id": one.integration_id,
                "kind": one.kind,
                "number": one.number,
                "happened_at": one.happened_us,
                "found_at": one.found_us,
            }
            for one in finds
        ],
    )


async def read_open(connection: Connection) -> list[Find]:
    """The oldest ones, of all integrations."""
    rows = await connection.fetch_all(
        "SELECT integration_id, kind, number, happened_at, found_at, id FROM "
        "omni_found_by_asking WHERE state = 'open' ORDER BY id LIMIT :most",
        {"most": _MAX_OPEN},
    )
    return [Find(*row) for row in rows]


async def read_deliveries(
    connection: Connection, integration_id: int, after: int, since_us: int, limit: int
) -> list[tuple[int, int, str]]:
    """(id, when received, body) of what came for an integration, in order."""
    rows = await connection.fetch_all(
        "SELECT id, received_at, body FROM omni_webhook_deliveries WHERE id > :after AND "
        "received_at >= :since "
        "AND integration_id = :integration_id AND " + _WEBHOOK + " ORDER BY id LIMIT :limit",
        {
            "socket": _SOCKET,
            "after": after,
            "since": since_us,
            "integration_id": integration_id,
            "limit": limit,
        },
    )
    return [(int(number), int(received_us), str(body)) for number, received_us, body in rows]


async def read_of_message(
    connection: Connection, integration_id: int, number: int, since_us: int, limit: int
) -> list[SeenFind]:
    """What asking found of a message and its edits, in order; `number` is Chatwoot's."""
    rows = await connection.fetch_all(
        "SELECT kind, found_at, came_at, state FROM omni_found_by_asking WHERE integration_id = "
        ":integration_id AND found_at >= :since "
        "AND number = :number AND kind IN ('message', 'edit') ORDER BY found_at LIMIT :limit",
        {"integration_id": integration_id, "number": number, "since": since_us, "limit": limit},
    )
    return [
        SeenFind(str(kind), int(found_us), None if came_us is None else int(came_us), str(state))
        for kind, found_us, came_us, state in rows
    ]


async def mark_came(connection: Connection, came: Sequence[tuple[int, int]]) -> None:
    """(find, when its webhook came). What was counted as lost stays lost."""
    for find_id, at_us in came:
        await connection.execute(
            "UPDATE omni_found_by_asking SET state = 'late', came_at = :at WHERE id = :id AND "
            "state = 'open'",
            {"at": at_us, "id": find_id},
        )


async def mark_lost(connection: Connection, integration_id: int, before_us: int) -> int:
    """What was found before and has not come. Returns how many, which are counted once, whichever
    processes do this.
    """
    lost = await connection.execute(
        "UPDATE omni_found_by_asking SET state = 'lost' WHERE state = 'open' AND integration_id "
        "= :id AND found_at <= :before",
        {"id": integration_id, "before": before_us},
    )
    if lost:
        await connection.execute(
            "UPDATE integrations SET omni_repaired_count = omni_repaired_count + :lost WHERE id "
            "= :id",
            {"lost": lost, "id": integration_id},
        )
    return lost


async def read_losses(connection: Connection, integration_ids: set[int], since_us: int) -> Losses:
    """Count since a moment how many webhooks came, and how many were late or lost, of these
    integrations.
    """
    numbers = columns.ids(integration_ids)
    came = await connection.fetch_one(
        (
            "SELECT COUNT(*) FROM omni_webhook_deliveries WHERE received_at >= :since AND "
            f"integration_id IN ({numbers}) AND "
        )
        + _WEBHOOK,
        {"since": since_us, "socket": _SOCKET},
    )
    rows = await connection.fetch_all(
        f"SELECT state, COUNT(*) FROM omni_found_by_asking WHERE integration_id IN ({numbers}) "
        "AND found_at >= :since GROUP BY state",
        {"since": since_us},
    )
    counts = {str(state): int(count) for state, count in rows}
    return Losses(int(came[0]) if came else 0, counts.get("lost", 0), counts.get("late", 0))


async def trim_finds(connection: Connection, before_us: int, limit: int) -> int:
    """Delete at most `limit` closed finds older than `before_us`; return how many."""
    numbers = await connection.fetch_column(
        "SELECT id FROM omni_found_by_asking WHERE found_at < :before AND state <> 'open' ORDER "
        "BY id LIMIT :limit",
        {"before": before_us, "limit": limit},
    )
    if not numbers:
        return 0
    return await connection.execute(
        f"DELETE FROM omni_found_by_asking WHERE id IN ({columns.ids(numbers)})", {}
    )
