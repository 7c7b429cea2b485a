"""Invitations: links that make somebody an agent, or let an agent set a new password. Only the token's hash is kept."""

import msgspec

from server.db.database import Connection


class Invitation(msgspec.Struct, frozen=True):
    company_id: int
    email: str
    name: str
    role: str
    expires_us: int


async def add_invitation(connection: Connection, token_hash: str, invitation: Invitation, now_us: int) -> None:
    """Earlier ones for the same address end with it: one link works, the newest."""
    await connection.execute(
        "UPDATE invitations SET expires_at = :now WHERE email = :email AND company_id = :company_id AND expires_at > :now",
        {"now": now_us, "email": invitation.email, "company_id": invitation.company_id},
    )
    await connection.execute(
        "INSERT INTO invitations (token_hash, company_id, email, name, role, created_at, expires_at) "
        "VALUES (:token_hash, :company_id, :email, :name, :role, :now, :expires)",
        {
            "token_hash": token_hash,
            "company_id": invitation.company_id,
            "email": invitation.email,
            "name": invitation.name,
            "role": invitation.role,
            "now": now_us,
            "expires": invitation.expires_us,
        },
    )


async def read_invitation(connection: Connection, token_hash: str, now_us: int) -> Invitation | None:
    """One that has neither been used nor expired."""
    row = await connection.fetch_one(
        "SELECT company_id, email, name, role, expires_at FROM invitations "
        "WHERE token_hash = :token_hash AND accepted_at IS NULL AND expires_at > :now",
        {"token_hash": token_hash, "now": now_us},
    )
    return Invitation(*row) if row else None


async def use_invitation(connection: Connection, token_hash: str, now_us: int) -> bool:
    """Whether it was still there to be used: of two that use it at once, one."""
    used = await connection.execute(
        "UPDATE invitations SET accepted_at = :now WHERE token_hash = :token_hash AND accepted_at IS NULL AND expires_at > :now",
        {"token_hash": token_hash, "now": now_us},
    )
    return used == 1
