"""An agent's sign-ins as that agent sees them: listed, and ended one by one."""

import msgspec

from server.db.access import accounts
from server.db.engine.database import Connection

_ID_CHARACTERS = 16  # of the hash, to name a sign-in by: the cookie cannot be found from it


class SignInView(msgspec.Struct, frozen=True):
    """One sign-in that has not ended; times in microseconds."""

    id: str
    key: str
    created_us: int
    expires_us: int
    address: str | None
    client: str | None


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
    return [SignInView(row[0][:_ID_CHARACTERS], row[0], *row[1:]) for row in rows]


async def end_sessions(connection: Connection, keys: list[str], now_us: int) -> None:
    """Every process closes their sockets within seconds."""
    for key in keys:
        await accounts.revoke_session(connection, key, now_us)
