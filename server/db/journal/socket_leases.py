"""Who listens to the agents' socket of which Chatwoot account: one process for each, by a lease.
All times are the database's.
"""

from collections.abc import Collection, Iterable

import msgspec

from server.db.engine.database import Connection

_MAX_PROBLEM_CHARACTERS = 255
_MAX_ROWS = 20_000
_INSERT = {
    "sqlite": "INSERT INTO omni_chatwoot_sockets (company_id, place, holder, lease_until) "
    "VALUES (:company_id, :place, :holder, :until) ON CONFLICT (company_id, place) DO NOTHING",
    "mysql": "INSERT INTO omni_chatwoot_sockets (company_id, place, holder, lease_until) "
    "VALUES (:company_id, :place, :holder, :until) ON DUPLICATE KEY UPDATE place = place",
}
Place = tuple[int, str]  # company, digest of address and account


class SocketState(msgspec.Struct, frozen=True):
    """How it goes at one place. `state`: away, connecting, live, refused."""

    holder: str
    lease_us: int
    state: str = "away"
    problem: str | None = None
    connected_us: int | None = None
    heard_us: int | None = None
    behind_us: int | None = None


async def read_sockets(connection: Connection) -> dict[Place, SocketState]:
    """Return the leases of all sockets to Chatwoot, and what their holders say of them."""
    rows = await connection.fetch_all(
        "SELECT company_id, place, holder, lease_until, state, problem, connected_at, heard_at, "
        "behind_us "
        "FROM omni_chatwoot_sockets ORDER BY id LIMIT :limit",
        {"limit": _MAX_ROWS},
    )
    return {(company_id, place): SocketState(*state) for company_id, place, *state in rows}


async def renew_leases(connection: Connection, holder: str, until_us: int) -> None:
    """Renew all leases of this process, also those that have run out and that no other process has
    claimed.
    """
    await connection.execute(
        "UPDATE omni_chatwoot_sockets SET lease_until = :until WHERE holder = :holder AND "
        "lease_until > 0",
        {"until": until_us, "holder": holder},
    )


async def claim_lease(
    connection: Connection, place: Place, holder: str, now_us: int, until_us: int
) -> bool:
    """Whether it is this process's now. A lease further ahead than one can be was written by a
    clock that was wrong.
    """
    values = {"company_id": place[0], "place": place[1], "holder": holder, "until": until_us}
    await connection.execute(_INSERT[connection.dialect], values)
    await connection.execute(
        "UPDATE omni_chatwoot_sockets SET holder = :holder, lease_until = :until, state = "
        "'away', problem = NULL "
        "WHERE company_id = :company_id AND place = :place AND (lease_until < :now OR "
        "lease_until > :impossible)",
        values | {"now": now_us, "impossible": until_us + 2 * (until_us - now_us)},
    )
    found = await connection.fetch_value(
        "SELECT holder FROM omni_chatwoot_sockets WHERE company_id = :company_id AND place = "
        ":place",
        {"company_id": place[0], "place": place[1]},
    )
    return found is not None and bool(found == holder)


async def give_back(connection: Connection, holder: str, places: Collection[Place]) -> None:
    """End a lease, so that another process may listen there at once."""
    for company_id, place in places:
        await connection.execute(
            "UPDATE omni_chatwoot_sockets SET lease_until = 0, state = 'away' "
            "WHERE company_id = :company_id AND place = :place AND holder = :holder",
            {"company_id": company_id, "place": place, "holder": holder},
        )


async def write_states(
    connection: Connection, holder: str, states: Iterable[tuple[Place, SocketState]]
) -> None:
    """Store the states that changed, for all processes to read; not those of places where another
    process listens by now.
    """
    for (company_id, place), one in states:
        await connection.execute(
            "UPDATE omni_chatwoot_sockets SET state = :state, problem = :problem, connected_at = "
            ":connected, heard_at = :heard, "
            "behind_us = :behind WHERE company_id = :company_id AND place = :place AND holder = "
            ":holder",
            {
                "state": one.state,
                "problem": one.problem[:_MAX_PROBLEM_CHARACTERS] if one.problem else None,
                "connected": one.connected_us,
                "heard": one.heard_us,
                "behind": one.behind_us,
                "company_id": company_id,
                "place": place,
                "holder": holder,
            },
        )
