"""Deliveries that cannot be stored, whatever they say: those that are dead of it are tried again by
themselves.
"""

from collections.abc import Sequence

import msgspec

from server.db.engine.database import Connection
from server.db.engine.driver_adapters import IntList

_MAX_COUNTED = 1_000
# what only means nothing here is parked without an attempt
_FAILED = "state = 'dead' AND attempts > 0"
_FAILING = "state IN ('dead', 'received') AND attempts > 1"  # once may be chance


class Failed(msgspec.Struct, frozen=True):
    """Of one integration (None: not known whose), those that failed more than once; the newest with
    its reason. `count`: at most a thousand.
    """

    integration_id: int | None
    count: int
    newest_id: int
    reason: str


async def read_failed(connection: Connection) -> list[Failed]:
    """Return, for each integration, how many of the newest failing deliveries are its own, and why
    the newest one failed.
    """
    rows = await connection.fetch_all(
        "SELECT integration_id, COUNT(*), MAX(id) FROM "
        f"(SELECT integration_id, id FROM omni_webhook_deliveries WHERE {_FAILING} ORDER BY id "
        "DESC LIMIT :most) AS failed "
        "GROUP BY integration_id ORDER BY 3 DESC",
        {"most": _MAX_COUNTED},
    )
    found = []
    for integration_id, count, newest_id in rows:
        reason = await connection.fetch_value(
            "SELECT reason FROM omni_webhook_deliveries WHERE id = :id", {"id": newest_id}
        )
        found.append(Failed(integration_id, int(count), int(newest_id), str(reason or "")))
    return found


async def next_failed(connection: Connection, after: int) -> int | None:
    """The number of the next one, in turns."""
    sql = (
        f"SELECT id FROM omni_webhook_deliveries WHERE {_FAILED} AND id > :after ORDER BY id "
        "LIMIT 1"
    )
    found = await connection.fetch_value(sql, {"after": after})
    if found is None:
        found = await connection.fetch_value(sql, {"after": 0})
    return None if found is None else int(found)


async def read_like(connection: Connection, delivery_id: int, limit: int) -> Sequence[int]:
    """Those that failed with the same reason."""
    numbers = await connection.fetch_column(
        f"SELECT id FROM omni_webhook_deliveries WHERE {_FAILED} AND id <> :id AND reason = "
        "(SELECT reason FROM omni_webhook_deliveries WHERE id = :id) ORDER BY id LIMIT :limit",
        {"id": delivery_id, "limit": limit},
    )
    return [int(number) for number in numbers]


async def try_again(
    connection: Connection, delivery_ids: Sequence[int], attempts: int, now_us: int
) -> None:
    """Put dead deliveries back in line for one attempt each: it succeeds, or they are dead again at
    once.
    """
    await connection.execute(
        "UPDATE omni_webhook_deliveries SET state = 'received', attempts = :attempts, "
        "next_attempt_at = :now, "
        "finished_at = NULL WHERE id IN (:ids) AND state = 'dead'",
        {"ids": IntList(delivery_ids), "attempts": attempts, "now": now_us},
    )


async def read_state(connection: Connection, delivery_id: int) -> str | None:
    """Return a delivery's state; None if it is gone."""
    found = await connection.fetch_value(
        "SELECT state FROM omni_webhook_deliveries WHERE id = :id", {"id": delivery_id}
    )
    return None if found is None else str(found)
