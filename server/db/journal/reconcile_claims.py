"""Which process compares an integration with Chatwoot (reconcile), up to which moment that was
done, and what it found. One row for all processes.
"""

from collections.abc import Mapping

import msgspec

from server.db.engine.database import Connection
from server.problems import Text, encode

_MAX_PROBLEM_CHARACTERS = 255


class Claim(msgspec.Struct, frozen=True):
    """A comparison that is ours until `lease_us`. `reconciled_us`: up to where earlier ones have
    come (0: there was none).
    """

    integration_id: int
    lease_us: int
    reconciled_us: int


async def claim(
    connection: Connection, integration_id: int, now_us: int, lease_us: int, every_us: int
) -> Claim | None:
    """Claim the lease, unless another process has it or the last comparison began less than
    `every_us` ago, in whatever process.

    A comparison that began in the future, or a lease further ahead than one can be, was written by
    a clock that was wrong, and holds nobody back. Times are the database's.
    """
    taken = await connection.execute(
        "UPDATE integrations SET omni_lease_until = :until, omni_walked_at = :now WHERE id = :id "
        "AND (omni_lease_until < :now OR omni_lease_until > :impossible) AND (omni_walked_at "
        "IS NULL OR omni_walked_at <= :due OR omni_walked_at > :now)",
        {
            "until": lease_us,
            "id": integration_id,
            "now": now_us,
            "due": now_us - every_us,
            "impossible": now_us + 2 * (lease_us - now_us),
        },
    )
    if not taken:
        return None
    reconciled_us = await connection.fetch_value(
        "SELECT omni_reconciled_at FROM integrations WHERE id = :id", {"id": integration_id}
    )
    return Claim(integration_id, lease_us, reconciled_us or 0)


async def renew(connection: Connection, claim: Claim, lease_us: int) -> bool:
    """Extend the lease. False when another process has it now. May be repeated after a lost
    answer.
    """
    found = await connection.execute(
        "UPDATE integrations SET omni_lease_until = :until WHERE id = :id AND omni_lease_until "
        "IN (:held, :until)",
        {"until": lease_us, "id": claim.integration_id, "held": claim.lease_us},
    )
    return found > 0


async def release(
    connection: Connection,
    claim: Claim,
    *,
    reconciled_us: int | None,
    newest_us: int,
    problem: Text | None,
) -> bool:
    """Store what the comparison found and end the lease; a repetition after a lost answer changes
    nothing.

    `reconciled_us` is None when it did not come to its end; `newest_us` is when the newest of
    what it repaired had happened (0: it repaired nothing).
    """
    found = await connection.execute(
        "UPDATE integrations SET omni_lease_until = 0, omni_reconciled_at = "
        "COALESCE(:reconciled, omni_reconciled_at), omni_walk_problem = :problem, "
        "omni_repaired_at = CASE WHEN :newest > COALESCE(omni_repaired_at, 0) THEN :newest ELSE "
        "omni_repaired_at END "
        "WHERE id = :id AND omni_lease_until = :held",
        {
            "reconciled": reconciled_us,
            "problem": encode(problem, _MAX_PROBLEM_CHARACTERS),
            "newest": newest_us,
            "id": claim.integration_id,
            "held": claim.lease_us,
        },
    )
    return found > 0


async def write_seen(connection: Connection, seen: Mapping[int, int]) -> None:
    """Store when each integration's webhooks came last, as one process saw it: the newest of all
    processes stays.
    """
    # in one order, so that no two processes wait for each other in a circle
    for integration_id in sorted(seen):
        await connection.execute(
            "UPDATE integrations SET omni_webhook_seen_at = :seen WHERE id = :id AND "
            "(omni_webhook_seen_at IS NULL OR omni_webhook_seen_at < :seen)",
            {"id": integration_id, "seen": seen[integration_id]},
        )
