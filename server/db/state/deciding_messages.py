"""The few messages of a thread that decide what the row of its conversation says
(`core/state/list_rows.py`), found by the index of threads, from the newest on.
"""

from collections.abc import Mapping, Sequence

import msgspec

from server.core.state.entities import Message
from server.core.state.list_rows import ARRIVED, MACHINES, has_arrived, rank_of
from server.core.state.previews import SPOKEN
from server.db.engine.database import Connection
from server.db.engine.driver_adapters import IntList, Parameters, Row
from server.db.schema import columns
from server.db.schema.columns import MESSAGES
from server.db.schema.crm_words import IS_AGENT
from server.db.state.threads import NEWEST_FIRST

# `details` is JSON of ours, in which the kind of sender comes first
_KINDS = {f"machine{n}": f'{{"senderKind":"{kind}"%' for n, kind in enumerate(MACHINES)}
_IS_MACHINE = " OR ".join(f"m.omni_details LIKE :{name}" for name in _KINDS)
_IS_PERSON = f"NOT COALESCE({_IS_MACHINE}, FALSE)"
_IS_SHOWN = "m.omni_is_deleted = :no AND COALESCE(m.omni_delivery_state <> 'failed', TRUE)"
_IS_REPLY = f"{IS_AGENT.format('m.sender_type')} AND {_IS_PERSON}"
_STATES = ", ".join(f"'{state}'" for state in ARRIVED if state is not None)
_HAS_ARRIVED = f"{_IS_REPLY} AND COALESCE(m.omni_delivery_state IN ({_STATES}), TRUE)"
_IS_SPOKEN = f"{_IS_SHOWN} AND {_IS_PERSON}"
# JSON of ours: in what somebody wrote a backslash stands before each quotation mark
_IS_DISCARDED = "COALESCE(m.omni_delivery_error LIKE '%\"discarded\":{%', FALSE)"
_IS_UNSENT = (
    f"{_IS_REPLY} AND m.omni_is_deleted = :no AND m.omni_delivery_state = 'failed' "
    f"AND NOT {_IS_DISCARDED}"
)


class _Ask(msgspec.Struct, frozen=True):
    """For the newest public message of a conversation that meets a condition."""

    conversation_id: int
    condition: str = "TRUE"
    without: Sequence[int] = ()
    since_us: int | None = None


async def read_newest(
    connection: Connection, conversation_ids: Sequence[int]
) -> dict[int, Message]:
    """The newest public message of each, in the order of a thread. Two round trips, a few index
    entries for each.
    """
    found = await _find(connection, [_Ask(one) for one in conversation_ids])
    return {one.conversation_id: one for one in found if one is not None}


async def read_deciding(
    connection: Connection, wanted: Mapping[int, Sequence[int]]
) -> dict[int, list[Message]]:
    """The messages by which `list_rows.settled` decides, of each conversation. `wanted`: by
    conversation, ids of messages that are known, and left out.

    Six round trips at most, however many conversations; a few index entries for each but in a
    thread in which nobody has spoken, or nobody has answered: that is read as far as it goes.
    """
    asks = []
    for one, without in wanted.items():
        asks += [_Ask(one, _IS_SPOKEN, without), _Ask(one, _HAS_ARRIVED, without)]
    first = await _find(connection, asks)
    found: dict[int, list[Message]] = {one: [] for one in wanted}
    _put(found, first)
    more = []
    for one, without in wanted.items():
        answers = [message for message in found[one] if has_arrived(message)]
        since_us = min((message.created_us or 0 for message in answers), default=None)
        more.append(_Ask(one, _IS_UNSENT, without, since_us))
        if not any(rank_of(message) == SPOKEN for message in found[one]):
            more += [_Ask(one, _IS_SHOWN, without), _Ask(one, "TRUE", without)]
    _put(found, await _find(connection, more))
    return found


def _put(found: dict[int, list[Message]], messages: Sequence[Message | None]) -> None:
    for message in messages:
        if message is not None:
            found[message.conversation_id].append(message)


async def _find(connection: Connection, asks: Sequence[_Ask]) -> list[Message | None]:
    """What is found for each."""
    if not asks:
        return []
    last = await connection.fetch_each(*(_select_moment(ask) for ask in asks))
    found: list[Message | None] = [None] * len(asks)
    places = [place for place, rows in enumerate(last) if rows]
    if not places:
        return found
    selects = [_select(connection, asks[place], last[place]) for place in places]
    for place, rows in zip(places, await connection.fetch_each(*selects), strict=True):
        found[place] = MESSAGES.entity(rows[0]) if rows else None
    return found


def _select_moment(ask: _Ask) -> tuple[str, Parameters]:
    of, values = _of(ask)
    since = ""
    if ask.since_us is not None:
        since = "AND m.created_at >= :since "
        values |= {"since": _second(ask.since_us)}
    return f"SELECT m.created_at {of} {since}ORDER BY m.created_at DESC, m.id DESC LIMIT 1", values


def _select(connection: Connection, ask: _Ask, last: Sequence[Row]) -> tuple[str, Parameters]:
    """The second of the last one holds the newest; where it has no time nothing narrows it."""
    of, values = _of(ask)
    since, at_us = "", columns.time_from_column(last[0][0])
    if at_us is not None:
        since = "AND m.created_at >= :since "
        values |= {"since": _second(at_us)}
    select = MESSAGES.select[connection.dialect]
    return f"SELECT {select} {of} {since}ORDER BY {NEWEST_FIRST} LIMIT 1", values


def _of(ask: _Ask) -> tuple[str, dict[str, object]]:
    values: dict[str, object] = {"id": ask.conversation_id, "no": False}
    condition = f"m.conversation_id = :id AND m.omni_is_private = :no AND {ask.condition}"
    if ask.without:
        condition += " AND NOT m.id IN (:without)"
        values["without"] = IntList(ask.without)
    values |= {name: kind for name, kind in _KINDS.items() if f":{name}" in condition}
    return f"FROM social_messages m WHERE {condition}", values


def _second(moment_us: int) -> str:
    # SQLite compares texts
    return (columns.time_to_column(moment_us) or "")[:19]
