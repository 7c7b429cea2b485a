"""The journal: every webhook delivery as it came, and what became of it. `received` -> `done`, `ignored` or `dead`; nothing is deleted
before its time (retention)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from server.db import columns
from server.db.connection import Dialect, Numbers
from server.db.database import Connection, Row

_SKIP_LOCKED = {"sqlite": "", "mysql": " FOR UPDATE SKIP LOCKED"}
_REASON_MOST = 255
STRANGER = "omni-stranger"  # beside the kept headers of a delivery that no integration knew when it came
STATES = ("received", "done", "ignored", "dead")


class Delivery(msgspec.Struct):
    """One webhook POST. `uid` is made on arrival: appending it twice (after a lost answer, from the spool) changes nothing.
    `is_verified`: its signature was judged on arrival, and its body stripped of credentials."""

    uid: str
    received_us: int
    body: str
    headers: dict[str, str]
    integration_id: int | None = None
    is_verified: bool = False
    id: int = 0
    attempts: int = 0


async def append_deliveries(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    """With the COMMIT at the latest; alone in its transaction it is one statement, which needs no BEGIN."""
    connection.post_many(
        _APPEND[connection.dialect],
        [
            {
                "uid": d.uid,
                "received_at": d.received_us,
                "integration_id": d.integration_id,
                "is_verified": d.is_verified,
                "headers": _encode(d.headers).decode() if d.headers else None,
                "body": d.body,
            }
            for d in deliveries
        ],
    )


_ROW = (
    "(uid, received_at, integration_id, is_verified, headers, body) "
    "VALUES (:uid, :received_at, :integration_id, :is_verified, :headers, :body)"
)
# IGNORE would pass over every error, not only over the same uid: MySQL cuts what is too long, and says nothing
_APPEND: dict[Dialect, str] = {
    "sqlite": f"INSERT INTO webhook_deliveries {_ROW} ON CONFLICT (uid) DO NOTHING",
    "mysql": f"INSERT INTO webhook_deliveries {_ROW} ON DUPLICATE KEY UPDATE uid = uid",
}
_encode = msgspec.json.Encoder().encode
_NUMBERS = "id, received_at, integration_id, is_verified, attempts"
# few columns: MySQL's driver describes each one anew for each SELECT; the body stays as it is, it is mostly quotes
_READ: dict[Dialect, str] = {
    "sqlite": f"SELECT uid, headers, body, {_NUMBERS} FROM webhook_deliveries ",
    "mysql": f"SELECT JSON_ARRAY(uid, headers), body, JSON_ARRAY({_NUMBERS}) FROM webhook_deliveries ",
}


async def claim_deliveries(connection: Connection, limit: int) -> list[Delivery]:
    """Lock the oldest untried deliveries that no other process works on."""
    return await _untried(connection, limit, _SKIP_LOCKED[connection.dialect])


async def peek_deliveries(connection: Connection, limit: int) -> list[Delivery]:
    """The oldest untried deliveries, without locking them."""
    return await _untried(connection, limit)


async def peek_retry(connection: Connection, now_us: int) -> Delivery | None:
    """A delivery that failed and whose next try is due."""
    row = await connection.fetch_one(
        f"{_READ[connection.dialect]}WHERE state = 'received' AND next_attempt_at > 0 AND next_attempt_at <= :now "
        "ORDER BY next_attempt_at LIMIT 1",
        {"now": now_us},
    )
    return _delivery(row) if row else None


async def claim_delivery(connection: Connection, delivery_id: int) -> Delivery | None:
    """Lock one delivery by its number, if it is still to be done."""
    row = await connection.fetch_one(
        f"{_READ[connection.dialect]}WHERE id = :id AND state = 'received'{_SKIP_LOCKED[connection.dialect]}", {"id": delivery_id}
    )
    return _delivery(row) if row else None


async def mark_done(connection: Connection, delivery_ids: Iterable[int], integration_id: int, now_us: int) -> None:
    """Deliveries of one integration have become state and events."""
    connection.post(
        "UPDATE webhook_deliveries SET state = 'done', reason = NULL, integration_id = :integration_id, finished_at = :now "
        "WHERE id IN (:ids)",
        {"now": now_us, "integration_id": integration_id, "ids": Numbers(delivery_ids)},
    )


async def mark_parked(connection: Connection, outcomes: Iterable[tuple[int, str, str]], now_us: int) -> None:
    """Set (id, state, reason) for deliveries that made no change."""
    grouped: dict[tuple[str, str], list[int]] = defaultdict(list)
    for delivery_id, state, reason in outcomes:
        grouped[state, reason[:_REASON_MOST]].append(delivery_id)
    for (state, reason), delivery_ids in grouped.items():
        connection.post(
            "UPDATE webhook_deliveries SET state = :state, reason = :reason, finished_at = :now WHERE id IN (:ids)",
            {"state": state, "reason": reason, "now": now_us, "ids": Numbers(delivery_ids)},
        )


async def mark_for_retry(connection: Connection, delivery_ids: Iterable[int], reason: str, next_attempt_us: int) -> None:
    await connection.execute(
        "UPDATE webhook_deliveries SET attempts = attempts + 1, next_attempt_at = :next, reason = :reason "
        f"WHERE id IN ({columns.ids(delivery_ids)}) AND state = 'received'",
        {"next": next_attempt_us, "reason": reason[:_REASON_MOST]},
    )


async def replace_body(connection: Connection, delivery_id: int, body: str) -> None:
    connection.post(
        "UPDATE webhook_deliveries SET body = :body, is_verified = :yes WHERE id = :id", {"body": body, "yes": True, "id": delivery_id}
    )


async def revive(connection: Connection, delivery_ids: Iterable[int]) -> int:
    """Put `dead` or `ignored` deliveries back in line. Returns how many."""
    return await connection.execute(
        "UPDATE webhook_deliveries SET state = 'received', reason = NULL, attempts = 0, next_attempt_at = 0, finished_at = NULL "
        f"WHERE id IN ({columns.ids(delivery_ids)}) AND state IN ('dead', 'ignored')"
    )


async def dismiss(connection: Connection, delivery_ids: Iterable[int]) -> int:
    """Someone has looked at these `dead` deliveries and wants nothing of them: they age like ignored ones. Returns how many."""
    return await connection.execute(
        f"UPDATE webhook_deliveries SET state = 'ignored' WHERE id IN ({columns.ids(delivery_ids)}) AND state = 'dead'"
    )



async def trim_deliveries(connection: Connection, before_us: int, limit: int) -> int:
    """Delete up to `limit` finished deliveries older than `before_us`; `dead` ones stay until someone has looked. Returns how many."""
    rows = await connection.fetch_all(
        "SELECT id FROM webhook_deliveries WHERE received_at < :before AND state IN ('done', 'ignored') ORDER BY received_at LIMIT :limit",
        {"before": before_us, "limit": limit},
    )
    if rows:
        await connection.execute(f"DELETE FROM webhook_deliveries WHERE id IN ({columns.ids(row[0] for row in rows)})")
    return len(rows)


async def trim_strangers(connection: Connection, since_us: int, before_us: int, limit: int) -> int:
    """Delete up to `limit` deliveries of that time that no integration knew and none has taken. Returns how many."""
    rows = await connection.fetch_all(
        "SELECT id FROM webhook_deliveries WHERE received_at >= :since AND received_at < :before AND state IN ('ignored', 'dead') "
        "AND headers LIKE :stranger ORDER BY received_at LIMIT :limit",
        {"since": since_us, "before": before_us, "stranger": f'%"{STRANGER}"%', "limit": limit},
    )
    if rows:
        await connection.execute(f"DELETE FROM webhook_deliveries WHERE id IN ({columns.ids(row[0] for row in rows)})")
    return len(rows)


async def _untried(connection: Connection, limit: int, suffix: str = "") -> list[Delivery]:
    sql = f"{_READ[connection.dialect]}WHERE state = 'received' AND next_attempt_at = 0 ORDER BY id LIMIT :limit{suffix}"
    return [_delivery(row) for row in await connection.fetch_all(sql, {"limit": limit})]


def _delivery(row: Row) -> Delivery:
    if len(row) == 3:
        row = (*msgspec.json.decode(row[0]), row[1], *msgspec.json.decode(row[2]))
    uid, headers, body, number, received_us, integration_id, is_verified, attempts = row
    kept = msgspec.json.decode(headers, type=dict[str, str]) if headers else {}
    return Delivery(uid, received_us, body, kept, integration_id, bool(is_verified), number, attempts)
