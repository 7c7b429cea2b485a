"""Invitations: links that make their reader an agent, or let an agent set a new password. Only the
token's hash is kept.

An invitation ends when it is used, when its time is over, and with the access of the person it is
for or of the person who made it.
"""

import msgspec

from server.db.engine.database import Connection, Row

_COLUMNS = "token_hash, company_id, email, name, role, expires_at, invited_by"
_IS_OPEN = "accepted_at IS NULL AND expires_at > :now"
_ID_CHARACTERS = 16  # of the hash, to name an invitation by: the token cannot be found from it


class Invitation(msgspec.Struct, frozen=True):
    """`id` names it to people; `invited_by` is the agent who made it, None a command on the
    server.
    """

    company_id: int
    email: str
    name: str
    role: str
    expires_us: int
    invited_by: int | None = None
    id: str = ""


async def add_invitation(
    connection: Connection, token_hash: str, invitation: Invitation, now_us: int
) -> None:
    """Earlier ones for the same address end with it: one link works, the newest."""
    await end_invitations_of(connection, invitation.company_id, invitation.email, None, now_us)
    await connection.execute(
        "INSERT INTO omni_invitations (token_hash, company_id, email, name, role, created_at, "
        "expires_at, invited_by) "
        "VALUES (:token_hash, :company_id, :email, :name, :role, :now, :expires, :invited_by)",
        {
            "token_hash": token_hash,
            "company_id": invitation.company_id,
            "email": invitation.email,
            "name": invitation.name,
            "role": invitation.role,
            "now": now_us,
            "expires": invitation.expires_us,
            "invited_by": invitation.invited_by,
        },
    )


async def read_invitation(
    connection: Connection, token_hash: str, now_us: int
) -> Invitation | None:
    """One that is open."""
    row = await connection.fetch_one(
        f"SELECT {_COLUMNS} FROM omni_invitations WHERE token_hash = :token_hash AND {_IS_OPEN}",
        {"token_hash": token_hash, "now": now_us},
    )
    return _invitation(row) if row else None


async def read_open_invitations(
    connection: Connection, company_id: int, now_us: int, limit: int
) -> list[Invitation]:
    """Those of a company that can still be used, the one that ends first before the others."""
    rows = await connection.fetch_all(
        f"SELECT {_COLUMNS} FROM omni_invitations WHERE company_id = :company_id AND {_IS_OPEN} "
        "ORDER BY expires_at LIMIT :limit",
        {"company_id": company_id, "now": now_us, "limit": limit},
    )
    return [_invitation(row) for row in rows]


async def use_invitation(connection: Connection, token_hash: str, now_us: int) -> bool:
    """Whether it was still there to be used: of two that use it at once, one."""
    used = await connection.execute(
        "UPDATE omni_invitations SET accepted_at = :now WHERE token_hash = :token_hash AND "
        f"{_IS_OPEN}",
        {"token_hash": token_hash, "now": now_us},
    )
    return used == 1


async def end_invitation(
    connection: Connection, company_id: int, invitation: Invitation, now_us: int
) -> bool:
    """Whether it was still open."""
    ended = await connection.execute(
        "UPDATE omni_invitations SET expires_at = :now WHERE company_id = :company_id AND email "
        "= :email "
        f"AND SUBSTR(token_hash, 1, {_ID_CHARACTERS}) = :id AND {_IS_OPEN}",
        {"now": now_us, "company_id": company_id, "email": invitation.email, "id": invitation.id},
    )
    return ended > 0


async def end_invitations_of(
    connection: Connection, company_id: int, email: str | None, invited_by: int | None, now_us: int
) -> int:
    """End the open ones for an address, and those that an agent has made. Returns how many."""
    return await connection.execute(
        "UPDATE omni_invitations SET expires_at = :now WHERE company_id = :company_id "
        f"AND (email = :email OR invited_by = :invited_by) AND {_IS_OPEN}",
        {"now": now_us, "company_id": company_id, "email": email, "invited_by": invited_by},
    )


def _invitation(row: Row) -> Invitation:
    token_hash, company_id, email, name, role, expires_us, invited_by = row
    identity = token_hash[:_ID_CHARACTERS]
    return Invitation(company_id, email, name, role, expires_us, invited_by, identity)
