"""The journal: every webhook delivery as it came, and what became of it. `received` -> `done`,
`ignored` or `dead`; nothing is deleted before its time (retention).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from server import metrics
from server.db.engine.database import Connection
from server.db.engine.driver_adapters import Dialect, IntList
from server.db.schema import columns

_MAX_REASON_CHARACTERS = 255
# beside the kept headers of a delivery that no integration knew when it came
STRANGER = "omni-stranger"
# beside the kept headers of what the agents' socket told; no request can bring it
SOURCE, SOCKET = "omni-source", "socket"
# in place of a company: nobody has looked whose it is; it fitted no integration on arrival
NOT_JUDGED, OF_NOBODY = 0, -1


class Delivery(msgspec.Struct):
    """One webhook POST. `uid` is made on arrival: appending it twice (after a lost answer, from the
    spool) changes nothing. `is_verified`: its signature was judged on arrival, and its body
    stripped of credentials. `company_id`: whose turn it takes.
    """

    uid: str
    received_us: int
    body: str
    headers: dict[str, str]
    integration_id: int | None = None
    is_verified: bool = False
    id: int = 0
    attempts: int = 0
    company_id: int = NOT_JUDGED


async def append_deliveries(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    """With the COMMIT at the latest; alone in its transaction it is one statement, which needs no
    BEGIN.
    """
    connection.pipeline_many(
        _APPEND[connection.dialect],
        [
            {
                "uid": d.uid,
                "received_at": d.received_us,
                "integration_id": d.integration_id,
                "is_verified": d.is_verified,
                "headers": _encode(d.headers).decode() if d.headers else None,
                "body": d.body,
                "company_id": d.company_id,
            }
            for d in deliveries
        ],
    )


_ROW = (
    "(uid, received_at, integration_id, is_verified, headers, body, company_id) "
    "VALUES (:uid, :received_at, :integration_id, :is_verified, :headers, :body, :company_id)"
)
# IGNORE would pass over every error, not only over the same uid: MySQL cuts what is too long, and
# says nothing
_APPEND: dict[Dialect, str] = {
    "sqlite": f"INSERT INTO omni_webhook_deliveries {_ROW} ON CONFLICT (uid) DO NOTHING",
    "mysql": f"INSERT INTO omni_webhook_deliveries {_ROW} ON DUPLICATE KEY UPDATE uid = uid",
}
_encode = msgspec.json.Encoder().encode


async def mark_done(
    connection: Connection, delivery_ids: Iterable[int], integration_id: int, now_us: int
) -> None:
    """Deliveries of one integration have become state and events."""
    connection.pipeline(
        "UPDATE omni_webhook_deliveries SET state = 'done', reason = NULL, integration_id = "
        ":integration_id, finished_at = :now "
        "WHERE id IN (:ids)",
        {"now": now_us, "integration_id": integration_id, "ids": IntList(delivery_ids)},
    )


async def mark_parked(
    connection: Connection, outcomes: Iterable[tuple[int, str, str]], now_us: int
) -> None:
    """Set (id, state, reason) for deliveries that made no change."""
    grouped: dict[tuple[str, str], list[int]] = defaultdict(list)
    for delivery_id, state, reason in outcomes:
        grouped[state, reason[:_MAX_REASON_CHARACTERS]].append(delivery_id)
    for (state, reason), delivery_ids in grouped.items():
        connection.pipeline(
            "UPDATE omni_webhook_deliveries SET state = :state, reason = :reason, finished_at = "
            ":now WHERE id IN (:ids)",
            {"state": state, "reason": reason, "now": now_us, "ids": IntList(delivery_ids)},
        )


async def mark_damaged(connection: Connection, delivery_ids: Iterable[int]) -> int:
    """Mark deliveries that cannot be read any more as failed, unlike those that mean nothing here:
    they are among those that cannot be stored. Returns of how many that was not known.
    """
    return await connection.execute(
        "UPDATE omni_webhook_deliveries SET attempts = 2 WHERE id IN (:ids) AND state = 'dead' "
        "AND (attempts IS NULL OR attempts NOT BETWEEN 2 AND 1000000)",
        {"ids": IntList(sorted(delivery_ids))},
    )


async def count_failure(
    connection: Connection,
    delivery_id: int,
    reason: str,
    most: int,
    next_attempt_us: Callable[[int], int],
    integration_id: int | None = None,
) -> None:
    """It failed: to be tried again at the moment that follows from how often it did, or `dead`
    after so many times.
    """
    row = await connection.fetch_one(
        "SELECT attempts FROM omni_webhook_deliveries WHERE id = :id AND state = 'received'",
        {"id": delivery_id},
    )
    if row is None:
        return
    (failed,) = row
    attempts = 1 + (failed if isinstance(failed, int) and 0 <= failed <= most else 0)
    is_dead = attempts >= most
    if attempts == most:  # not one that was tried again after its death
        connection.after_commit(metrics.deliveries_ingested.labels("dead").inc)
    next_us = next_attempt_us(attempts)
    await connection.execute(
        "UPDATE omni_webhook_deliveries SET attempts = :attempts, next_attempt_at = :next, "
        "reason = :reason, state = :state, "
        "finished_at = :finished, integration_id = COALESCE(integration_id, :integration_id) "
        "WHERE id = :id",
        {
            "attempts": min(attempts, most),
            "next": next_us,
            "reason": reason.encode(errors="replace").decode()[:_MAX_REASON_CHARACTERS],
            "state": "dead" if is_dead else "received",
            "finished": next_us if is_dead else None,
            "integration_id": integration_id,
            "id": delivery_id,
        },
    )


async def probe(connection: Connection) -> None:
    """Write what changes nothing; a database that takes no writes refuses it."""
    await connection.execute("UPDATE omni_webhook_deliveries SET attempts = attempts WHERE id = 0")


async def set_companies(connection: Connection, company_of: Mapping[int, int]) -> None:
    """Whose deliveries these turned out to be."""
    grouped: dict[int, list[int]] = defaultdict(list)
    for delivery_id, company_id in company_of.items():
        grouped[company_id].append(delivery_id)
    for company_id, delivery_ids in grouped.items():
        connection.pipeline(
            "UPDATE omni_webhook_deliveries SET company_id = :company_id WHERE id IN (:ids)",
            {"company_id": company_id, "ids": IntList(delivery_ids)},
        )


async def replace_body(connection: Connection, delivery_id: int, body: str) -> None:
    """Store another body of a delivery, as verified; pipelined."""
    connection.pipeline(
        "UPDATE omni_webhook_deliveries SET body = :body, is_verified = :yes WHERE id = :id",
        {"body": body, "yes": True, "id": delivery_id},
    )


async def revive(connection: Connection, delivery_ids: Iterable[int]) -> int:
    """Put `dead` or `ignored` deliveries back in line. Returns how many."""
    return await connection.execute(
        "UPDATE omni_webhook_deliveries SET state = 'received', reason = NULL, attempts = 0, "
        "next_attempt_at = 0, finished_at = NULL "
        f"WHERE id IN ({columns.ids(delivery_ids)}) AND state IN ('dead', 'ignored')"
    )


async def revive_undecided(connection: Connection, reason: str) -> int:
    """Put those that were parked with this reason back in line. Returns how many."""
    return await connection.execute(
        "UPDATE omni_webhook_deliveries SET state = 'received', reason = NULL, attempts = 0, "
        "next_attempt_at = 0, "
        "finished_at = NULL WHERE state = 'ignored' AND reason = :reason",
        {"reason": reason},
    )


async def dismiss(connection: Connection, delivery_ids: Iterable[int]) -> int:
    """Give up `dead` deliveries that an administrator has read: they age like ignored ones. Returns
    how many.
    """
    return await connection.execute(
        "UPDATE omni_webhook_deliveries SET state = 'ignored' WHERE id IN "
        f"({columns.ids(delivery_ids)}) AND state = 'dead'"
    )


async def trim_deliveries(connection: Connection, before_us: int, limit: int) -> int:
    """Delete up to `limit` finished deliveries older than `before_us`; `dead` ones stay until an
    administrator has dealt with them. Returns how many.
    """
    numbers = await connection.fetch_column(
        "SELECT id FROM omni_webhook_deliveries WHERE received_at < :before AND state IN "
        "('done', 'ignored') ORDER BY received_at LIMIT :limit",
        {"before": before_us, "limit": limit},
    )
    if numbers:
        await connection.execute(
            f"DELETE FROM omni_webhook_deliveries WHERE id IN ({columns.ids(numbers)})"
        )
    return len(numbers)


async def trim_strangers(connection: Connection, since_us: int, before_us: int, limit: int) -> int:
    """Delete up to `limit` deliveries of that time that belong to no integration. Returns how
    many.
    """
    numbers = await connection.fetch_column(
        "SELECT id FROM omni_webhook_deliveries WHERE received_at >= :since AND received_at < "
        ":before AND state IN ('ignored', 'dead') "
        "AND headers LIKE :stranger ORDER BY received_at LIMIT :limit",
        {"since": since_us, "before": before_us, "stranger": f'%"{STRANGER}"%', "limit": limit},
    )
    if numbers:
        await connection.execute(
            f"DELETE FROM omni_webhook_deliveries WHERE id IN ({columns.ids(numbers)})"
        )
    return len(numbers)
