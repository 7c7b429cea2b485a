"""Which full sync of an integration is the only one of all processes, and what the last one found.
By the database's clock.
"""

import msgspec

from server.db.engine.database import Connection

_INSERT = {
    "sqlite": "INSERT INTO omni_sync_leases (integration_id, holder, lease_until) VALUES (:id, "
    ":holder, 0) "
    "ON CONFLICT (integration_id) DO NOTHING",
    "mysql": "INSERT INTO omni_sync_leases (integration_id, holder, lease_until) VALUES (:id, "
    ":holder, 0) "
    "ON DUPLICATE KEY UPDATE integration_id = integration_id",
}


class SyncLease(msgspec.Struct, frozen=True):
    """The claim of a full sync; `lease_us` 0: it has ended, with `outcome`."""

    holder: str
    lease_us: int
    outcome: str | None


async def read_lease(connection: Connection, integration_id: int) -> SyncLease | None:
    """Return which process syncs the integration, until when, and how the last sync ended; None if
    there was none.
    """
    row = await connection.fetch_one(
        "SELECT holder, lease_until, outcome FROM omni_sync_leases WHERE integration_id = :id",
        {"id": integration_id},
    )
    return SyncLease(*row) if row else None


async def claim_lease(
    connection: Connection, integration_id: int, holder: str, now_us: int, until_us: int
) -> bool:
    """Claim the sync, and return whether it is this holder's now. A lease further ahead than one
    can be was written by a clock that was wrong.
    """
    values = {"id": integration_id, "holder": holder}
    await connection.execute(_INSERT[connection.dialect], values)
    await connection.execute(
        "UPDATE omni_sync_leases SET holder = :holder, lease_until = :until, outcome = NULL "
        "WHERE integration_id = :id AND (lease_until < :now OR lease_until > :impossible)",
        values | {"now": now_us, "until": until_us, "impossible": until_us + (until_us - now_us)},
    )
    found = await read_lease(connection, integration_id)
    return found is not None and found.holder == holder and found.lease_us == until_us


async def renew_lease(
    connection: Connection, integration_id: int, holder: str, until_us: int
) -> bool:
    """Extend the lease. False when another holder has it now. May be repeated after a lost
    answer.
    """
    await connection.execute(
        "UPDATE omni_sync_leases SET lease_until = :until WHERE integration_id = :id AND holder "
        "= :holder",
        {"until": until_us, "id": integration_id, "holder": holder},
    )
    found = await read_lease(connection, integration_id)
    return found is not None and found.holder == holder


async def end_lease(
    connection: Connection, integration_id: int, holder: str, outcome: str | None
) -> None:
    """End the lease, with what was found; nothing where another holder has it by now."""
    await connection.execute(
        "UPDATE omni_sync_leases SET lease_until = 0, outcome = :outcome WHERE integration_id = "
        ":id AND holder = :holder",
        {"outcome": outcome, "id": integration_id, "holder": holder},
    )
