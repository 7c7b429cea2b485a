"""Agents' own access tokens of Chatwoot: one of each agent for each integration, sealed."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from server.db.access.integration_record import Integration
from server.db.access.vault import Vault
from server.db.engine.database import Connection
from server.db.engine.driver_adapters import IntList
from server.db.engine.row_mapper import RowMapper
from server.problems import Problem, Text, decode, encode

_MAX_ROWS = 5_000
_MAX_TEXT_CHARACTERS = 255


class OwnToken(msgspec.Struct, frozen=True):
    """An agent's token and whose it is in Chatwoot; times in microseconds. `access_token` is in the
    clear, never to be logged or shown; empty where it cannot be opened.
    """

    agent_id: int
    integration_id: int
    company_id: int
    base_url: str
    account_id: int
    user_id: int
    name: str
    email: str | None
    connected_us: int
    checked_us: int
    refused_us: int | None = None
    refusal: Text | None = None
    access_token: str = ""

    def problem_at(self, integration: Integration) -> Text | None:
        """Why it cannot be sent to the integration's Chatwoot: it goes to the address and account
        that it was given for, and to no other. The same address may go over to TLS.
        """
        addresses = (self.base_url, self.base_url.replace("http://", "https://", 1))
        place = (self.company_id, self.account_id)
        if place != (integration.company_id, integration.account_id) or (
            integration.base_url not in addresses
        ):
            return Problem.of("own_token.moved")
        return None if self.access_token else Problem.of("own_token.unreadable")


_ROWS = RowMapper(
    OwnToken,
    {
        "agent_id": "agent_id",
        "integration_id": "integration_id",
        "company_id": "company_id",
        "base_url": "base_url",
        "account_id": "account_id",
        "user_id": "user_id",
        "name": "name",
        "email": "email",
        "connected_us": "connected_at",
        "checked_us": "checked_at",
        "refused_us": "refused_at",
        "refusal": "refusal",
        "access_token": "access_token",
    },
    {"refusal": decode},
)
_SELECT = f"SELECT {_ROWS.text} FROM omni_own_tokens"


def _opened(row: Any, vault: Vault) -> OwnToken:
    sealed = _ROWS.read(row)
    return msgspec.structs.replace(sealed, access_token=vault.try_open(sealed.access_token) or "")


async def read_own_token(
    connection: Connection, vault: Vault, agent_id: int, integration_id: int
) -> OwnToken | None:
    """The agent's token for an integration."""
    row = await connection.fetch_one(
        f"{_SELECT} WHERE agent_id = :agent AND integration_id = :integration",
        {"agent": agent_id, "integration": integration_id},
    )
    return None if row is None else _opened(row, vault)


async def read_own_tokens(connection: Connection, vault: Vault, agent_id: int) -> list[OwnToken]:
    """All tokens of an agent."""
    rows = await connection.fetch_all(
        f"{_SELECT} WHERE agent_id = :agent ORDER BY integration_id LIMIT :limit",
        {"agent": agent_id, "limit": _MAX_ROWS},
    )
    return [_opened(row, vault) for row in rows]


async def read_company_tokens(
    connection: Connection, vault: Vault, company_id: int
) -> list[OwnToken]:
    """All tokens of a company's agents."""
    rows = await connection.fetch_all(
        f"{_SELECT} WHERE company_id = :company ORDER BY agent_id, integration_id LIMIT :limit",
        {"company": company_id, "limit": _MAX_ROWS},
    )
    return [_opened(row, vault) for row in rows]


async def put_own_token(connection: Connection, vault: Vault, token: OwnToken) -> bool:
    """Keep a token that Chatwoot has accepted, in place of an earlier one. False where the agent or
    the integration has gone meanwhile.
    """
    await delete_own_tokens(connection, token.agent_id, [token.integration_id])
    kept = await connection.execute(
        "INSERT INTO omni_own_tokens (agent_id, integration_id, company_id, base_url, account_id, "
        "access_token, user_id, name, email, connected_at, checked_at) SELECT a.id, i.id, "
        ":company, :url, :account, :token, :user, :name, :email, :connected, :checked "
        "FROM integrations i JOIN omni_agents a ON a.company_id = i.company_id "
        "WHERE i.id = :integration AND i.omni_deleted_at IS NULL AND a.id = :agent AND "
        "a.is_active = :yes AND a.company_id = :company",
        {
            "agent": token.agent_id,
            "integration": token.integration_id,
            "company": token.company_id,
            "url": token.base_url,
            "account": token.account_id,
            "token": vault.seal(token.access_token),
            "user": token.user_id,
            "name": token.name[:_MAX_TEXT_CHARACTERS],
            "email": token.email[:_MAX_TEXT_CHARACTERS] if token.email else None,
            "connected": token.connected_us,
            "checked": token.checked_us,
            "yes": True,
        },
    )
    return kept == 1


async def mark_checked(connection: Connection, token: OwnToken, now_us: int) -> None:
    """Chatwoot accepts it, as its owner is called there now."""
    await connection.execute(
        "UPDATE omni_own_tokens SET checked_at = :now, refused_at = NULL, refusal = NULL, "
        "name = :name, email = :email WHERE agent_id = :agent AND integration_id = :integration "
        "AND connected_at = :connected",
        _of(token)
        | {
            "now": now_us,
            "name": token.name[:_MAX_TEXT_CHARACTERS],
            "email": token.email[:_MAX_TEXT_CHARACTERS] if token.email else None,
        },
    )


async def rename_owners(
    connection: Connection,
    integration_ids: Sequence[int],
    account: tuple[str, int | None],
    names: Mapping[int, str],
) -> None:
    """Call the owners of tokens as their Chatwoot calls them now. `account`: its address and
    number, as a token for another place has another owner. `names`: by their number there.
    """
    place = {"url": account[0], "account": account[1], "numbers": IntList(integration_ids)}
    for number, name in names.items():
        connection.pipeline(
            "UPDATE omni_own_tokens SET name = :name WHERE user_id = :user AND base_url = :url AND "
            "account_id = :account AND integration_id IN (:numbers)",
            {**place, "user": number, "name": name[:_MAX_TEXT_CHARACTERS]},
        )


async def mark_refused(connection: Connection, token: OwnToken, why: Text, now_us: int) -> None:
    """Chatwoot refuses it; since when it does stays. One that was connected anew is not concerned:
    it was another token that was refused.
    """
    await connection.execute(
        "UPDATE omni_own_tokens SET refused_at = COALESCE(refused_at, :now), refusal = :why "
        "WHERE agent_id = :agent AND integration_id = :integration AND connected_at = :connected",
        _of(token) | {"now": now_us, "why": encode(why, 1_000)},
    )


def _of(token: OwnToken) -> dict[str, Any]:
    return {
        "agent": token.agent_id,
        "integration": token.integration_id,
        "connected": token.connected_us,
    }


async def delete_own_tokens(
    connection: Connection, agent_id: int, integration_ids: Sequence[int] | None = None
) -> int:
    """Forget an agent's tokens for these integrations, or all of them. Returns how many."""
    if integration_ids is None:
        return await connection.execute(
            "DELETE FROM omni_own_tokens WHERE agent_id = :agent", {"agent": agent_id}
        )
    return await connection.execute(
        "DELETE FROM omni_own_tokens WHERE agent_id = :agent AND integration_id IN (:numbers)",
        {"agent": agent_id, "numbers": IntList(integration_ids)},
    )


async def delete_tokens_of(connection: Connection, integration_id: int) -> None:
    """Forget all agents' tokens for an integration."""
    await connection.execute(
        "DELETE FROM omni_own_tokens WHERE integration_id = :id", {"id": integration_id}
    )


async def count_badly_sealed(connection: Connection, vault: Vault) -> tuple[int, int]:
    """Count the tokens that are in the clear or sealed with an older key, and those that no key
    opens: for `doctor --security`.
    """
    stored = await connection.fetch_column(
        "SELECT access_token FROM omni_own_tokens ORDER BY agent_id, integration_id"
    )
    unreadable = sum(vault.try_open(one) is None for one in stored)
    return sum(not vault.is_current(one) for one in stored) - unreadable, unreadable


async def reseal(connection: Connection, vault: Vault) -> int:
    """Encrypt tokens that are in the clear or sealed with an older key. Returns how many; those
    nobody can open are left alone.
    """
    rows = await connection.fetch_all(
        "SELECT agent_id, integration_id, access_token FROM omni_own_tokens ORDER BY agent_id, "
        "integration_id"
    )
    count = 0
    for agent_id, integration_id, stored in rows:
        if not vault.is_current(stored) and (opened := vault.try_open(stored)) is not None:
            # only while it is what was read: its agent may just have connected another one
            count += await connection.execute(
                "UPDATE omni_own_tokens SET access_token = :sealed WHERE agent_id = :agent AND "
                "integration_id = :integration AND access_token = :stored",
                {
                    "sealed": vault.seal(opened),
                    "agent": agent_id,
                    "integration": integration_id,
                    "stored": stored,
                },
            )
    return count
