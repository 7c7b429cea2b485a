"""Reads more messages than an answer of Chatwoot's holds, so that nothing can hide between two
answers.

Messages are asked for by windows of ids, whatever their times: Chatwoot filters by id, sorts by
`created_at` and cuts (message_finder.rb), so an id of one answer says nothing about where the next
one must begin. A window is whole when its answer had fewer rows than answers can have; otherwise it
is asked for again in two parts.

Conversations: see `listing.py`.
"""

from collections.abc import AsyncIterator
from typing import Any

from server.chatwoot.answers import ChatwootTooLong, ChatwootUnexpected
from server.chatwoot.client import LAST_ID, ChatwootClient

Json = dict[str, Any]

# of the ids in a cut answer, when there is no end above: they are mostly the lowest ones
_LOW_SHARE = 0.9


async def message_windows(
    client: ChatwootClient, display_id: int, low: int = 1, high: int = LAST_ID
) -> AsyncIterator[list[Json]]:
    """All messages of a conversation with `low` <= id < `high`, an answer at a time, each message
    once.

    Raises what `list_messages` raises. What is written meanwhile may be among them or not.
    """
    windows, seen = [(low, high)], set[int]()
    while windows:
        low, high = windows.pop()
        try:
            rows = await client.list_messages(display_id, low, high)
        except ChatwootTooLong:
            if high - low < 2:
                raise
            windows += _parts(low, high, await _middle(client, display_id, low, high))
            continue
        ids = sorted({number for row in rows if isinstance(number := row.get("id"), int)})
        if any(not low <= number < high for number in ids):
            raise ChatwootUnexpected("This Chatwoot does not list messages by windows of ids")
        yield [row for row in rows if row.get("id") not in seen]
        seen.update(ids)
        # after an answer with n rows, one with fewer is not a cut one; and a window holds no more
        # rows than ids
        is_whole = len(rows) < client.most_rows or len(rows) >= high - low
        client.most_rows = max(client.most_rows, len(rows))
        if not is_whole and len(ids) > 1:
            place = int(len(ids) * _LOW_SHARE) if high == LAST_ID else len(ids) // 2
            windows += _parts(low, high, ids[max(1, place)])


def _parts(low: int, high: int, middle: int) -> list[tuple[int, int]]:
    """The lower one is popped first."""
    middle = min(max(middle, low + 1), high - 1)
    return [(middle, high), (low, middle)]


async def _middle(client: ChatwootClient, display_id: int, low: int, high: int) -> int:
    """Of a window whose answer has too many bytes: half of the way to the ids that there are."""
    newest = await client.list_newest(display_id, before=high)
    top = max((row["id"] for row in newest if isinstance(row.get("id"), int)), default=high)
    return (low + max(top, low)) // 2 + 1
