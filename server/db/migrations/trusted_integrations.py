"""Integrations from before a delivery had to prove whose it is: which of them are trusted for the
time being.
"""

from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, Row, text

from server.db.access.integration_record import GRANDFATHERED
from server.db.migrations import backfill


def trust_older(connection: Connection) -> list[str]:
    """Trust integrations that have received webhooks, and those whose numbers no other company has;
    a claim on another's numbers stays one.

    Of the trusted ones, those without a secret go on taking unsigned webhooks at the plain address.
    Returns sentences.
    """
    trusted = _read_trusted(connection)
    keep = backfill.keep_of(connection, "integrations")  # no change of the CRM's
    for row in trusted:
        connection.execute(
            text(
                "UPDATE integrations SET omni_proved_at = :at, omni_unsigned_webhooks = "
                f":unsigned{keep} WHERE id = :id"
            ),
            {
                "at": GRANDFATHERED,
                "unsigned": "refused" if row.omni_webhook_secret else "accepted",
                "id": row.id,
            },
        )
    if not trusted:
        return []
    return [
        f"{len(trusted)} integrations go on receiving webhooks; Chatwoot is asked about them once "
        "the server runs"
    ]


def _read_trusted(connection: Connection) -> list[Row[Any]]:
    rows = connection.execute(
        text(
            "SELECT id, company_id, account_id, page_id, omni_webhook_seen_at, "
            "omni_webhook_secret, omni_proved_at FROM integrations "
            "WHERE provider = 'chatwoot' ORDER BY id"
        )
    ).all()
    owners: dict[tuple[Any, Any], set[Any]] = defaultdict(set)
    for row in rows:
        owners[row.account_id, row.page_id].add(row.company_id)
    return [
        row
        for row in rows
        if not row.omni_proved_at
        and (row.omni_webhook_seen_at or len(owners[row.account_id, row.page_id]) == 1)
    ]
