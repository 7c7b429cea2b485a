"""Agents and their sessions, integrations: who may read, and where deliveries belong."""

import uuid
from collections.abc import Iterable
from typing import Any

import msgspec

from server.core.identifiers import parse_digits
from server.core.subjects import LOCAL_SUBJECT, is_local
from server.core.times import wall_now_us
from server.db.access.audit_log import NO_ORIGIN, Origin
from server.db.access.vault import Vault
from server.db.engine.database import Connection, Row
from server.db.engine.sql_connection import IntList
from server.db.schema import columns, crm_keys
from server.db.schema.names import column
from server.errors import ConfigurationError, DuplicateRow, Unauthenticated


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


# `proved_us` of a row that is older than proofs: trusted until Chatwoot has been asked
GRANDFATHERED = 1
# the same, proved since: it stays before all that were proved later, whoever has the same numbers
FOUNDER = 2


class Integration(msgspec.Struct, frozen=True):
    """One Chatwoot inbox of a company; token, secrets and key in the clear, never to be logged."""

    id: int
    company_id: int
    account_id: int | None
    inbox_id: int | None
    base_url: str
    access_token: str
    is_active: bool
    is_webhook_active: bool
    webhook_secret: str | None
    previous_webhook_secret: str | None
    problem: str | None = None
    seen_us: int = 0  # when its webhooks came last, as all processes know it
    walked_us: int = 0  # when reconcile began its last round
    repaired_us: int = 0  # when the newest of what reconcile repaired had happened
    repaired_count: int = 0
    walk_problem: str | None = None  # why reconcile could not ask Chatwoot
    # when Chatwoot showed this inbox to the access token; 0: not yet, and nothing is received
    proved_us: int = 0
    # refused; keyed: with the key in the address; accepted: at the plain address, too
    unsigned: str = "refused"
    webhook_key: str | None = None
    previous_until_us: int = 0  # 0: no end was set yet
    is_socket_active: bool = True
    inbox_name: str | None = None  # as Chatwoot had it last
    chatwoot_problem: str | None = None  # what Chatwoot lacks or refuses, as it was seen last
    reissued_us: int = 0  # when Chatwoot last gave out a number again

    @property
    def is_proved(self) -> bool:
        return self.proved_us > 0

    @property
    def address_key(self) -> str | None:
        """What the webhook's address must hold."""
        return self.webhook_key if self.unsigned == "keyed" else None

    @property
    def has_secret(self) -> bool:
        """Whether webhooks must be signed, also when the only secret that is kept has ended."""
        return bool(self.webhook_secret or self.previous_webhook_secret)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Those that count now."""
        return self.secrets_at(wall_now_us())

    def secrets_at(self, received_us: int) -> tuple[str, ...]:
        """Those that count for what was received at that moment."""
        has_ended = 0 < self.previous_until_us < received_us
        found = (self.webhook_secret, None if has_ended else self.previous_webhook_secret)
        return tuple(secret for secret in found if secret)


_AGENT_COLUMNS = "id, company_id, subject, name, role, email, is_active, valid_after, is_role_ours"
_AGENT = f"SELECT {_AGENT_COLUMNS} FROM omni_agents "
_AGENT_CHANGE = f"SELECT {_AGENT_COLUMNS}, updated_at, created_at FROM omni_agents "
INTEGRATION_COLUMNS = (
    "id, company_id, account_id, page_id, base_url, access_token, is_active, is_webhook_active, "
    "omni_webhook_secret, omni_previous_webhook_secret, omni_webhook_seen_at, omni_walked_at, "
    "omni_repaired_at, omni_repaired_count, omni_walk_problem, omni_proved_at, "
    "omni_unsigned_webhooks, omni_webhook_key, omni_previous_secret_until, "
    "omni_is_socket_active, omni_inbox_name, omni_chatwoot_problem, omni_reissued_at"
)
_INTEGRATION = f"SELECT {INTEGRATION_COLUMNS} FROM integrations "


async def read_agent(connection: Connection, agent_id: int) -> Agent | None:
    return _agent(await connection.fetch_one(f"{_AGENT} WHERE id = :id", {"id": agent_id}))


async def read_agent_by_subject(
    connection: Connection, company_id: int, subject: str
) -> Agent | None:
    return _agent(
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
    return [agent for row in rows if (agent := _agent(row)) is not None]


async def read_newest_changes(connection: Connection) -> tuple[int, int]:
    """The newest moments at which an agent's row was changed and a session ended: from these on one
    has to look again.
    """
    row = await connection.fetch_one(
        "SELECT (SELECT MAX(updated_at) FROM omni_agents), (SELECT MAX(revoked_at) FROM "
        "omni_agent_sessions)"
    )
    return (row[0] or 0, row[1] or 0) if row else (0, 0)


async def _after_all(connection: Connection, now_us: int) -> int:
    """Now, but later than every change so far: whoever looks for what is new finds it, also when
    the clock of this machine, or of the one that wrote before, is wrong.
    """
    return max(now_us, *(newest + 1 for newest in await read_newest_changes(connection)))


class AgentChange(msgspec.Struct, frozen=True):
    """An agent as the row is now; `is_new`: it was only added, so nothing can have been taken
    away.
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
        found += [
            AgentChange(agent, row[9] == row[10])
            for row in rows
            if (agent := _agent(row)) is not None
        ]
        if len(rows) < page:
            return found
        edge = {"since": rows[-1][9], "id": rows[-1][0]}


async def read_agents_by_id(connection: Connection, agent_ids: Iterable[int]) -> list[Agent]:
    rows = await connection.fetch_all(
        f"{_AGENT} WHERE id IN (:ids)", {"ids": IntList(sorted(agent_ids))}
    )
    return [agent for row in rows if (agent := _agent(row)) is not None]


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
    return (
        (int(row[0]), int(row[1] or 0), int(row[2] or 0), int(row[3] or 0)) if row else (0, 0, 0, 0)
    )


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
        raise DuplicateRow(f"There is an agent with the address {email} already")
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
    return (row[0], row[1]) if row and row[2].strip().lower() == email.strip().lower() else None


async def hold_password(connection: Connection, agent_id: int, password_hash: str) -> bool:
    """Whether this still is the password of an active agent; nobody changes it before the
    transaction's end.
    """
    suffix = " FOR UPDATE" if connection.dialect == "mysql" else ""
    row = await connection.fetch_one(
        f"SELECT password_hash FROM omni_agents WHERE id = :id AND is_active = :yes{suffix}",
        {"id": agent_id, "yes": True},
    )
    return row is not None and row[0] == password_hash


async def update_password(
    connection: Connection, agent_id: int, password_hash: str, now_us: int
) -> None:
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
    changed = values | {"now": await _after_all(connection, now_us), "id": agent_id}
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
    return _agent(await connection.fetch_one(f"{_AGENT} WHERE email = :email", {"email": email}))


async def add_session(
    connection: Connection,
    token_hash: str,
    agent_id: int,
    now_us: int,
    expires_us: int,
    origin: Origin = NO_ORIGIN,
) -> None:
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


async def read_session(
    connection: Connection, token_hash: str
) -> tuple[int, int, int, int | None] | None:
    """(agent id, created, expires, revoked) in microseconds."""
    row = await connection.fetch_one(
        "SELECT agent_id, created_at, expires_at, revoked_at FROM omni_agent_sessions WHERE "
        "token_hash = :token_hash",
        {"token_hash": token_hash},
    )
    return (row[0], row[1], row[2], row[3]) if row else None


async def revoke_session(connection: Connection, token_hash: str, now_us: int) -> None:
    await connection.execute(
        "UPDATE omni_agent_sessions SET revoked_at = :now WHERE token_hash = :token_hash AND "
        "revoked_at IS NULL",
        {"now": await _after_all(connection, now_us), "token_hash": token_hash},
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
        found += [row[0] for row in rows]
        if len(rows) < page:
            return found
        edge = {"since": rows[-1][1], "key": rows[-1][0]}


async def read_integrations(connection: Connection, vault: Vault) -> list[Integration]:
    """All Chatwoot integrations, of every company: the directory of each process."""
    rows = await connection.fetch_all(
        f"{_INTEGRATION} WHERE provider = 'chatwoot' AND omni_deleted_at IS NULL ORDER BY id"
    )
    return [integration_of(row, vault) for row in rows]


async def add_integration(
    connection: Connection, vault: Vault, values: dict[str, Any], now_us: int
) -> int:
    """`values`: company_id, account_id, inbox_id, base_url, access_token, webhook_secret, and where
    they are known `proved_us`, `unsigned`, `webhook_key`. Returns the id.

    Raises DuplicateRow: the same inbox twice would show every conversation twice. Other companies'
    rows are not looked at: whose the inbox is shows when its Chatwoot is asked, and a refusal here
    would tell a stranger who is a customer.
    """
    row = await connection.fetch_one(
        "SELECT id, omni_deleted_at FROM integrations WHERE provider = 'chatwoot' AND base_url = "
        ":base_url AND account_id = :account_id "
        "AND page_id = :page_id AND company_id = :company_id",
        {
            "base_url": values["base_url"],
            "account_id": str(values["account_id"]),
            "page_id": str(values["inbox_id"]),
            "company_id": values["company_id"],
        },
    )
    if row is not None and row[1] is None:
        raise DuplicateRow(
            f"Integration {row[0]} is this Chatwoot inbox already; nothing was added"
        )
    if row is not None:
        # it comes again under its number
        await connection.execute("DELETE FROM integrations WHERE id = :id", {"id": row[0]})
    number = await crm_keys.insert_integration(
        connection,
        "INSERT INTO integrations (id, company_id, provider, page_id, access_token, account_id, "
        "base_url, is_active, is_webhook_active, "
        "webhook_mode, created_at, updated_at, omni_webhook_secret, omni_proved_at, "
        "omni_unsigned_webhooks, omni_webhook_key, omni_inbox_name) "
        "VALUES (:id, :company_id, 'chatwoot', :page_id, :access_token, :account_id, "
        ":base_url, :yes, :yes, :mode, :now, :now, :webhook_secret, :proved, :unsigned, :key, "
        ":name)",
        {
            "id": row[0] if row is not None else None,
            "company_id": values["company_id"],
            "page_id": str(values["inbox_id"]),
            "account_id": str(values["account_id"]),
            "base_url": values["base_url"],
            "access_token": vault.seal(values["access_token"]),
            "webhook_secret": vault.seal(values["webhook_secret"]),
            "mode": values.get("webhook_mode", "live"),
            "proved": values.get("proved_us"),
            "unsigned": values.get("unsigned", "refused"),
            "key": vault.seal(values.get("webhook_key")),
            "name": (values.get("inbox_name") or "")[:255] or None,
            "yes": True,
            "now": columns.time_to_column(now_us),
        },
    )
    return number if row is None else int(row[0])


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


async def update_integration(
    connection: Connection, integration_id: int, values: dict[str, Any]
) -> None:
    """Set some columns of one integration; the names come from our own code."""
    assignments = ", ".join(f"{column('integrations', name)} = :{name}" for name in values)
    await connection.execute(
        f"UPDATE integrations SET {assignments} WHERE id = :id", values | {"id": integration_id}
    )


def _agent(row: Row | None) -> Agent | None:
    return (
        Agent(row[0], row[1], row[2], row[3], row[4], row[5], bool(row[6]), row[7], bool(row[8]))
        if row
        else None
    )


def integration_of(row: Row, vault: Vault) -> Integration:
    """From a row that begins with `INTEGRATION_COLUMNS`; what cannot be opened becomes its
    `problem`.
    """
    problem = None
    try:
        token, secret, previous, key = (vault.open(row[place]) for place in (5, 8, 9, 17))
    except ConfigurationError as error:
        token = secret = previous = key = None
        problem = error.message
    return Integration(
        id=row[0],
        company_id=row[1],
        account_id=_number(row[2]),
        inbox_id=_number(row[3]),
        base_url=(row[4] or "").rstrip("/"),
        access_token=token or "",
        # older rows may hold no value: the column's default counts
        is_active=row[6] is None or bool(row[6]),
        is_webhook_active=row[7] is None or bool(row[7]),
        webhook_secret=secret,
        previous_webhook_secret=previous,
        problem=problem,
        seen_us=row[10] or 0,
        walked_us=row[11] or 0,
        repaired_us=row[12] or 0,
        repaired_count=row[13] or 0,
        walk_problem=row[14],
        proved_us=row[15] or 0,
        unsigned=row[16] or "refused",
        webhook_key=key,
        previous_until_us=row[18] or 0,
        is_socket_active=row[19] is None or bool(row[19]),
        inbox_name=row[20],
        chatwoot_problem=row[21],
        reissued_us=row[22] or 0,
    )


def _number(text: str | int | None) -> int | None:
    return None if text is None else parse_digits(str(text))
