"""Integrations as their administrators see and change them; secrets leave the database only inside
`Integration`.
"""

from typing import Any

import msgspec

from server.core.times import wall_now_us
from server.db.access.integration_record import (
    INTEGRATION_COLUMNS,
    Integration,
    integration_of,
)
from server.db.access.vault import Vault
from server.db.engine.database import Connection
from server.db.schema import columns, crm_keys
from server.db.schema.names import column
from server.errors import DuplicateRow
from server.problems import Problem

_SECRETS = ("access_token", "webhook_secret", "previous_webhook_secret", "webhook_key")
_SELECT = f"SELECT {INTEGRATION_COLUMNS}, webhook_mode, omni_reconciled_at FROM integrations "
_MAX_INTEGRATIONS = 500
# what a deleted one keeps is its place, so that its conversations are there again when it is
# connected again
DELETED: dict[str, Any] = {
    **dict.fromkeys(
        (
            "access_token",
            "webhook_secret",
            "previous_webhook_secret",
            "webhook_key",
            "proved_at",
            "walk_problem",
        )
    ),
    "chatwoot_problem": None,
    "is_active": False,
    "is_webhook_active": False,
}


class Overview(msgspec.Struct, frozen=True):
    """An integration with what its administrators want to know; times in microseconds."""

    integration: Integration
    webhook_mode: str
    reconciled_us: int | None

    @property
    def webhook_seen_us(self) -> int | None:
        """When the newest verified webhook came; None if none ever did."""
        return self.integration.seen_us or None

    @property
    def repaired_count(self) -> int:
        """How many changes reconcile has found that no webhook had brought."""
        return self.integration.repaired_count


async def read_overviews(
    connection: Connection, vault: Vault, company_id: int | None = None
) -> list[Overview]:
    """The Chatwoot integrations of a company; of all companies for those who run the server."""
    condition, values = (
        ("", {})
        if company_id is None
        else ("AND company_id = :company_id ", {"company_id": company_id})
    )
    rows = await connection.fetch_all(
        f"{_SELECT} WHERE provider = 'chatwoot' AND omni_deleted_at IS NULL {condition}ORDER BY "
        "id LIMIT :limit",
        values | {"limit": _MAX_INTEGRATIONS},
    )
    return [_overview(row, vault) for row in rows]


async def read_overview(
    connection: Connection, vault: Vault, integration_id: int, company_id: int | None
) -> Overview | None:
    """One of them; None for another company's, and for one that was deleted."""
    row = await connection.fetch_one(
        f"{_SELECT} WHERE provider = 'chatwoot' AND omni_deleted_at IS NULL AND id = :id",
        {"id": integration_id},
    )
    if row is None:
        return None
    _, owner, *_ = row
    return _overview(row, vault) if company_id in (None, owner) else None


async def write_integration(
    connection: Connection, vault: Vault, integration_id: int, values: dict[str, Any]
) -> None:
    """Set columns, with secrets sealed. The names come from our own code."""
    sealed = {
        name: vault.seal(value) if name in _SECRETS else value for name, value in values.items()
    }
    sealed = connection.crm.fitted("integrations", sealed)
    sealed["updated_at"] = columns.time_to_column(wall_now_us())
    assignments = ", ".join(f"{column('integrations', name)} = :{name}" for name in sealed)
    await connection.execute(
        f"UPDATE integrations SET {assignments} WHERE id = :id", sealed | {"id": integration_id}
    )


async def check_free(connection: Connection, own: Integration, page_id: str) -> None:
    """Raises DuplicateRow when the company has this inbox as another integration."""
    number = await connection.fetch_value(
        "SELECT id FROM integrations WHERE provider = 'chatwoot' AND omni_deleted_at IS NULL AND "
        "company_id = :company_id AND id <> :id "
        "AND base_url = :base_url AND account_id = :account_id AND page_id = :page_id",
        {
            "company_id": own.company_id,
            "id": own.id,
            "base_url": own.base_url,
            "account_id": str(own.account_id),
            "page_id": page_id,
        },
    )
    if number is not None:
        raise DuplicateRow(
            f"Integration {number} is this Chatwoot inbox already; nothing was changed"
        )


async def read_known_conversation(
    connection: Connection, integration_id: int
) -> tuple[int, int] | None:
    """Chatwoot's numbers of a conversation of the integration and of its contact: the newest whose
    contact is known.
    """
    rows = await connection.fetch_all(
        "SELECT omni_chatwoot_conversation_id, omni_contact FROM social_conversations WHERE "
        "omni_integration_id = :id AND omni_contact IS NOT NULL "
        "ORDER BY omni_chatwoot_conversation_id DESC LIMIT 10",
        {"id": integration_id},
    )
    return next(
        (
            (display_id, contact_id)
            for display_id, contact in rows
            if display_id and (contact_id := columns.contact_number(contact)) is not None
        ),
        None,
    )


async def count_conversations(connection: Connection, integration_id: int) -> int:
    """Count the stored conversations of an integration."""
    number = await connection.fetch_value(
        "SELECT COUNT(*) FROM social_conversations WHERE omni_integration_id = :id",
        {"id": integration_id},
    )
    return int(number or 0)


async def claim_watch(
    connection: Connection, integration_id: int, now_us: int, every_us: int
) -> bool:
    """Whether this process is to check the integration now: no process has within `every_us`. A
    moment in the future was written by a wrong clock.
    """
    found = await connection.execute(
        "UPDATE integrations SET omni_watched_at = :now WHERE id = :id AND (omni_watched_at IS "
        "NULL OR omni_watched_at <= :before OR omni_watched_at > :now)",
        {"id": integration_id, "now": now_us, "before": now_us - every_us},
    )
    return found > 0


async def lock_same_inbox(
    connection: Connection, integration: Integration
) -> list[tuple[int, int, int]]:
    """Return (id, company, when proved) of every integration with the same inbox at the same
    address, locked, so that none of them is proved meanwhile.
    """
    suffix = " FOR UPDATE" if connection.dialect == "mysql" else ""
    rows = await connection.fetch_all(
        "SELECT id, company_id, omni_proved_at, base_url, page_id FROM integrations "
        "WHERE provider = 'chatwoot' "
        f"AND account_id = :account_id ORDER BY id{suffix}",
        {"account_id": str(integration.account_id)},
    )
    inbox = None if integration.inbox_id is None else str(integration.inbox_id)
    return [
        (number, company_id, proved_us or 0)
        for number, company_id, proved_us, base_url, page_id in rows
        if ((base_url or "").rstrip("/"), page_id or None) == (integration.base_url, inbox)
    ]


async def end_previous_secrets(connection: Connection, until_us: int) -> int:
    """Give an end to previous secrets that have none (an older version kept them for ever). Returns
    how many.
    """
    return await connection.execute(
        "UPDATE integrations SET omni_previous_secret_until = :until "
        "WHERE omni_previous_webhook_secret IS NOT NULL AND omni_previous_secret_until IS NULL",
        {"until": until_us},
    )


async def reseal(connection: Connection, vault: Vault) -> int:
    """Encrypt what is in the clear or sealed with an older key. Returns how many values; those
    nobody can open are left alone.

    Only Chatwoot's rows: tokens of other providers are the CRM's, which reads them as they are.
    """
    rows = await connection.fetch_all(
        "SELECT id, access_token, omni_webhook_secret, omni_previous_webhook_secret, "
        "omni_webhook_key "
        "FROM integrations WHERE provider = 'chatwoot' ORDER BY id"
    )
    held = await _held_still(connection)
    count = 0
    for integration_id, *stored in rows:
        for name, value in zip(_SECRETS, stored, strict=True):
            if not vault.is_current(value) and (opened := vault.try_open(value)) is not None:
                stored_in = column("integrations", name)
                # only while it is what was read: another process may just have stored a new one
                count += await connection.execute(
                    f"UPDATE integrations SET {stored_in} = :sealed{held} WHERE id = :id AND "
                    f"{stored_in} = :stored",
                    {"sealed": vault.seal(opened), "id": integration_id, "stored": value},
                )
    return count


async def _held_still(connection: Connection) -> str:
    """Assignments that keep columns declared ON UPDATE CURRENT_TIMESTAMP: an encryption is no
    change of the CRM's.
    """
    if connection.dialect == "sqlite":
        return ""
    rows = await connection.fetch_all(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() "
        "AND table_name = 'integrations' AND LOCATE('on update', LOWER(extra)) > 0 ORDER BY "
        "column_name"
    )
    return "".join(f", `{name}` = `{name}`" for (name,) in rows)


def _overview(row: Any, vault: Vault) -> Overview:
    *_, mode, reconciled_us = row
    return Overview(integration_of(row, vault), mode or "live", reconciled_us)


async def read_integrations(connection: Connection, vault: Vault) -> list[Integration]:
    """All Chatwoot integrations, of every company: the directory of each process."""
    rows = await connection.fetch_all(
        f"SELECT {INTEGRATION_COLUMNS} FROM integrations "
        "WHERE provider = 'chatwoot' AND omni_deleted_at IS NULL ORDER BY id"
    )
    return [integration_of(row, vault) for row in rows]


async def add_integration(
    connection: Connection, vault: Vault, values: dict[str, Any], now_us: int
) -> int:
    """Insert an integration, and return its id.

    `values`: company_id, account_id, inbox_id, base_url, access_token, webhook_secret, and where
    they are known `proved_us`, `unsigned`, `webhook_key`.

    Raises DuplicateRow: the same inbox twice would show every conversation twice. Other companies'
    rows are not looked at: whose the inbox is shows when its Chatwoot is asked, and a refusal here
    would tell a stranger who is a customer.
    """
    deleted = await _remove_deleted(connection, values)
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
            **_place(values),
            "id": deleted,
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
    return number if deleted is None else deleted


def _place(values: dict[str, Any]) -> dict[str, Any]:
    return {
        "base_url": values["base_url"],
        "account_id": str(values["account_id"]),
        "page_id": str(values["inbox_id"]),
        "company_id": values["company_id"],
    }


async def _remove_deleted(connection: Connection, values: dict[str, Any]) -> int | None:
    """Delete the row of the company's deleted integration of this inbox, and return its number,
    under which it comes again; None if there is none. Raises DuplicateRow for one in use.
    """
    row = await connection.fetch_one(
        "SELECT id, omni_deleted_at FROM integrations WHERE provider = 'chatwoot' AND base_url = "
        ":base_url AND account_id = :account_id "
        "AND page_id = :page_id AND company_id = :company_id",
        _place(values),
    )
    if row is None:
        return None
    number, deleted_at = row
    if deleted_at is None:
        raise DuplicateRow(Problem.of("integration.already_there", id=number))
    await connection.execute("DELETE FROM integrations WHERE id = :id", {"id": number})
    return int(number)


async def update_integration(
    connection: Connection, integration_id: int, values: dict[str, Any]
) -> None:
    """Set some columns of one integration; the names come from our own code."""
    assignments = ", ".join(f"{column('integrations', name)} = :{name}" for name in values)
    await connection.execute(
        f"UPDATE integrations SET {assignments} WHERE id = :id", values | {"id": integration_id}
    )
