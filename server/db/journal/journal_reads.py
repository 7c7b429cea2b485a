"""What ingest reads of the journal: the oldest deliveries, or turns by company when there are many;
each row by itself.

Nothing here waits for a lock, and rows are not locked before their company's stream is: who holds
the stream takes that company's deliveries, in order. A row that cannot be read is told as such, and
does not keep the others from being read.
"""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from server.core.times import SECOND
from server.db.engine.database import Connection
from server.db.engine.driver_adapters import Dialect, IntList, Row
from server.db.engine.packed import (
    as_numbers,
    select_packed,
    select_plain,
    unpacked,
)
from server.db.journal.journal import NOT_JUDGED, Delivery
from server.db.state.eventlog import Select

TURN_COMPANIES = 64  # that have their turn in one transaction; the others follow in the next one
TURN_BYTES = 16_000_000  # of bodies in one transaction
SMALL_BYTES = 500_000  # bodies that are read before anybody has asked how long they are
_MIN_EACH = 4
_LATEST_US = 250_000_000_000 * SECOND  # some thousand years from now: no moment of ours
_DUE = "state = 'received' AND next_attempt_at = 0"


class Unreadable(msgspec.Struct, frozen=True):
    """A row that makes no delivery."""

    id: int
    reason: str


class Waiting(msgspec.Struct, frozen=True):
    """Rows as they were read. `is_full`: there may be more."""

    deliveries: Sequence[Delivery] = ()
    unreadable: Sequence[Unreadable] = ()
    is_full: bool = False

    @property
    def ids(self) -> list[int]:
        """The numbers of all that was read, whether or not it could be decoded."""
        return [one.id for one in self.deliveries] + [one.id for one in self.unreadable]


def _whole(column: str) -> str:
    """SQLite keeps whatever it is given: only a whole number or nothing is one."""
    return f"CASE typeof({column}) WHEN 'integer' THEN {column} WHEN 'null' THEN NULL ELSE 'x' END"


_NUMBERS = ("received_at", "integration_id", "is_verified", "attempts", "company_id")
# MySQL: few columns, as its driver describes each one anew for each SELECT; the body stays as it
# is, it is mostly quotes. SQLite: as bytes, since a text that is no UTF-8 would fail the whole
# SELECT.
_READ: dict[Dialect, str] = {
    "sqlite": "SELECT id, CAST(uid AS BLOB), CAST(headers AS BLOB), CAST(body AS BLOB), "
    f"{', '.join(map(_whole, _NUMBERS))} "
    "FROM omni_webhook_deliveries ",
    "mysql": (
        f"SELECT JSON_ARRAY(id, uid, headers), body, JSON_ARRAY({', '.join(_NUMBERS)}) FROM "
        "omni_webhook_deliveries "
    ),
}
_BODY: dict[Dialect, int] = {"sqlite": 3, "mysql": 1}  # its place in what `_READ` gives
_READ_SMALL: dict[Dialect, str] = {
    "sqlite": _READ["sqlite"].replace(
        "CAST(body AS BLOB)", "CASE WHEN LENGTH(body) <= :small THEN CAST(body AS BLOB) END"
    ),
    "mysql": _READ["mysql"].replace(" body, ", " CASE WHEN LENGTH(body) <= :small THEN body END, "),
}
_OF_COMPANY: dict[Dialect, str] = {
    "sqlite": "company_id = :company_id",
    "mysql": "company_id = :company_id",
}
_OF_NOBODY: dict[Dialect, str] = {
    "sqlite": "(company_id = 0 OR typeof(company_id) <> 'integer')",
    "mysql": "company_id = 0",
}


async def read_oldest(connection: Connection, limit: int) -> Waiting:
    """The oldest untried deliveries of all companies, in one statement; a large one ends them, or
    is read alone.
    """
    sql = f"{_READ_SMALL[connection.dialect]}WHERE {_DUE} ORDER BY id LIMIT :limit"
    rows = await connection.fetch_all(sql, {"limit": limit, "small": SMALL_BYTES})
    place = _BODY[connection.dialect]
    small = list(itertools.takewhile(lambda row: row[place] is not None, rows))
    if len(small) == len(rows):
        return _waiting(rows, limit)
    found = _waiting(small, None) if small else await read_by_ids(connection, [_id(rows[0])])
    return Waiting(found.deliveries, found.unreadable, is_full=len(rows) > 1)


async def read_edges(connection: Connection) -> tuple[int | None, int]:
    """(number of the oldest delivery that is due, number of the newest there is; 0: there is
    none).
    """
    oldest, newest = await connection.fetch_each(
        (f"SELECT id FROM omni_webhook_deliveries WHERE {_DUE} ORDER BY id LIMIT 1", {}),
        ("SELECT MAX(id) FROM omni_webhook_deliveries", {}),
    )
    return (int(oldest[0][0]) if oldest else None), int(newest[0][0] or 0) if newest else 0


async def peek_deliveries(connection: Connection, limit: int) -> list[Delivery]:
    """Return the oldest untried deliveries that can be read, without locks."""
    return list((await read_oldest(connection, limit)).deliveries)


async def read_by_ids(connection: Connection, ids: Iterable[int]) -> Waiting:
    """Read those of these deliveries that are still `received`, oldest first."""
    sql = f"{_READ[connection.dialect]}WHERE id IN (:ids) AND state = 'received' ORDER BY id"
    return _waiting(await connection.fetch_all(sql, {"ids": IntList(ids)}), None)


async def read_turns(
    connection: Connection, limit: int, skipped: Collection[int], after: int | None = None
) -> tuple[list[int], int | None]:
    """Untried deliveries, as many of each company, in order. Returns their ids, and the company
    after which the next turn begins (None: all have had theirs). Deliveries of one company leave no
    gap between them.
    """
    companies = await _companies(connection, skipped, after)
    if not companies:
        return [], None
    share = max(_MIN_EACH, limit // len(companies))
    selects = [_of_company(connection.dialect, company_id, share) for company_id in companies]
    found = await connection.fetch_each(*selects)
    by_company: dict[int, list[tuple[int, ...]]] = {}
    for company_id, rows in zip(companies, found, strict=True):
        numbers = unpacked(connection.dialect, rows)
        by_company[company_id] = (
            await _read_company(connection, company_id, share) if numbers is None else numbers
        )
    chosen = _within(by_company, TURN_BYTES)
    unjudged = by_company.get(NOT_JUDGED, [])
    if len(unjudged) >= share or len(chosen.get(NOT_JUDGED, [])) < len(unjudged):
        # whose these are is not known yet: nothing that came after them may pass them
        edge = max(chosen.get(NOT_JUDGED, [0]))
        chosen = {
            company_id: [i for i in ids if i <= edge or company_id < 0]
            for company_id, ids in chosen.items()
        }
    is_whole = len(companies) < TURN_COMPANIES
    return sorted(i for ids in chosen.values() for i in ids), None if is_whole else companies[-1]


async def read_companies(connection: Connection) -> list[int]:
    """Companies with untried deliveries."""
    return await _companies(connection, (), None)


async def read_ids(connection: Connection, company_id: int, limit: int) -> list[int]:
    """The oldest untried deliveries of a company, as many as have `TURN_BYTES`."""
    return _within({company_id: await _read_company(connection, company_id, limit)}, TURN_BYTES)[
        company_id
    ]


def lock_waiting(dialect: Dialect, ids: Iterable[int], columns: str = "COUNT(*)") -> Select:
    """Return a SELECT that locks those of them that are still to be done and not locked by another.
    Its one row is their number: a row for each would cost the batch more than all its other reads.
    """
    suffix = " FOR UPDATE SKIP LOCKED" if dialect == "mysql" else ""
    sql = (
        f"SELECT {columns} FROM omni_webhook_deliveries WHERE id IN (:ids) AND state = "
        f"'received'{suffix}"
    )
    return sql, {"ids": IntList(ids)}


async def lock_each(connection: Connection, ids: Iterable[int]) -> set[int]:
    """As `lock_waiting`; returns which they are."""
    return {
        int(number)
        for number in await connection.fetch_column(*lock_waiting(connection.dialect, ids, "id"))
    }


async def read_held(connection: Connection, ids: Iterable[int]) -> set[int]:
    """Return those of them that are still to be done, locked or not."""
    sql = "SELECT id FROM omni_webhook_deliveries WHERE id IN (:ids) AND state = 'received'"
    return set(map(int, await connection.fetch_column(sql, {"ids": IntList(ids)})))


async def read_due_retries(connection: Connection, now_us: int, limit: int) -> list[int]:
    """Deliveries that failed and whose next try is due; also those whose next try is at no moment
    that we would have chosen.
    """
    numbers = await connection.fetch_column(
        "SELECT id FROM omni_webhook_deliveries WHERE state = 'received' AND next_attempt_at <> 0 "
        "AND (next_attempt_at <= :now OR next_attempt_at > :far) ORDER BY next_attempt_at LIMIT "
        ":limit",
        {"now": now_us, "far": now_us + 3600 * SECOND, "limit": limit},
    )
    return [int(number) for number in numbers]


async def _companies(
    connection: Connection, skipped: Collection[int], after: int | None
) -> list[int]:
    company = (
        "company_id"
        if connection.dialect == "mysql"
        else "CASE typeof(company_id) WHEN 'integer' THEN company_id ELSE 0 END"
    )
    beyond = "" if after is None else " AND company_id > :after"
    found = await connection.fetch_column(
        f"SELECT DISTINCT {company} FROM omni_webhook_deliveries WHERE {_DUE}{beyond} ORDER BY 1 "
        "LIMIT :limit",
        {"limit": TURN_COMPANIES + len(skipped)} | ({} if after is None else {"after": after}),
    )
    return [int(one) for one in found if one not in skipped][:TURN_COMPANIES]


def _of_company(dialect: Dialect, company_id: int, limit: int, *, is_packed: bool = True) -> Select:
    """(id, bytes of the body) of each."""
    where = (_OF_COMPANY if company_id else _OF_NOBODY)[dialect]
    parameters: dict[str, Any] = {"limit": limit} | (
        {"company_id": company_id} if company_id else {}
    )
    oldest = (
        f"SELECT id, LENGTH(body) AS bytes FROM omni_webhook_deliveries WHERE {_DUE} AND {where} "
        "ORDER BY id LIMIT :limit"
    )
    select = select_packed if is_packed else select_plain
    return select(dialect, ["id", "bytes"], f"({oldest}) AS oldest", "id"), parameters


async def _read_company(
    connection: Connection, company_id: int, limit: int
) -> list[tuple[int, ...]]:
    """The same, in as many rows."""
    sql, parameters = _of_company(connection.dialect, company_id, limit, is_packed=False)
    return as_numbers(await connection.fetch_all(sql, parameters))


def _within(
    by_company: Mapping[int, Sequence[tuple[int, ...]]], most_bytes: int
) -> dict[int, list[int]]:
    """The first of each, then the second of each, until so many bytes are together; at least
    one.
    """
    chosen: dict[int, list[int]] = {company_id: [] for company_id in by_company}
    ended, total = set[int](), 0
    for place in range(max(map(len, by_company.values()), default=0)):
        for company_id, rows in by_company.items():
            if place >= len(rows) or company_id in ended:
                continue
            if total and total + rows[place][1] > most_bytes:
                ended.add(company_id)
                continue
            total += rows[place][1]
            chosen[company_id].append(rows[place][0])
    return chosen


def _waiting(rows: Sequence[Row], limit: int | None) -> Waiting:
    deliveries, unreadable = [], []
    for row in rows:
        try:
            deliveries.append(_delivery(row))
        except (ValueError, TypeError, OverflowError, msgspec.MsgspecError) as error:
            unreadable.append(
                Unreadable(_id(row), f"this row of the journal cannot be read: {error}")
            )
    return Waiting(deliveries, unreadable, limit is not None and len(rows) >= limit)


def _id(row: Row) -> int:
    return int(row[0] if isinstance(row[0], int) else msgspec.json.decode(row[0])[0])


_NUMBER = (int, type(None))
_decode_headers = msgspec.json.Decoder(dict[str, str]).decode


def _delivery(row: Row) -> Delivery:
    if len(row) == 3:  # MySQL
        number, uid, headers = msgspec.json.decode(row[0])
        body, numbers = row[1], msgspec.json.decode(row[2])
    else:
        number, uid, headers, body, *numbers = row
    received_us, integration_id, is_verified, attempts, company_id = numbers
    if not isinstance(received_us, int) or not 0 <= received_us < _LATEST_US:
        raise ValueError("received_at is no moment")
    if not (
        isinstance(integration_id, _NUMBER)
        and isinstance(is_verified, _NUMBER)
        and isinstance(attempts, _NUMBER)
    ):
        raise TypeError("a number is none")
    kept = _decode_headers(headers) if headers else {}
    return Delivery(
        uid=_text(uid, "replace"),
        received_us=received_us,
        body=_text(body, "strict"),
        headers=kept,
        integration_id=integration_id,
        is_verified=bool(is_verified),
        id=number,
        attempts=max(0, attempts or 0),
        company_id=company_id if isinstance(company_id, int) else NOT_JUDGED,
    )


def _text(value: Any, errors: str) -> str:
    if isinstance(value, bytes):
        return value.decode(errors=errors)
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where a text should be")
    return value
