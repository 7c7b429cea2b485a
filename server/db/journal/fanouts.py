"""When events were written to agents' sockets: a row for each fan-out of a process, from which a
message's trace is made later.
"""

from collections.abc import Sequence

import msgspec

from server.core.state.fan_out import FanOut
from server.db.engine.database import Connection
from server.db.schema import columns


async def append_fanouts(connection: Connection, rows: Sequence[FanOut]) -> None:
    """Store to how many sockets ranges of events were written, and when."""
    await connection.execute_many(
        "INSERT INTO omni_event_reach (company_id, first_seq, last_seq, first_at, last_at, "
        "sockets) "
        "VALUES (:company_id, :first_seq, :last_seq, :first_us, :last_us, :sockets)",
        [msgspec.structs.asdict(row) for row in rows],
    )


async def read_fanouts(
    connection: Connection, company_id: int, seq: int, limit: int
) -> list[FanOut]:
    """Return the fan-outs of all processes that held one event: their ranges end at or after it,
    and begin at or before it.
    """
    rows = await connection.fetch_all(
        "SELECT company_id, first_seq, last_seq, first_at, last_at, sockets FROM omni_event_reach "
        "WHERE company_id = :company_id AND last_seq >= :seq ORDER BY last_seq LIMIT :limit",
        {"company_id": company_id, "seq": seq, "limit": limit},
    )
    return [found for row in rows if (found := FanOut(*row)).first_seq <= seq]


async def read_delays(
    connection: Connection, company_id: int, since_us: int, limit: int
) -> list[tuple[int, bytes]]:
    """Return (written to the last socket in microseconds, the event as clients get it) of all
    events of the newest fan-outs: what delays are reckoned from. Of the last event alone they would
    be too short: the others of its fan-out have waited for longer.
    """
    rows = await connection.fetch_all(
        "SELECT r.last_at, e.body FROM omni_event_reach r JOIN omni_inbox_events e ON "
        "e.company_id = r.company_id "
        "AND e.seq BETWEEN r.first_seq AND r.last_seq "
        "WHERE r.company_id = :company_id AND r.last_at >= :since AND r.sockets > 0 ORDER BY "
        "r.last_seq DESC LIMIT :limit",
        {"company_id": company_id, "since": since_us, "limit": limit},
    )
    return [(ended_us, body.encode()) for ended_us, body in rows]


async def trim_fanouts(connection: Connection, before_us: int, limit: int) -> int:
    """Delete fan-outs before the moment. Returns how many."""
    numbers = await connection.fetch_column(
        "SELECT id FROM omni_event_reach WHERE last_at < :before ORDER BY last_at LIMIT :limit",
        {"before": before_us, "limit": limit},
    )
    if numbers:
        await connection.execute(
            f"DELETE FROM omni_event_reach WHERE id IN ({columns.ids(numbers)})"
        )
    return len(numbers)
