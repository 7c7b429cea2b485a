"""The event log: a company's stream row, its events, and what is kept of them."""

from collections.abc import Iterable, Sequence

from server.core.events import EventBatch
from server.core.recovery import Stream
from server.db import columns
from server.db.database import Connection

_INSERT_IGNORE = {"sqlite": "INSERT OR IGNORE", "mysql": "INSERT IGNORE"}


async def lock_streams(connection: Connection, company_ids: Iterable[int], epoch: str) -> dict[int, Stream]:
    """Lock the rows of these companies, in ascending order so that no two transactions wait for each other in a circle.

    A company that has none gets one, with the given epoch. Until the COMMIT nobody else changes these companies' state.
    """
    wanted = sorted(set(company_ids))
    streams = await _read_streams(connection, wanted, lock=True)
    if missing := [company_id for company_id in wanted if company_id not in streams]:
        await connection.execute_many(
            f"{_INSERT_IGNORE[connection.dialect]} INTO inbox_streams (company_id, epoch, head, floor) VALUES (:company_id, :epoch, 0, 0)",
            [{"company_id": company_id, "epoch": epoch} for company_id in missing],
        )
        streams = await _read_streams(connection, wanted, lock=True)
    return streams


async def read_streams(connection: Connection, company_ids: Iterable[int]) -> dict[int, Stream]:
    return await _read_streams(connection, sorted(set(company_ids)), lock=False)


async def _read_streams(connection: Connection, company_ids: Sequence[int], *, lock: bool) -> dict[int, Stream]:
    suffix = " FOR UPDATE" if lock and connection.dialect == "mysql" else ""
    rows = await connection.fetch_all(
        f"SELECT company_id, epoch, head, floor FROM inbox_streams WHERE company_id IN ({columns.ids(company_ids)}) "
        f"ORDER BY company_id{suffix}"
    )
    return {row[0]: Stream(row[1], row[2], row[3]) for row in rows}


async def read_companies(connection: Connection) -> list[int]:
    """Companies that have an event log."""
    return [row[0] for row in await connection.fetch_all("SELECT company_id FROM inbox_streams ORDER BY company_id")]


async def append_events(connection: Connection, batch: EventBatch, now_us: int) -> None:
    """Write the events and move the head; the stream is locked."""
    await connection.execute_many(
        "INSERT INTO inbox_events (company_id, seq, created_at, body) VALUES (:company_id, :seq, :created_at, :body)",
        [
            {"company_id": batch.company_id, "seq": batch.first_seq + n, "created_at": now_us, "body": body.decode()}
            for n, body in enumerate(batch.bodies)
        ],
    )
    await connection.execute(
        "UPDATE inbox_streams SET head = :head WHERE company_id = :company_id", {"head": batch.last_seq, "company_id": batch.company_id}
    )


async def read_events(connection: Connection, company_id: int, after_seq: int, limit: int) -> list[tuple[int, bytes]]:
    """Events above `after_seq`, in order: (seq, JSON)."""
    rows = await connection.fetch_all(
        "SELECT seq, body FROM inbox_events WHERE company_id = :company_id AND seq > :after ORDER BY seq LIMIT :limit",
        {"company_id": company_id, "after": after_seq, "limit": limit},
    )
    return [(row[0], row[1].encode()) for row in rows]


async def trim_events(connection: Connection, company_id: int, before_us: int, limit: int) -> int:
    """Delete up to `limit` of the oldest events that are older than `before_us`, and move the floor with them. Returns how many."""
    row = await connection.fetch_one(
        "SELECT MAX(seq), COUNT(*) FROM (SELECT seq, created_at FROM inbox_events WHERE company_id = :company_id "
        "ORDER BY seq LIMIT :limit) AS oldest WHERE created_at < :before",
        {"company_id": company_id, "before": before_us, "limit": limit},
    )
    if row is None or row[0] is None:
        return 0
    keys = {"company_id": company_id, "seq": row[0]}
    await connection.execute("UPDATE inbox_streams SET floor = :seq WHERE company_id = :company_id AND floor < :seq", keys)
    await connection.execute("DELETE FROM inbox_events WHERE company_id = :company_id AND seq <= :seq", keys)
    return int(row[1])


async def start_epoch(connection: Connection, company_id: int, epoch: str) -> None:
    """Give the log a new life: every client must take a snapshot. For use after a restored backup."""
    await connection.execute("DELETE FROM inbox_events WHERE company_id = :company_id", {"company_id": company_id})
    await connection.execute(
        "UPDATE inbox_streams SET epoch = :epoch, floor = head WHERE company_id = :company_id", {"company_id": company_id, "epoch": epoch}
    )
