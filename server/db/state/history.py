"""How much of Chatwoot's history is known to be here: what there is of each conversation, and when
it was last compared.
"""

from collections.abc import Sequence

import msgspec

from server.db.engine.database import Connection
from server.db.engine.driver_adapters import IntList

_GO_ON_US = 24 * 3600 * 1_000_000  # an interrupted sync older than this begins anew
# a comparison of all history that began longer ago begins anew
_MAX_CYCLE_US = 30 * 24 * 3600 * 1_000_000
_MAX_AHEAD_US = 2 * 24 * 3600 * 1_000_000
_NUMBERS_AT_ONCE = 500


async def begin_sync(connection: Connection, integration_id: int, now_us: int) -> int:
    """When the sync began that is to go on: now, or that of an interrupted one. What was fetched
    since then need not be again.
    """
    began = await connection.fetch_value(
        "SELECT omni_sync_began_at FROM integrations WHERE id = :id", {"id": integration_id}
    )
    began_us = int(began or 0)
    if now_us - _GO_ON_US < began_us <= now_us:
        return began_us
    await connection.execute(
        "UPDATE integrations SET omni_sync_began_at = :now WHERE id = :id",
        {"now": now_us, "id": integration_id},
    )
    return now_us


async def end_sync(
    connection: Connection, integration_id: int, verified_us: int | None, *, is_own: bool
) -> None:
    """The next sync begins anew, where it was one and no slow comparison. `verified_us`: everything
    that was there then is here.
    """
    began = "NULL" if is_own else "omni_sync_began_at"
    await connection.execute(
        f"UPDATE integrations SET omni_sync_began_at = {began}, omni_verified_at = "
        "COALESCE(:verified, omni_verified_at) WHERE id = :id",
        {"verified": verified_us, "id": integration_id},
    )


async def mark_verified(
    connection: Connection, integration_id: int, display_id: int, now_us: int
) -> None:
    """All messages that a conversation had then are here. The CRM's time of its last change
    stays.
    """
    await connection.execute(
        "UPDATE social_conversations SET omni_verified_at = :now, updated_at = updated_at WHERE "
        "omni_integration_id = :id AND omni_chatwoot_conversation_id = :number",
        {"now": now_us, "id": integration_id, "number": display_id},
    )


async def read_verified(
    connection: Connection, integration_id: int, since_us: int
) -> tuple[set[int], int]:
    """Conversations (Chatwoot's numbers) that were verified since, and how many messages they have
    here.
    """
    display_ids = await connection.fetch_column(
        "SELECT omni_chatwoot_conversation_id FROM social_conversations WHERE "
        "omni_integration_id = :id AND omni_verified_at >= :since",
        {"id": integration_id, "since": since_us},
    )
    messages = await connection.fetch_value(
        "SELECT COUNT(*) FROM social_messages m JOIN social_conversations c ON c.id = "
        "m.conversation_id "
        "WHERE c.omni_integration_id = :id AND c.omni_verified_at >= :since AND "
        "m.omni_chatwoot_message_id IS NOT NULL",
        {"id": integration_id, "since": since_us},
    )
    return set(map(int, display_ids)), int(messages or 0)


async def read_message_numbers(
    connection: Connection, integration_id: int, display_id: int
) -> set[int]:
    """Chatwoot's numbers of a conversation's messages that are here."""
    rows = await connection.fetch_all(
        "SELECT m.omni_chatwoot_message_id FROM social_messages m JOIN social_conversations c ON "
        "c.id = m.conversation_id "
        "WHERE c.omni_integration_id = :id AND c.omni_chatwoot_conversation_id = :number AND "
        "m.omni_chatwoot_message_id IS NOT NULL",
        {"id": integration_id, "number": display_id},
    )
    return {int(number) for (number,) in rows}


async def read_present(
    connection: Connection, integration_id: int, display_ids: Sequence[int]
) -> set[int]:
    """Those of these conversations that are here."""
    found = set[int]()
    for begin in range(0, len(display_ids), _NUMBERS_AT_ONCE):
        rows = await connection.fetch_all(
            "SELECT omni_chatwoot_conversation_id FROM social_conversations "
            "WHERE omni_integration_id = :id AND omni_chatwoot_conversation_id IN (:numbers)",
            {
                "id": integration_id,
                "numbers": IntList(display_ids[begin : begin + _NUMBERS_AT_ONCE]),
            },
        )
        found.update(int(number) for (number,) in rows)
    return found


async def read_low(
    connection: Connection, integration_id: int, display_id: int, since_us: int, newest: int
) -> int:
    """From which id on a conversation may have messages that are not here: above those that were
    here before `since_us`, as ids rise; and not above the `newest` last ones, which may have been
    edited.
    """
    where = (
        "c.omni_integration_id = :id AND c.omni_chatwoot_conversation_id = :number AND "
        "m.omni_chatwoot_message_id IS NOT NULL"
    )
    keys: dict[str, object] = {"id": integration_id, "number": display_id}
    joined = (
        "SELECT m.omni_chatwoot_message_id FROM social_messages m "
        f"JOIN social_conversations c ON c.id = m.conversation_id WHERE {where}"
    )
    last = await connection.fetch_all(
        f"{joined} ORDER BY m.omni_chatwoot_message_id DESC LIMIT :limit", {**keys, "limit": newest}
    )
    known = await connection.fetch_one(
        f"{joined} AND m.omni_told_at < :since ORDER BY m.omni_chatwoot_message_id DESC LIMIT 1",
        {**keys, "since": since_us},
    )
    return min(int(last[-1][0]), int(known[0])) if last and known else 1


class Claim(msgspec.Struct, frozen=True):
    """An integration whose history this process compares. What was verified since `began_us` is
    done.
    """

    integration_id: int
    began_us: int


async def claim(
    connection: Connection, integration_ids: Sequence[int], now_us: int, until_us: int
) -> Claim | None:
    """The one whose turn it is, unless a process is at one: those that were never whole first, then
    the longest ago.
    """
    rows = await connection.fetch_all(
        "SELECT id, omni_history_until, omni_history_began_at FROM integrations WHERE id IN (:ids) "
        "ORDER BY omni_verified_at IS NOT NULL, omni_verified_at, id",
        {"ids": IntList(integration_ids)},
    )
    if any(began is not None and now_us < until <= until_us for _, until, began in rows):
        return None
    for integration_id, until, began in rows:
        # what is further ahead than one can be was written by a clock that was wrong
        if now_us < until <= now_us + _MAX_AHEAD_US:
            continue
        began_us = int(began) if began and now_us - _MAX_CYCLE_US < began <= now_us else now_us
        taken = await connection.execute(
            "UPDATE integrations SET omni_history_until = :until, omni_history_began_at = "
            ":began WHERE id = :id AND omni_history_until = :seen",
            {"until": until_us, "began": began_us, "id": integration_id, "seen": until},
        )
        if taken:
            return Claim(int(integration_id), began_us)
    return None


async def renew(connection: Connection, integration_id: int, until_us: int) -> None:
    """Keep the claim of a comparison of the history until `until_us`; no more where it has
    ended.
    """
    await connection.execute(
        "UPDATE integrations SET omni_history_until = :until WHERE id = :id AND "
        "omni_history_began_at IS NOT NULL",
        {"until": until_us, "id": integration_id},
    )


async def release(connection: Connection, integration_id: int, next_us: int) -> None:
    """It is over; its next turn comes then."""
    await connection.execute(
        "UPDATE integrations SET omni_history_until = :next, omni_history_began_at = NULL "
        "WHERE id = :id",
        {"next": next_us, "id": integration_id},
    )
