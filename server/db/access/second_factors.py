"""Second factors: an agent's authenticator secret, recovery codes, and sign-ins that wait for a
code.
"""

from collections.abc import Sequence

import msgspec

from server.core.times import SECOND
from server.db.access.vault import Vault
from server.db.engine.database import Connection

TICKET_US = 10 * 60 * SECOND  # how long a ticket lives


class SecondFactor(msgspec.Struct, frozen=True):
    """An authenticator's secret in the clear, never shown again, and the time step it was used for
    last.
    """

    secret: str
    last_step: int


class Ticket(msgspec.Struct, frozen=True):
    """A sign-in between password and code. `new_secret` is set where the factor is being set up."""

    agent_id: int
    new_secret: str | None
    attempts: int


async def read_second_factor(
    connection: Connection, vault: Vault, agent_id: int
) -> SecondFactor | None:
    """Raises ConfigurationError when SECRET_KEY is not the key it was sealed with."""
    row = await connection.fetch_one(
        "SELECT secret, last_step FROM omni_second_factors WHERE agent_id = :id", {"id": agent_id}
    )
    if row is None:
        return None
    secret, last_step = row
    return SecondFactor(vault.open(secret) or "", last_step)


async def has_second_factor(connection: Connection, agent_id: int) -> bool:
    """Whether the agent has a confirmed authenticator."""
    row = await connection.fetch_one(
        "SELECT 1 FROM omni_second_factors WHERE agent_id = :id", {"id": agent_id}
    )
    return row is not None


async def agents_with(connection: Connection, company_id: int) -> set[int]:
    """The agents of a company who have one."""
    numbers = await connection.fetch_column(
        "SELECT f.agent_id FROM omni_second_factors f JOIN omni_agents a ON a.id = f.agent_id "
        "WHERE a.company_id = :company_id",
        {"company_id": company_id},
    )
    return set(numbers)


async def agents_without(connection: Connection, company_id: int) -> list[int]:
    """The agents of a company who sign in with a password alone."""
    return await connection.fetch_column(
        "SELECT a.id FROM omni_agents a WHERE a.company_id = :company_id AND a.password_hash IS "
        "NOT NULL "
        "AND NOT EXISTS (SELECT 1 FROM omni_second_factors f WHERE f.agent_id = a.id) ORDER BY "
        "a.id",
        {"company_id": company_id},
    )


async def reseal(connection: Connection, vault: Vault) -> int:
    """Encrypt secrets that are in the clear or sealed with an older key. Returns how many; those
    nobody can open are left alone.
    """
    rows = await connection.fetch_all(
        "SELECT agent_id, secret FROM omni_second_factors ORDER BY agent_id"
    )
    count = 0
    for agent_id, stored in rows:
        if not vault.is_current(stored) and (opened := vault.try_open(stored)) is not None:
            # only while it is what was read: its agent may just have set up another one
            count += await connection.execute(
                "UPDATE omni_second_factors SET secret = :sealed WHERE agent_id = :id AND "
                "secret = :stored",
                {"sealed": vault.seal(opened), "id": agent_id, "stored": stored},
            )
    return count


async def use_step(connection: Connection, agent_id: int, step: int) -> bool:
    """Whether the code's time step is still to be used: of two sign-ins with one code, one."""
    used = await connection.execute(
        "UPDATE omni_second_factors SET last_step = :step WHERE agent_id = :id AND last_step < "
        ":step",
        {"step": step, "id": agent_id},
    )
    return used == 1


async def keep_second_factor(
    connection: Connection,
    vault: Vault,
    agent_id: int,
    factor: SecondFactor,
    code_hashes: Sequence[str],
    now_us: int,
) -> None:
    """Replaces an earlier one with its recovery codes."""
    await delete_second_factor(connection, agent_id)
    await connection.execute(
        "INSERT INTO omni_second_factors (agent_id, secret, last_step, created_at) VALUES (:id, "
        ":secret, :step, :now)",
        {
            "id": agent_id,
            "secret": vault.seal(factor.secret),
            "step": factor.last_step,
            "now": now_us,
        },
    )
    await connection.execute_many(
        "INSERT INTO omni_recovery_codes (agent_id, code_hash) VALUES (:id, :hash)",
        [{"id": agent_id, "hash": code_hash} for code_hash in code_hashes],
    )


async def delete_second_factor(connection: Connection, agent_id: int) -> bool:
    """Whether there was one."""
    await connection.execute(
        "DELETE FROM omni_recovery_codes WHERE agent_id = :id", {"id": agent_id}
    )
    return (
        await connection.execute(
            "DELETE FROM omni_second_factors WHERE agent_id = :id", {"id": agent_id}
        )
        > 0
    )


async def use_recovery_code(
    connection: Connection, agent_id: int, code_hash: str, now_us: int
) -> bool:
    """Whether the code was there to be used: once."""
    used = await connection.execute(
        "UPDATE omni_recovery_codes SET used_at = :now WHERE agent_id = :id AND code_hash = "
        ":hash AND used_at IS NULL",
        {"now": now_us, "id": agent_id, "hash": code_hash},
    )
    return used == 1


async def count_recovery_codes(connection: Connection, agent_id: int) -> int:
    """How many are left."""
    number = await connection.fetch_value(
        "SELECT COUNT(*) FROM omni_recovery_codes WHERE agent_id = :id AND used_at IS NULL",
        {"id": agent_id},
    )
    return int(number or 0)


async def add_ticket(
    connection: Connection,
    vault: Vault,
    token_hash: str,
    agent_id: int,
    new_secret: str | None,
    now_us: int,
) -> None:
    """`now_us` is by the clock that ends of access are stamped with."""
    await connection.execute(
        "INSERT INTO omni_sign_in_tickets (token_hash, agent_id, new_secret, expires_at) "
        "VALUES (:hash, :agent_id, :secret, :expires)",
        {
            "hash": token_hash,
            "agent_id": agent_id,
            "secret": vault.seal(new_secret),
            "expires": now_us + TICKET_US,
        },
    )


async def read_ticket(
    connection: Connection, vault: Vault, token_hash: str, now_us: int
) -> Ticket | None:
    """One whose time is not over, and that was given after everything issued to its agent before
    was ended.
    """
    row = await connection.fetch_one(
        "SELECT t.agent_id, t.new_secret, t.attempts FROM omni_sign_in_tickets t JOIN "
        "omni_agents a ON a.id = t.agent_id "
        "WHERE t.token_hash = :hash AND t.expires_at > :now AND t.expires_at >= a.valid_after + "
        ":life AND a.is_active = :yes",
        {"hash": token_hash, "now": now_us, "life": TICKET_US, "yes": True},
    )
    if row is None:
        return None
    agent_id, new_secret, attempts = row
    return Ticket(agent_id, vault.open(new_secret), attempts)


async def count_attempt(connection: Connection, token_hash: str, most: int) -> bool:
    """Count a code that is tried with the ticket. False when it has had its tries."""
    counted = await connection.execute(
        "UPDATE omni_sign_in_tickets SET attempts = attempts + 1 WHERE token_hash = :hash AND "
        "attempts < :most",
        {"hash": token_hash, "most": most},
    )
    return counted == 1


async def drop_ticket(connection: Connection, token_hash: str) -> bool:
    """Whether it was still there: of two that use it at once, one."""
    return (
        await connection.execute(
            "DELETE FROM omni_sign_in_tickets WHERE token_hash = :hash", {"hash": token_hash}
        )
    ) == 1


async def trim_tickets(connection: Connection, before_us: int, limit: int) -> int:
    """Forget tickets whose time was over before the moment. Returns how many."""
    rows = await connection.fetch_all(
        "SELECT token_hash FROM omni_sign_in_tickets WHERE expires_at < :before ORDER BY "
        "expires_at LIMIT :limit",
        {"before": before_us, "limit": limit},
    )
    for (token_hash,) in rows:
        await drop_ticket(connection, token_hash)
    return len(rows)


async def requires_second_factor(connection: Connection, company_id: int) -> bool:
    """Whether the company's administrators ask it of every agent with a password."""
    is_required = await connection.fetch_value(
        "SELECT requires_second_factor FROM omni_company_policies WHERE company_id = :id",
        {"id": company_id},
    )
    return bool(is_required)


async def set_requirement(
    connection: Connection, company_id: int, *, is_required: bool, now_us: int
) -> None:
    """Store whether the company's agents need a second factor."""
    values = {"id": company_id, "required": is_required, "now": now_us}
    changed = await connection.execute(
        "UPDATE omni_company_policies SET requires_second_factor = :required, updated_at = :now "
        "WHERE company_id = :id",
        values,
    )
    if not changed:
        await connection.execute(
            "INSERT INTO omni_company_policies (company_id, requires_second_factor, updated_at) "
            "VALUES (:id, :required, :now)",
            values,
        )
