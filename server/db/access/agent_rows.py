"""Agents: who may read. What they may do is noticed by every process within seconds of a change."""

import uuid
from collections.abc import Iterable
from typing import Any

import msgspec

from server.core.subjects import LOCAL_SUBJECT, is_local
from server.db.engine.database import Connection
from server.db.engine.driver_adapters import IntList
from server.db.engine.row_mapper import RowMapper
from server.errors import DuplicateRow, Unauthenticated
from server.problems import Problem


class Agent(msgspec.Struct, frozen=True):
    """`subject` is the claim `sub` of this agent's tokens; what was issued before `valid_after_us`
    is refused.
    """

    id: int
    company_id: int
    subject: str
    name: str
    role: str
    email: str | None
    is_active: bool
    valid_after_us: int
    # an administrator here gave or took the role: the CRM's tokens cannot raise it
    has_role_of_ours: bool = False


_AGENTS = RowMapper(
    Agent,
    {
        "id": "id",
        "company_id": "company_id",
        "subject": "subject",
        "name": "name",
        "role": "role",
        "email": "email",
        "is_active": "is_active",
        "valid_after_us": "valid_after",
        "has_role_of_ours": "is_role_ours",
    },
    {"is_active": bool, "has_role_of_ours": bool},
)
_AGENT = f"SELECT {_AGENTS.text} FROM omni_agents "
_AGENT_CHANGE = f"SELECT updated_at, created_at, {_AGENTS.text} FROM omni_agents "


async def read_agent(connection: Connection, agent_id: int) -> Agent | None:
    """Return the agent with this id, active or not; None if there is none."""
    return _AGENTS.read_or_none(
        await connection.fetch_one(f"{_AGENT} WHERE id = :id", {"id": agent_id})
    )


async def read_agent_by_subject(
    connection: Connection, company_id: int, subject: str
) -> Agent | None:
    """Return the company's agent with this subject (`sub` of its tokens); None if there is none."""
    return _AGENTS.read_or_none(
        await connection.fetch_one(
            f"{_AGENT} WHERE company_id = :company_id AND subject = :subject",
            {"company_id": company_id, "subject": subject},
        )
    )


async def read_agents(connection: Connection, company_id: int, limit: int) -> list[Agent]:
    """All agents of a company."""
    rows = await connection.fetch_all(
        f"{_AGENT} WHERE company_id = :company_id ORDER BY id LIMIT :limit",
        {"company_id": company_id, "limit": limit},
    )
    return [_AGENTS.read(row) for row in rows]


async def read_newest_changes(connection: Connection) -> tuple[int, int]:
    """Return the newest moments at which an agent's row was changed and a session ended: the next
    search for changes begins there.
    """
    row = await connection.fetch_one(
        "SELECT (SELECT MAX(updated_at) FROM omni_agents), (SELECT MAX(revoked_at) FROM "
        "omni_agent_sessions)"
    )
    changed_us, revoked_us = row or (0, 0)
    return changed_us or 0, revoked_us or 0


async def after_all_changes(connection: Connection, now_us: int) -> int:
    """Return now, or a moment later than every change so far: a search for what is new finds it,
    also when the clock of this machine, or of the one that wrote before, is wrong.
    """
    return max(now_us, *(newest + 1 for newest in await read_newest_changes(connection)))


class AgentChange(msgspec.Struct, frozen=True):
    """An agent as the row is now; `is_new`: the row was only added, so no right can have been
    withdrawn.
    """

    agent: Agent
    is_new: bool


async def read_agents_changed(
    connection: Connection, since_us: int, page: int
) -> list[AgentChange]:
    """Agents whose row changed at or after the moment: how every process learns of withdrawn
    access. All of them, in pages: the newest change is the one that must not be missed.
    """
    found: list[AgentChange] = []
    edge = {"since": since_us, "id": 0}
    while True:
        rows = await connection.fetch_all(
            f"{_AGENT_CHANGE} WHERE updated_at >= :since AND (updated_at > :since OR id > :id) "
            "ORDER BY updated_at, id LIMIT :limit",
            edge | {"limit": page},
        )
        for updated_us, created_us, *row in rows:
            agent = _AGENTS.read(row)
            found.append(AgentChange(agent, updated_us == created_us))
            edge = {"since": updated_us, "id": agent.id}
        if len(rows) < page:
            return found


async def read_agents_by_id(connection: Connection, agent_ids: Iterable[int]) -> list[Agent]:
    """Return those of these agents that exist, active or not, in no given order."""
    rows = await connection.fetch_all(
        f"{_AGENT} WHERE id IN (:ids)", {"ids": IntList(sorted(agent_ids))}
    )
    return [_AGENTS.read(row) for row in rows]


AccessSums = tuple[int, int, int, int]


def sum_access(agents: Iterable[Agent]) -> AccessSums:
    """What `read_access_sums` must answer where nothing of what these agents may do was changed."""
    known = list(agents)
    return (
        len(known),
        sum(agent.is_active for agent in known),
        sum(agent.role == "admin" for agent in known),
        sum(agent.valid_after_us for agent in known),
    )


async def read_access_sums(connection: Connection, agent_ids: Iterable[int]) -> AccessSums:
    """One row for thousands of agents: a deleted row, or one that was changed by hand without its
    `updated_at`, shows in it.
    """
    row = await connection.fetch_one(
        "SELECT COUNT(*), SUM(is_active), SUM(CASE WHEN role = 'admin' THEN 1 ELSE 0 END), "
        "SUM(valid_after) FROM omni_agents WHERE id IN (:ids)",
        {"ids": IntList(sorted(agent_ids))},
    )
    count, active, admins, valid_after = (int(number or 0) for number in row or (0, 0, 0, 0))
    return count, active, admins, valid_after


async def get_or_create_agent(
    connection: Connection, company_id: int, subject: str, name: str, role: str, now_us: int
) -> Agent:
    """The agent of a valid token; one of the CRM's is added when seen for the first time.
    Raises Unauthenticated for one of our own that is not there."""
    known = await read_agent_by_subject(connection, company_id, subject)
    if known is not None:
        return known
    if is_local(subject):
        raise Unauthenticated("The token is not valid here")
    await connection.insert(
        "INSERT INTO omni_agents (company_id, subject, name, role, created_at, updated_at) "
        "VALUES (:company_id, :subject, :name, :role, :now, :now)",
        {"company_id": company_id, "subject": subject, "name": name, "role": role, "now": now_us},
    )
    added = await read_agent_by_subject(connection, company_id, subject)
    if added is None:
        raise AssertionError("unreachable: just inserted in this transaction")
    return added


async def add_agent(
    connection: Connection,
    company_id: int,
    email: str,
    name: str,
    role: str,
    password_hash: str | None,
    now_us: int,
) -> int:
    """Add an agent with a password. Returns its id. Raises DuplicateRow.

    Its subject has a name space of its own: the CRM numbers its users as it likes, and user 1 there
    is not agent 1 here.
    """
    if await connection.fetch_one(
        "SELECT id FROM omni_agents WHERE email = :email", {"email": email}
    ):
        raise DuplicateRow(Problem.of("person.email_taken", email=email))
    values = {
        "company_id": company_id,
        "email": email,
        "name": name,
        "role": role,
        "hash": password_hash,
        "now": now_us,
    }
    agent_id = await connection.insert(
        "INSERT INTO omni_agents (company_id, subject, email, name, role, password_hash, "
        "created_at, updated_at) "
        "VALUES (:company_id, :subject, :email, :name, :role, :hash, :now, :now)",
        values | {"subject": f"{LOCAL_SUBJECT}{uuid.uuid4().hex}"},
    )
    await connection.execute(
        "UPDATE omni_agents SET subject = :subject WHERE id = :id",
        {"subject": f"{LOCAL_SUBJECT}{agent_id}", "id": agent_id},
    )
    return agent_id


async def read_password(connection: Connection, email: str) -> tuple[int, str | None] | None:
    """(agent id, password hash) of an active agent. An address that the database takes for the
    same, as it ignores accents and what cannot be seen, is another one.
    """
    row = await connection.fetch_one(
        "SELECT id, password_hash, email FROM omni_agents WHERE email = :email AND is_active = "
        ":yes",
        {"email": email, "yes": True},
    )
    if row is None:
        return None
    agent_id, password_hash, stored = row
    is_same = stored.strip().lower() == email.strip().lower()
    return (agent_id, password_hash) if is_same else None


async def hold_password(connection: Connection, agent_id: int, password_hash: str) -> bool:
    """Lock the password of an active agent, and return whether it still is this one; no other
    transaction changes it before this one ends.
    """
    suffix = " FOR UPDATE" if connection.dialect == "mysql" else ""
    stored = await connection.fetch_value(
        f"SELECT password_hash FROM omni_agents WHERE id = :id AND is_active = :yes{suffix}",
        {"id": agent_id, "yes": True},
    )
    return stored is not None and bool(stored == password_hash)


async def update_password(
    connection: Connection, agent_id: int, password_hash: str, now_us: int
) -> None:
    """Store a new password hash."""
    await update_agent(connection, agent_id, {"password_hash": password_hash}, now_us)


async def update_access(
    connection: Connection, agent_id: int, *, is_active: bool, valid_after_us: int, now_us: int
) -> None:
    """Disable or enable an agent, or end everything issued before `valid_after_us`."""
    await update_agent(
        connection, agent_id, {"is_active": is_active, "valid_after": valid_after_us}, now_us
    )


async def update_agent(
    connection: Connection, agent_id: int, values: dict[str, Any], now_us: int
) -> None:
    """Set columns; every process notices within seconds. The names come from our own code."""
    if "role" in values:
        values = values | {"is_role_ours": True}
    assignments = ", ".join(f"{name} = :{name}" for name in values)
    changed = values | {"now": await after_all_changes(connection, now_us), "id": agent_id}
    await connection.execute(
        f"UPDATE omni_agents SET {assignments}, updated_at = :now WHERE id = :id", changed
    )


async def heal_valid_after(connection: Connection, now_us: int) -> int:
    """Nothing was ended later than now, by the database's clock. Returns how many agents' rows said
    so.
    """
    rows = await connection.fetch_all(
        "SELECT id FROM omni_agents WHERE valid_after > :now LIMIT 1000", {"now": now_us}
    )
    for (agent_id,) in rows:
        await update_agent(connection, agent_id, {"valid_after": now_us}, now_us)
    return len(rows)


async def read_agent_by_email(connection: Connection, email: str) -> Agent | None:
    """Return the agent with this e-mail address, in whatever company; None if there is none."""
    return _AGENTS.read_or_none(
        await connection.fetch_one(f"{_AGENT} WHERE email = :email", {"email": email})
    )
