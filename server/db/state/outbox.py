"""The outbox: replies that are to be sent to Chatwoot. A reply is a row of `social_messages` whose
`delivery_state` is `sending`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from server.core.state.entities import Message
from server.db.engine.driver_adapters import IntList
from server.db.engine.sql_connection import Connection
from server.db.schema import columns
from server.db.schema.columns import MESSAGES
from server.db.schema.crm_words import IS_CUSTOMER

_NOT_FULL = (
    " AND NOT EXISTS (SELECT 1 FROM social_conversations c WHERE c.id = m.conversation_id AND "
    "c.omni_integration_id IN (:full))"
)
_SKIP_LOCKED = {"sqlite": "", "mysql": " FOR UPDATE SKIP LOCKED"}


class Outgoing(msgspec.Struct, frozen=True):
    """A reply with where it goes."""

    message: Message
    company_id: int
    integration_id: int | None
    display_id: int | None


class Claim(msgspec.Struct, frozen=True):
    """Which replies may be claimed, and until when. Times in microseconds, by the database's
    clock.
    """

    now_us: int
    lease_us: int  # how long it runs
    # no lease and no due time is that far ahead of now: one that is was written by a wrong clock
    furthest_us: int
    limit: int
    # replies this process has under way, whatever any clock says of their leases
    at_work: Sequence[int] = ()
    full: Sequence[int] = ()  # integrations whose Chatwoot takes no more now
    addresses: Mapping[int, str] = {}  # of integrations
    # how many more may begin at each address; no bound where nothing is said
    rooms: Mapping[str, int] = {}


async def claim_replies(connection: Connection, claim: Claim) -> list[Outgoing]:
    """Claim replies that are due, the oldest of each conversation only, so that the customer gets
    them in order.

    The lease makes others leave them alone; until it ends nobody knows whether the attempt reached
    Chatwoot, and the row says so.
    """
    due = await _read_due(connection, claim)
    if not due:
        return []
    rows = await connection.fetch_all(
        f"SELECT {MESSAGES.select[connection.dialect]}, c.company_id, c.omni_integration_id, "
        "c.omni_chatwoot_conversation_id FROM social_messages m "
        "JOIN social_conversations c ON c.id = m.conversation_id WHERE m.id IN "
        f"({columns.ids(due)})"
    )
    order = {message_id: place for place, message_id in enumerate(due)}
    found = sorted(
        (Outgoing(MESSAGES.entity(row), *MESSAGES.rest(row)) for row in rows),
        key=lambda one: order[one.message.id],
    )
    claimed = _fitting(found, claim)
    await connection.execute(
        "UPDATE social_messages SET omni_delivery_attempts = omni_delivery_attempts + 1, "
        "omni_next_attempt_at = :until, omni_is_outcome_unknown = :yes "
        f"WHERE id IN ({columns.ids(one.message.id for one in claimed)})",
        {"until": claim.now_us + claim.lease_us, "yes": True},
    )
    return claimed


async def _read_due(connection: Connection, claim: Claim) -> list[int]:
    """The numbers of replies that may be claimed, locked, those that are due longest first."""
    rows = await connection.fetch_all(
        "SELECT m.id, m.conversation_id FROM social_messages m WHERE m.omni_delivery_state = "
        "'sending' "
        "AND (m.omni_next_attempt_at <= :now OR m.omni_next_attempt_at > :impossible) AND m.id "
        "NOT IN (:at_work) "
        "AND NOT EXISTS (SELECT 1 FROM social_messages o WHERE o.conversation_id = "
        "m.conversation_id AND o.omni_delivery_state = 'sending' "
        f"AND o.id < m.id){_NOT_FULL if claim.full else ''} ORDER BY m.omni_next_attempt_at "
        f"LIMIT :limit{_SKIP_LOCKED[connection.dialect]}",
        {
            "now": claim.now_us,
            "impossible": claim.now_us + claim.furthest_us,
            "at_work": IntList(claim.at_work or (0,)),
            "limit": claim.limit,
        }
        | ({"full": IntList(claim.full)} if claim.full else {}),
    )
    return [message_id for message_id, _ in rows]


def _fitting(found: Sequence[Outgoing], claim: Claim) -> list[Outgoing]:
    begun, taken = Counter[str](), list[Outgoing]()
    for one in found:
        address = claim.addresses.get(one.integration_id or 0)
        if address is not None and begun[address] >= claim.rooms.get(address, claim.limit):
            continue
        if address is not None:
            begun[address] += 1
        taken.append(one)
    return taken


async def renew_lease(
    connection: Connection, message_id: int, attempts: int, until_us: int
) -> bool:
    """Keep a claimed reply for longer, as it is about to be sent: what Chatwoot said before is no
    answer to that. False when it is settled, or another process has claimed it since.
    """
    found = await connection.execute(
        "UPDATE social_messages SET omni_next_attempt_at = :until, omni_chatwoot_answered_at = "
        "NULL "
        "WHERE id = :id AND omni_delivery_state = 'sending' AND omni_delivery_attempts = :attempts",
        {"until": until_us, "id": message_id, "attempts": attempts},
    )
    return found > 0


async def read_last_landing(
    connection: Connection, integration_ids: Sequence[int], since_us: int, now_us: int
) -> int | None:
    """Return when Chatwoot last made a message of a reply that it had not shown when it was first
    asked: it was still working off its queue. None: not since then.
    """
    found: int | None = await connection.fetch_value(
        "SELECT MAX(m.omni_told_at) FROM social_messages m JOIN social_conversations c ON c.id = "
        "m.conversation_id "
        "WHERE m.omni_chatwoot_answered_at > :since AND m.omni_chatwoot_message_id IS NOT NULL "
        "AND m.omni_told_at <= :now "
        "AND c.omni_integration_id IN (:integrations)",
        {"since": since_us, "now": now_us, "integrations": IntList(integration_ids)},
    )
    return found


async def read_floor(connection: Connection, message: Message) -> int | None:
    """Chatwoot's number of a message that was there before this reply was written: Chatwoot's
    numbers rise, so the reply's is higher.
    """
    found: int | None = await connection.fetch_value(
        "SELECT MAX(omni_chatwoot_message_id) FROM social_messages WHERE conversation_id = "
        ":conversation_id AND id < :id "
        f"AND {IS_CUSTOMER.format('sender_type')}",
        {"conversation_id": message.conversation_id, "id": message.id},
    )
    return found


async def read_reply(
    connection: Connection, conversation_id: int, client_id: str
) -> Message | None:
    """The reply written under this Idempotency-Key."""
    row = await connection.fetch_one(
        f"SELECT {MESSAGES.select[connection.dialect]} FROM social_messages m "
        "WHERE m.conversation_id = :conversation_id AND m.omni_client_id = :client_id",
        {"conversation_id": conversation_id, "client_id": client_id},
    )
    return MESSAGES.entity(row) if row else None


async def read_parts(
    connection: Connection, conversation_id: int, keys: Sequence[str]
) -> list[Message]:
    """The messages of a reply that have these keys, in order."""
    named = {f"k{n}": key for n, key in enumerate(keys)}
    rows = await connection.fetch_all(
        f"SELECT {MESSAGES.select[connection.dialect]} FROM social_messages m "
        "WHERE m.conversation_id = :conversation_id AND m.omni_client_id IN "
        f"({', '.join(f':{name}' for name in named)}) ORDER BY m.id",
        {"conversation_id": conversation_id, **named},
    )
    return [MESSAGES.entity(row) for row in rows]


async def read_repeated(
    connection: Connection, conversation_id: int, agent_id: int, since: str, until: str
) -> list[Message]:
    """Replies of an agent with keys from `since` to `until`, which the customer has not answered
    since, the newest first. One that certainly did not reach Chatwoot is none: writing it again is
    how a person tries again.
    """
    rows = await connection.fetch_all(
        f"SELECT {MESSAGES.select[connection.dialect]} FROM social_messages m WHERE "
        "m.conversation_id = :conversation_id "
        "AND m.omni_client_id >= :since AND m.omni_client_id < :until AND m.omni_agent_id = "
        ":agent_id "
        "AND (m.omni_delivery_state <> 'failed' OR m.omni_is_outcome_unknown = :yes) AND NOT "
        "EXISTS (SELECT 1 FROM social_messages o "
        f"WHERE o.conversation_id = m.conversation_id AND {IS_CUSTOMER.format('o.sender_type')} "
        "AND o.id > m.id) ORDER BY m.id DESC LIMIT 50",
        {
            "conversation_id": conversation_id,
            "since": since,
            "until": until,
            "agent_id": agent_id,
            "yes": True,
        },
    )
    return [MESSAGES.entity(row) for row in rows]
