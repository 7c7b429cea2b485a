"""The audit log: who administered what, and who reached for what is another company's. Written with
the act, in its transaction.
"""

from typing import Any

import msgspec

from server.core.times import wall_now_us
from server.db.engine.database import Connection, Row
from server.db.engine.driver_adapters import IntList

_MAX_TEXT_CHARACTERS = 255
_MAX_ADDRESS_CHARACTERS = 64
SIGN_IN, SIGN_IN_FAILED = "sign-in", "sign-in.failed"
FOREIGN_REFUSED = "foreign.refused"
_COLUMNS = "id, at, agent_id, actor, act, target, detail, address, client"
COMMAND = "command on the server"  # the actor of what is done by command

# whose something is, by the word and the number that stand for it in an address
_OF_A_MESSAGE = (
    "SELECT c.company_id FROM social_messages m JOIN social_conversations c ON c.id = "
    "m.conversation_id WHERE m.id = :id"
)
OWNERS = {
    "conversations": "SELECT company_id FROM social_conversations WHERE id = :id",
    "c": "SELECT company_id FROM social_conversations WHERE id = :id",
    "messages": _OF_A_MESSAGE,
    "attachments": _OF_A_MESSAGE,
    "integrations": "SELECT company_id FROM integrations WHERE id = :id",
    "own-tokens": "SELECT company_id FROM integrations WHERE id = :id",
    "people": "SELECT company_id FROM omni_agents WHERE id = :id",
    "canned-replies": "SELECT company_id FROM omni_canned_replies WHERE id = :id",
    "deliveries": (
        "SELECT i.company_id FROM omni_webhook_deliveries d JOIN integrations i ON i.id = "
        "d.integration_id WHERE d.id = :id"
    ),
}


class Origin(msgspec.Struct, frozen=True):
    """Where a request came from: the client's IP address, and its own name (User-Agent)."""

    address: str = ""
    client: str = ""


NO_ORIGIN = Origin()


class Actor(msgspec.Struct, frozen=True):
    """Who acts, in whose company, and from which address; only acts over the network have an
    origin.
    """

    company_id: int
    name: str
    agent_id: int | None
    origin: Origin


def server_actor(company_id: int, name: str = COMMAND) -> Actor:
    """A command on the server, or the server itself."""
    return Actor(company_id, name, None, NO_ORIGIN)


class Act(msgspec.Struct, frozen=True, rename="camel"):
    """One line of the log; `at_us` in microseconds."""

    id: int
    at_us: int
    agent_id: int | None
    actor: str
    act: str
    target: str | None
    detail: dict[str, Any] | None
    address: str | None = None
    client: str | None = None


async def append_act(
    connection: Connection, actor: Actor, act: str, target: str | None = None, **detail: Any
) -> None:
    """Write into the audit log, in the same transaction as the act, who did what to which
    target.
    """
    await connection.execute(
        "INSERT INTO omni_audit_log (company_id, at, agent_id, actor, act, target, detail, "
        "address, client) "
        "VALUES (:company_id, :at, :agent_id, :actor, :act, :target, :detail, :address, :client)",
        {
            "company_id": actor.company_id,
            "at": wall_now_us(),
            "agent_id": actor.agent_id,
            "actor": actor.name[:_MAX_TEXT_CHARACTERS],
            "act": act,
            "target": None if target is None else target[:_MAX_TEXT_CHARACTERS],
            "detail": msgspec.json.encode(detail).decode() if detail else None,
            "address": actor.origin.address[:_MAX_ADDRESS_CHARACTERS] or None,
            "client": actor.origin.client[:_MAX_TEXT_CHARACTERS] or None,
        },
    )


async def list_acts(
    connection: Connection, company_id: int, before: int | None, limit: int
) -> list[Act]:
    """Newest first; `before` is the id of the line above the page."""
    condition = "" if before is None else "AND id < :before "
    rows = await connection.fetch_all(
        f"SELECT {_COLUMNS} FROM omni_audit_log WHERE company_id = :company_id "
        f"{condition}ORDER BY id DESC LIMIT :limit",
        {"company_id": company_id, "limit": limit} | ({} if before is None else {"before": before}),
    )
    return [_act(row) for row in rows]


async def count_acts(connection: Connection, agent_id: int, act: str, since_us: int) -> int:
    """How many lines about an agent have this act since the moment."""
    number = await connection.fetch_value(
        "SELECT COUNT(*) FROM omni_audit_log WHERE agent_id = :id AND act = :act AND at > :since",
        {"id": agent_id, "act": act, "since": since_us},
    )
    return int(number or 0)


async def count_failures(connection: Connection, agent_id: int) -> int:
    """How many sign-ins as this agent have failed since the last one that did not."""
    signed_in_us = await connection.fetch_value(
        "SELECT MAX(at) FROM omni_audit_log WHERE agent_id = :id AND act = :act",
        {"id": agent_id, "act": SIGN_IN},
    )
    return await count_acts(connection, agent_id, SIGN_IN_FAILED, signed_in_us or 0)


async def count_failures_before(connection: Connection, agent_id: int) -> int:
    """How many had failed, since the one before, when the last good sign-in came, and since."""
    moments = await connection.fetch_column(
        "SELECT at FROM omni_audit_log WHERE agent_id = :id AND act = :act ORDER BY at DESC "
        "LIMIT 2",
        {"id": agent_id, "act": SIGN_IN},
    )
    before_us = moments[1] if len(moments) == 2 else 0
    return await count_acts(connection, agent_id, SIGN_IN_FAILED, before_us)


async def trim_acts(connection: Connection, before_us: int, limit: int) -> int:
    """Delete lines that are older than the moment. Returns how many."""
    numbers = await connection.fetch_column(
        "SELECT id FROM omni_audit_log WHERE at < :before ORDER BY at LIMIT :limit",
        {"before": before_us, "limit": limit},
    )
    if numbers:
        await connection.execute(
            "DELETE FROM omni_audit_log WHERE id IN (:ids)", {"ids": IntList(numbers)}
        )
    return len(numbers)


def _act(row: Row) -> Act:
    number, at_us, agent_id, actor, act, target, detail, address, client = row
    details = msgspec.json.decode(detail) if detail else None
    return Act(number, at_us, agent_id, actor, act, target, details, address, client)


async def read_owner(connection: Connection, kind: str, number: int) -> int | None:
    """The company of a thing named in `OWNERS`; None when there is no such thing."""
    found = await connection.fetch_value(OWNERS[kind], {"id": number})
    return None if found is None else int(found)


async def has_foreign_attempt(
    connection: Connection, agent_id: int, kind: str, number: int, since_us: int
) -> bool:
    """Whether the log has a line since the moment of this agent's attempt at this thing, whichever
    process wrote it.
    """
    row = await connection.fetch_one(
        "SELECT 1 FROM omni_audit_log WHERE agent_id = :id AND act = :act AND at > :since AND "
        "target LIKE :target LIMIT 1",
        {"id": agent_id, "act": FOREIGN_REFUSED, "since": since_us, "target": f"% {kind} {number}"},
    )
    return row is not None
