"""Directories in memory, and deliveries that are routed by them."""

from typing import Any

from server.core.chatwoot.signatures import sign
from server.db.access.integration_record import Integration
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.integrations.directory import (
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    Directory,
)

BODY = b'{"event": "message_created"}'


NOW = 1_784_365_265


NOW_US = NOW * 1_000_000


def make_integration(
    number: int, company_id: int, secret: str | None = None, **fields: Any
) -> Integration:
    """Proved, the one with the smaller number first; without a secret unsigned webhooks are
    accepted.
    """
    given: dict[str, Any] = {
        "account_id": 1,
        "inbox_id": 12,
        "is_active": True,
        "is_webhook_active": True,
        "previous_webhook_secret": None,
    }
    given |= {
        "unsigned": "refused" if secret else "accepted",
        "proved_us": NOW_US + number,
        "base_url": "",
    }
    return Integration(
        id=number, company_id=company_id, access_token="", webhook_secret=secret, **given | fields
    )


def make_directory(*integrations: Integration, is_required: bool = False) -> Directory:
    directory = Directory(
        Database("sqlite:////tmp/unused.db"),
        Vault(""),
        tolerance_seconds=300,
        require_signature=is_required,
    )
    directory.replace_all(integrations)
    return directory


def signed_headers(secret: str | None, body: bytes = BODY, sent: int = NOW) -> dict[str, str]:
    return (
        {}
        if secret is None
        else {SIGNATURE_HEADER: sign(secret, str(sent), body), TIMESTAMP_HEADER: str(sent)}
    )


def route(
    directory: Directory,
    headers: dict[str, str],
    account_id: int | None = 1,
    inbox_id: int | None = 12,
    body: bytes = BODY,
) -> Integration:
    verified_id = directory.verify(account_id, inbox_id, headers, body, NOW_US)
    return directory.find(account_id, inbox_id, verified_id, is_signed=SIGNATURE_HEADER in headers)


SECRET, OTHER = "secret-a", "secret-b"
