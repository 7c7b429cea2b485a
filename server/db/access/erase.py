"""Remove an integration with everything that came through it: for simulated ones, whose numbers
begin anew with each run.
"""

from server.db.engine.database import Connection
from server.db.schema import columns
from server.db.state import contacts


async def erase_integration(connection: Connection, integration_id: int) -> None:
    """Delete an integration with its deliveries and its conversations and all their rows; clients
    of its company take a snapshot again.
    """
    company_id = await connection.fetch_value(
        "SELECT company_id FROM integrations WHERE id = :id", {"id": integration_id}
    )
    if company_id is None:
        return
    conversations = await connection.fetch_column(
        "SELECT id FROM social_conversations WHERE omni_integration_id = :id",
        {"id": integration_id},
    )
    await contacts.erase_conversations(connection, company_id, conversations)
    for table in (
        "omni_own_tokens",
        "omni_sync_runs",
        "omni_sync_leases",
        "omni_found_by_asking",
        "omni_webhook_deliveries",
    ):
        await connection.execute(
            f"DELETE FROM {table} WHERE integration_id = :id", {"id": integration_id}
        )
    await connection.execute("DELETE FROM integrations WHERE id = :id", {"id": integration_id})


async def erase_companies(connection: Connection, first: int, last: int, limit: int) -> int:
    """Everything of companies that were made up for a load run, at most `limit` rows at a time;
    call again until it returns 0.
    """
    within: dict[str, object] = {"first": first, "last": last}
    for table, key, condition in _OF_COMPANIES:
        values = await connection.fetch_column(
            f"SELECT {key} FROM {table} WHERE {condition} LIMIT :limit", within | {"limit": limit}
        )
        if values:  # what others refer to goes only when they have gone
            found = {f"k{n}": value for n, value in enumerate(set(values))}
            names = ", ".join(f":{name}" for name in found)
            return await connection.execute(
                f"DELETE FROM {table} WHERE {condition} AND {key} IN ({names})", within | found
            )
    return await _erase_events(connection, within | {"limit": limit})


async def _erase_events(connection: Connection, keys: dict[str, object]) -> int:
    """Their key is company and number together."""
    rows = await connection.fetch_all(
        "SELECT company_id, seq FROM omni_inbox_events WHERE company_id BETWEEN :first AND :last "
        "ORDER BY company_id, seq LIMIT :limit",
        keys,
    )
    numbers: dict[int, list[int]] = {}
    for company_id, seq in rows:
        numbers.setdefault(company_id, []).append(seq)
    for company_id, seqs in numbers.items():
        await connection.execute(
            "DELETE FROM omni_inbox_events WHERE company_id = :company_id AND seq IN "
            f"({columns.ids(seqs)})",
            {"company_id": company_id},
        )
    return len(rows)


_RANGE = "company_id BETWEEN :first AND :last"
_CONVERSATIONS = f"conversation_id IN (SELECT id FROM social_conversations WHERE {_RANGE})"
_MESSAGES = (
    "message_id IN (SELECT m.id FROM social_messages m JOIN social_conversations c ON c.id = "
    f"m.conversation_id WHERE c.{_RANGE})"
)
_INTEGRATIONS = f"integration_id IN (SELECT id FROM integrations WHERE {_RANGE})"
_AGENTS = f"agent_id IN (SELECT id FROM omni_agents WHERE {_RANGE})"
_NOBODYS = "(company_id IS NULL AND conversation_id NOT IN (SELECT id FROM social_conversations))"
_OF_COMPANIES = (
    (
        "omni_outgoing_pieces",
        "upload",
        f"upload IN (SELECT upload FROM omni_outgoing_files WHERE {_MESSAGES})",
    ),
    ("omni_outgoing_files", "message_id", _MESSAGES),
    ("omni_conversation_reads", "conversation_id", _CONVERSATIONS),
    ("social_messages", "id", _CONVERSATIONS),
    ("social_conversations", "id", _RANGE),
    ("omni_crm_changes", "id", f"({_RANGE} OR {_NOBODYS})"),
    ("omni_webhook_deliveries", "id", _INTEGRATIONS),
    ("omni_sync_runs", "integration_id", _INTEGRATIONS),
    ("omni_sync_leases", "integration_id", _INTEGRATIONS),
    ("omni_found_by_asking", "id", _INTEGRATIONS),
    ("omni_own_tokens", "agent_id", _RANGE),
    ("integrations", "id", _RANGE),
    ("omni_chatwoot_sockets", "id", _RANGE),
    ("omni_agent_sessions", "agent_id", _AGENTS),
    ("omni_second_factors", "agent_id", _AGENTS),
    ("omni_recovery_codes", "agent_id", _AGENTS),
    ("omni_sign_in_tickets", "agent_id", _AGENTS),
    ("omni_company_policies", "company_id", _RANGE),
    ("omni_agents", "id", _RANGE),
    ("omni_canned_replies", "id", _RANGE),
    ("omni_invitations", "token_hash", _RANGE),
    ("omni_audit_log", "id", _RANGE),
    ("omni_event_reach", "id", _RANGE),
    ("omni_inbox_streams", "company_id", _RANGE),
)
