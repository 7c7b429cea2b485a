"""The event log: a company's stream row, its events, and what is kept of them."""

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from server.core.state.cursors import Stream
from server.core.wire.event_frames import EventBatch
from server.db.engine.database import Connection
from server.db.engine.driver_adapters import Dialect, IntList, Parameters, Row
from server.errors import CompanyBusy

Select = tuple[str, Parameters]
_MAX_PLACES = 100  # in one statement
_STREAM = "company_id, epoch, head, floor"
_STREAMS: dict[Dialect, str] = {  # one column: see `columns.JsonRowMapper`
    "sqlite": f"SELECT {_STREAM} FROM omni_inbox_streams",
    "mysql": f"SELECT JSON_ARRAY({_STREAM}) FROM omni_inbox_streams",
}
_decode_stream = msgspec.json.Decoder(tuple[int, str, int, int]).decode
_NEW_STREAM = (
    "INTO omni_inbox_streams (company_id, epoch, head, floor) VALUES (:company_id, :epoch, 0, 0)"
)
_INSERT_STREAM: dict[Dialect, str] = {
    "sqlite": f"INSERT {_NEW_STREAM} ON CONFLICT (company_id) DO NOTHING",
    "mysql": f"INSERT {_NEW_STREAM} ON DUPLICATE KEY UPDATE company_id = company_id",
}


async def lock_streams(
    connection: Connection, company_ids: Iterable[int], epoch: str | None = None
) -> dict[int, Stream]:
    """Lock the rows of these companies. Until the COMMIT nobody else changes these companies'
    state. A company without a row gets one, with `epoch`, or with a new one. Raises CompanyBusy;
    see `lock_and_read`.
    """
    wanted = set(company_ids)
    streams, _ = await _lock_and_read(connection, wanted, epoch, ())
    return _all_of(wanted, streams)


async def lock_and_read(
    connection: Connection, company_ids: Iterable[int], *selects: Select
) -> tuple[dict[int, Stream], list[Sequence[Row]]]:
    """As `lock_free_and_read`, of all of these companies. Raises CompanyBusy when another
    transaction holds one of them; the caller's transaction is made again, and takes no lane while
    it waits.
    """
    wanted = set(company_ids)
    streams, found = await _lock_and_read(connection, wanted, None, selects)
    return _all_of(wanted, streams), found


async def lock_free_and_read(
    connection: Connection, company_ids: Iterable[int], *selects: Select
) -> tuple[dict[int, Stream], list[Sequence[Row]]]:
    """Lock the rows of those companies that no other transaction holds, and read what these SELECTs
    find after that.

    One round trip. It never waits for another transaction: a company that is held is not in the
    answer. A company without a row gets one, with a new epoch.
    """
    return await _lock_and_read(connection, set(company_ids), None, selects)


async def _lock_and_read(
    connection: Connection, company_ids: set[int], epoch: str | None, selects: Sequence[Select]
) -> tuple[dict[int, Stream], list[Sequence[Row]]]:
    select = f"{_STREAMS[connection.dialect]} WHERE company_id IN (:ids) ORDER BY company_id"
    lock = (
        f"{select}{' FOR UPDATE SKIP LOCKED' if connection.dialect == 'mysql' else ''}",
        {"ids": IntList(sorted(company_ids))},
    )
    rows, *found = await connection.fetch_each(lock, *selects)
    if absent := company_ids - _by_company(rows).keys():
        held = _by_company(await connection.fetch_all(select, {"ids": IntList(sorted(absent))}))
        if missing := absent - held.keys():
            connection.pipeline_many(
                _INSERT_STREAM[connection.dialect],
                # each its own: a cursor of one company must not fit the log of another
                [{"company_id": one, "epoch": epoch or _new_epoch()} for one in sorted(missing)],
            )
            rows, *found = await connection.fetch_each(lock, *selects)
    return _by_company(rows), found


def _all_of(company_ids: set[int], streams: dict[int, Stream]) -> dict[int, Stream]:
    if busy := company_ids - streams.keys():
        raise CompanyBusy(busy)
    return streams


async def read_streams(connection: Connection, company_ids: Iterable[int]) -> dict[int, Stream]:
    """Return the streams of those of these companies that have one, without locks."""
    sql = f"{_STREAMS[connection.dialect]} WHERE company_id IN (:ids) ORDER BY company_id"
    return _by_company(await connection.fetch_all(sql, {"ids": IntList(sorted(set(company_ids)))}))


def _by_company(rows: Sequence[Row]) -> dict[int, Stream]:
    streams = (_decode_stream(row[0]) if len(row) == 1 else row for row in rows)
    return {company_id: Stream(epoch, head, floor) for company_id, epoch, head, floor in streams}


async def read_companies_to_trim(
    connection: Connection, before_us: int, limit: int, after: int = 0
) -> list[int]:
    """Companies above `after` with events older than that."""
    return await connection.fetch_column(
        "SELECT DISTINCT company_id FROM omni_inbox_events WHERE created_at < :before "
        "AND company_id > :after ORDER BY company_id LIMIT :limit",
        {"before": before_us, "limit": limit, "after": after},
    )


async def append_events(connection: Connection, batch: EventBatch, now_us: int) -> None:
    """Write the events and move the head, with the COMMIT at the latest; the stream is locked."""
    connection.pipeline_many(
        "INSERT INTO omni_inbox_events (company_id, seq, created_at, body) VALUES (:company_id, "
        ":seq, :created_at, :body)",
        [
            {
                "company_id": batch.company_id,
                "seq": batch.first_seq + n,
                "created_at": now_us,
                "body": body.decode(),
            }
            for n, body in enumerate(batch.bodies)
        ],
    )
    connection.pipeline(
        "UPDATE omni_inbox_streams SET head = :head WHERE company_id = :company_id",
        {"head": batch.last_seq, "company_id": batch.company_id},
    )


async def read_events(
    connection: Connection, company_id: int, after_seq: int, limit: int
) -> list[tuple[int, bytes]]:
    """Events above `after_seq`, in order: (seq, JSON)."""
    rows = await connection.fetch_all(
        "SELECT seq, body FROM omni_inbox_events WHERE company_id = :company_id AND seq > :after "
        "ORDER BY seq LIMIT :limit",
        {"company_id": company_id, "after": after_seq, "limit": limit},
    )
    return [(seq, body.encode()) for seq, body in rows]


async def read_written(connection: Connection, seqs: Mapping[int, int]) -> dict[int, int]:
    """When these companies' events of these numbers were written, microseconds: company -> moment,
    for those that are there.
    """
    found: dict[int, int] = {}
    places = [
        f"(company_id = {int(company_id)} AND seq = {int(seq)})" for company_id, seq in seqs.items()
    ]
    for at in range(0, len(places), _MAX_PLACES):
        where = " OR ".join(places[at : at + _MAX_PLACES])
        rows = await connection.fetch_all(
            f"SELECT company_id, created_at FROM omni_inbox_events WHERE {where}"
        )
        found |= {company_id: at_us for company_id, at_us in rows}
    return found


async def trim_events(connection: Connection, company_id: int, before_us: int, limit: int) -> int:
    """Delete up to `limit` of the oldest events that are older than `before_us`, and move the floor
    with them. Returns how many.
    """
    row = await connection.fetch_one(
        "SELECT MAX(seq), COUNT(*) FROM (SELECT seq, created_at FROM omni_inbox_events WHERE "
        "company_id = :company_id "
        "ORDER BY seq LIMIT :limit) AS oldest WHERE created_at < :before",
        {"company_id": company_id, "before": before_us, "limit": limit},
    )
    seq, count = row or (None, 0)
    if seq is None:
        return 0
    keys = {"company_id": company_id, "seq": seq}
    await connection.execute(
        "UPDATE omni_inbox_streams SET floor = :seq WHERE company_id = :company_id AND floor < "
        ":seq",
        keys,
    )
    await connection.execute(
        "DELETE FROM omni_inbox_events WHERE company_id = :company_id AND seq <= :seq", keys
    )
    return int(count)


async def start_epoch(connection: Connection, company_id: int, epoch: str | None = None) -> Stream:
    """Give the log a new epoch (a name of its own, where none is given): every client must take a
    snapshot. After a restored backup, by a process that sees it or by hand. The stream is locked.
    """
    await connection.execute(
        "DELETE FROM omni_inbox_events WHERE company_id = :company_id", {"company_id": company_id}
    )
    await connection.execute(
        "UPDATE omni_inbox_streams SET epoch = :epoch, floor = head WHERE company_id = :company_id",
        {"company_id": company_id, "epoch": epoch or _new_epoch()},
    )
    return (await read_streams(connection, [company_id]))[company_id]


def _new_epoch() -> str:
    """Return a name that no log had before: its time in microseconds, so that an older one can be
    recognised, and some random digits.
    """
    return f"{time.time_ns() // 1000:013x}{secrets.randbelow(4096):03x}"
