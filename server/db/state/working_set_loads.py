"""Loads the rows that a batch may touch, under their companies' locks, in one round trip."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from server.core.chatwoot.changes import Change, MessageState
from server.core.state.conversation_changes import is_newer
from server.core.state.cursors import Stream
from server.core.state.delivery import WEB_CHAT
from server.core.state.projection import WorkingSet
from server.core.state.tracked import Source, TrackedConversation, TrackedMessage
from server.core.times import SECOND
from server.db.engine.database import Connection
from server.db.engine.driver_adapters import Dialect, IntList, Parameters, Row
from server.db.schema import columns
from server.db.schema.columns import CONVERSATIONS, MESSAGES
from server.db.state import (
    eventlog,
    threads,
)
from server.db.state.eventlog import Select
from server.errors import CompanyBusy

# messages without Chatwoot's id that are compared as twins, newest first
_MAX_UNIDENTIFIED = 2_000
# of a conversation whose customer was never seen before; what is older came with the messages
_FIRST_READING_US = 24 * 3600 * SECOND
_BY_NUMBER_OR_MOMENT = (
    "(m.omni_chatwoot_message_id IN (:numbers) OR "
    "(m.omni_chatwoot_message_id IS NULL AND "
    "(m.omni_client_id IS NOT NULL OR m.created_at BETWEEN :first AND :last))) "
    "ORDER BY m.omni_chatwoot_message_id IS NULL, m.id DESC LIMIT :limit"
)


async def load_working_set(
    connection: Connection, changes: Sequence[tuple[Source, Change]]
) -> tuple[dict[int, Stream], WorkingSet]:
    """Lock the companies' streams, and read the rows that these changes may touch: one round trip.
    Raises CompanyBusy.
    """
    streams, working_set, _ = await load_free_working_set(connection, changes)
    if busy := {source.company_id for source, _ in changes} - streams.keys():
        raise CompanyBusy(busy)
    return streams, working_set


async def load_free_working_set(
    connection: Connection, changes: Sequence[tuple[Source, Change]], *also: Select
) -> tuple[dict[int, Stream], WorkingSet, list[Sequence[Row]]]:
    """Do as `load_working_set`, without the companies that another transaction holds: their streams
    are not in the answer, and nothing of them may be changed. Also returns what the SELECTs `also`
    find after the locks, in the same round trip.
    """
    wanted: dict[int, set[int]] = defaultdict(set)
    for source, change in changes:
        wanted[source.integration_id].add(change.conversation.display_id)
    where, keys = of_conversations(wanted)
    conversations = (
        f"SELECT {CONVERSATIONS.select[connection.dialect]} FROM social_conversations c WHERE "
        f"{where}",
        keys,
    )
    messages = _select_messages(connection.dialect, changes, where, keys)
    company_ids = {source.company_id for source, _ in changes}
    streams, found = await eventlog.lock_free_and_read(
        connection, company_ids, *also, conversations, *messages
    )
    others, found = found[: len(also)], found[len(also) :]
    rows = [CONVERSATIONS.entity(row) for row in found[0]]
    entries = {
        (row.integration_id or 0, row.chatwoot_conversation_id or 0): TrackedConversation(row)
        for row in rows
    }
    by_id = {entry.row.id: entry for entry in entries.values()}
    known = {message.id: message for rows in found[1:] for message in map(MESSAGES.entity, rows)}
    if readings := _new_readings(changes, entries):
        read = await threads.read_seen_since(connection, readings)
        known |= {message.id: message for message in read}
    if renamed := _renamed(changes, entries):
        theirs = await threads.read_of_customers(connection, renamed)
        known |= {message.id: message for message in theirs}
    for message in known.values():
        by_id[message.conversation_id].messages.append(TrackedMessage(message))
    return streams, WorkingSet(entries), others


def _new_readings(
    changes: Sequence[tuple[Source, Change]], entries: Mapping[tuple[int, int], TrackedConversation]
) -> list[tuple[int, int, int]]:
    """Where customers of the web chat have read on: (conversation, since, until), in
    microseconds.
    """
    readings = []
    for source, change in changes:
        state = change.conversation
        entry = entries.get((source.integration_id, state.display_id))
        if (
            entry is None
            or state.contact_seen_us is None
            or (state.channel or entry.row.channel) != WEB_CHAT
        ):
            continue
        since_us = entry.row.contact_seen_us or state.contact_seen_us - _FIRST_READING_US
        if state.contact_seen_us // SECOND > since_us // SECOND:
            readings.append((entry.row.id, since_us, state.contact_seen_us))
    return readings


def _renamed(
    changes: Sequence[tuple[Source, Change]], entries: Mapping[tuple[int, int], TrackedConversation]
) -> list[int]:
    """Conversations whose contact has another name now: their messages show it, too."""
    found = []
    for source, change in changes:
        state = change.conversation
        entry = entries.get((source.integration_id, state.display_id))
        if entry is None or state.contact_name in (None, entry.row.external_user_name):
            continue
        is_told = state.version_us > 0 and is_newer(state, entry.row)
        if is_told or change.contact_update is not None:
            found.append(entry.row.id)
    return found


def of_conversations(wanted: dict[int, set[int]]) -> tuple[str, Parameters]:
    """The condition that finds these conversations: Chatwoot's numbers by integration."""
    where: list[str] = []
    keys: dict[str, object] = {}
    for n, (integration_id, display_ids) in enumerate(wanted.items()):
        where.append(
            f"(c.omni_integration_id = :i{n} AND c.omni_chatwoot_conversation_id IN (:d{n}))"
        )
        keys |= {f"i{n}": integration_id, f"d{n}": IntList(display_ids)}
    return f"({' OR '.join(where)})", keys


def _select_messages(
    dialect: Dialect, changes: Sequence[tuple[Source, Change]], where: str, keys: Parameters
) -> list[Select]:
    """SELECTs of the stored messages that these may be: by Chatwoot's id; by marker (replies on
    their way, whenever written); as twins.
    """
    messages = [
        (source.integration_id, change.conversation.display_id, change.message)
        for source, change in changes
        if change.message is not None
    ]
    last = {
        change.conversation.last.message_id
        for _, change in changes
        if change.conversation.last is not None
    }
    if not messages and not last:
        return []
    select = (
        f"SELECT {MESSAGES.select[dialect]} FROM social_conversations c JOIN social_messages m "
        "ON m.conversation_id = c.id WHERE"
    )
    numbers = IntList(
        last | {message.message_id for _, _, message in messages if message.message_id is not None}
    )
    if not messages:
        condition = "m.omni_chatwoot_message_id IN (:numbers)"
        return [(f"{select} {where} AND {condition}", {**keys, "numbers": numbers})]
    moments = [message.created_us for _, _, message in messages]
    values = {
        **keys,
        **_within(min(moments), max(moments)),
        "numbers": numbers,
        "limit": len(numbers) + _MAX_UNIDENTIFIED,
    }
    return [
        (f"{select} {where} AND {_BY_NUMBER_OR_MOMENT}", values),
        *_select_others(select, messages),
    ]


def _select_others(
    select: str, messages: Iterable[tuple[int, int, MessageState]]
) -> Iterator[Select]:
    """Of one message each. A message of the simple payload has no id: everything of its
    conversation within the second may be the same one.
    """
    for integration_id, display_id, message in messages:
        if message.message_id is None:
            one, key = of_conversations({integration_id: {display_id}})
            twins = f"{select} {one} AND m.created_at BETWEEN :first AND :last LIMIT 200"
            yield twins, {**key, **_within(message.created_us, message.created_us)}
        # of a reply that has a number already, this may be a further message
        elif message.client_id is not None:
            one, key = of_conversations({integration_id: {display_id}})
            marked = f"{select} {one} AND m.omni_client_id = :marker"
            yield marked, {**key, "marker": message.client_id}


def _within(first_us: int, last_us: int) -> dict[str, str | None]:
    return {
        "first": columns.time_to_column(first_us - SECOND),
        "last": columns.time_to_column(last_us + SECOND),
    }
