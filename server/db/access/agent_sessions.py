"""Sessions: the sign-ins behind browsers' cookies, and what their agents see of them."""

import msgspec

from server.db.access.agent_rows import after_all_changes
from server.db.access.audit_log import NO_ORIGIN, Origin
from server.db.engine.database import Connection
from server.db.engine.row_mapper import RowMapper

_ID_CHARACTERS = 16  # of the hash, to name a sign-in by: the cookie cannot be found from it


class SignInView(msgspec.Struct, frozen=True):
    """One sign-in that has not ended; times in microseconds."""

    id: str
    key: str
    created_us: int
    expires_us: int
    address: str | None
    client: str | None


class StoredSession(msgspec.Struct, frozen=True):
    """A session as its row is; times in microseconds."""

    agent_id: int
    created_us: int
    expires_us: int
    revoked_us: int | None


_SESSIONS = RowMapper(
    StoredSession,
    {
        "agent_id": "agent_id",
        "created_us": "created_at",
        "expires_us": "expires_at",
        "revoked_us": "revoked_at",
    },
)


async def list_sessions(
    connection: Connection, agent_id: int, now_us: int, limit: int
) -> list[SignInView]:
    """The newest first."""
    rows = await connection.fetch_all(
        "SELECT token_hash, created_at, expires_at, address, client FROM omni_agent_sessions "
        "WHERE agent_id = :id AND revoked_at IS NULL AND expires_at > :now ORDER BY created_at "
        "DESC LIMIT :limit",
        {"id": agent_id, "now": now_us, "limit": limit},
    )
    return [SignInView(key[:_ID_CHARACTERS], key, *rest) for key, *rest in rows]


async def end_sessions(connection: Connection, keys: list[str], now_us: int) -> None:
    """Every process closes their sockets within seconds."""
    for key in keys:
        await revoke_session(connection, key, now_us)


async def add_session(
    connection: Connection,
    token_hash: str,
    agent_id: int,
    now_us: int,
    expires_us: int,
    origin: Origin = NO_ORIGIN,
) -> None:
    """Store a new session under the hash of its token; address and client are cut to their
    columns.
    """
    await connection.execute(
        "INSERT INTO omni_agent_sessions (token_hash, agent_id, created_at, expires_at, address, "
        "client) "
        "VALUES (:token_hash, :agent_id, :now, :expires, :address, :client)",
        {
            "token_hash": token_hash,
            "agent_id": agent_id,
            "now": now_us,
            "expires": expires_us,
            "address": origin.address[:64] or None,
            "client": origin.client[:255] or None,
        },
    )


async def read_session(connection: Connection, token_hash: str) -> StoredSession | None:
    """Return the session with this token's hash, whether or not it has ended; None if there is
    none.
    """
    return _SESSIONS.read_or_none(
        await connection.fetch_one(
            f"SELECT {_SESSIONS.text} FROM omni_agent_sessions WHERE token_hash = :token_hash",
            {"token_hash": token_hash},
        )
    )


async def revoke_session(connection: Connection, token_hash: str, now_us: int) -> None:
    """End a session; one that has ended keeps its time."""
    await connection.execute(
        "UPDATE omni_agent_sessions SET revoked_at = :now WHERE token_hash = :token_hash AND "
        "revoked_at IS NULL",
        {"now": await after_all_changes(connection, now_us), "token_hash": token_hash},
    )


async def read_sessions_revoked(connection: Connection, since_us: int, page: int) -> list[str]:
    """The keys of sessions that were ended at or after the moment: all of them, in pages."""
    found: list[str] = []
    edge: dict[str, object] = {"since": since_us, "key": ""}
    while True:
        rows = await connection.fetch_all(
            "SELECT token_hash, revoked_at FROM omni_agent_sessions WHERE revoked_at >= :since "
            "AND (revoked_at > :since OR token_hash > :key) "
            "ORDER BY revoked_at, token_hash LIMIT :limit",
            edge | {"limit": page},
        )
        found += [key for key, _ in rows]
        if len(rows) < page:
            return found
        last_key, last_us = rows[-1]
        edge = {"since": last_us, "key": last_key}


async def trim_sessions(connection: Connection, before_us: int, limit: int) -> int:
    """Forget sessions that ended before the moment. Returns how many."""
    rows = await connection.fetch_all(
        "SELECT token_hash FROM omni_agent_sessions WHERE expires_at < :before ORDER BY "
        "expires_at LIMIT :limit",
        {"before": before_us, "limit": limit},
    )
    for (token_hash,) in rows:
        await connection.execute(
            "DELETE FROM omni_agent_sessions WHERE token_hash = :token_hash",
            {"token_hash": token_hash},
        )
    return len(rows)
