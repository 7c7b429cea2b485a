"""The audit log: who administered what, and who reached for what is another company's. Written with the act, in its transaction."""

import time
from typing import Any

import msgspec

from server.core.times import SECOND
from server.db.database import Connection

_TEXT_MOST = 255
COMMAND = "command on the server"  # the actor of what is done by command

# whose something is, by the word and the number that stand for it in an address
_OF_A_MESSAGE = "SELECT c.company_id FROM social_messages m JOIN social_conversations c ON c.id = m.conversation_id WHERE m.id = :id"
OWNERS = {
    "conversations": "SELECT company_id FROM social_conversations WHERE id = :id",
    "c": "SELECT company_id FROM social_conversations WHERE id = :id",
    "messages": _OF_A_MESSAGE,
    "attachments": _OF_A_MESSAGE,
    "integrations": "SELECT company_id FROM integrations WHERE id = :id",
    "people": "SELECT company_id FROM agents WHERE id = :id",
    "canned-replies": "SELECT company_id FROM canned_replies WHERE id = :id",
    "deliveries": "SELECT i.company_id FROM webhook_deliveries d JOIN integrations i ON i.id = d.integration_id WHERE d.id = :id",
}


class Actor(msgspec.Struct, frozen=True):
    """Who acts, in whose company. `agent_id` is None for a command on the server."""

    company_id: int
    name: str
    agent_id: int | None = None


class Act(msgspec.Struct, frozen=True, rename="camel"):
    """One line of the log; `at_us` in microseconds."""

    id: int
    at_us: int
    agent_id: int | None
    actor: str
    act: str
    target: str | None
    detail: dict[str, Any] | None


async def append_act(connection: Connection, actor: Actor, act: str, target: str | None = None, **detail: Any) -> None:
    await connection.execute(
        "INSERT INTO audit_log (company_id, at, agent_id, actor, act, target, detail) "
        "VALUES (:company_id, :at, :agent_id, :actor, :act, :target, :detail)",
        {
            "company_id": actor.company_id,
            "at": int(time.time() * SECOND),
            "agent_id": actor.agent_id,
            "actor": actor.name[:_TEXT_MOST],
            "act": act,
            "target": None if target is None else target[:_TEXT_MOST],
            "detail": msgspec.json.encode(detail).decode() if detail else None,
        },
    )


async def list_acts(connection: Connection, company_id: int, before: int | None, limit: int) -> list[Act]:
    """Newest first; `before` is the id of the line above the page."""
    condition = "" if before is None else "AND id < :before "
    rows = await connection.fetch_all(
        "SELECT id, at, agent_id, actor, act, target, detail FROM audit_log WHERE company_id = :company_id "
        f"{condition}ORDER BY id DESC LIMIT :limit",
        {"company_id": company_id, "limit": limit} | ({} if before is None else {"before": before}),
    )
    return [Act(row[0], row[1], row[2], row[3], row[4], row[5], msgspec.json.decode(row[6]) if row[6] else None) for row in rows]


async def read_owner(connection: Connection, kind: str, number: int) -> int | None:
    """The company of a thing named in `OWNERS`; None when there is no such thing."""
    row = await connection.fetch_one(OWNERS[kind], {"id": number})
    return int(row[0]) if row else None
