"""The order of messages in a thread: the second Chatwoot created them in, and within it Chatwoot's
number.

Chatwoot's REST tells whole seconds where its webhooks tell milliseconds, and webhooks come in any
order. So the fraction of a second says nothing between two messages, and our own number only who
came first; Chatwoot's number grows as it writes. What has none (a reply on its way, the simple
payload) stands last in its second, as it came. The same in SQL: `server/db/state/threads.py`; in
scripts: `byAge` of `store.js`.
"""

from server.core.identifiers import MAX_ID
from server.core.state.entities import Conversation, Message
from server.core.times import SECOND

LAST = MAX_ID  # stands for Chatwoot's number where there is none

Place = tuple[int, int, int]


def place_of(message: Message) -> Place:
    """Sorts messages of a thread, oldest first; those without a time are the oldest."""
    second = -1 if message.created_us is None else message.created_us // SECOND
    return second, message.chatwoot_message_id or LAST, message.id


def is_newest(message: Message, row: Conversation) -> bool:
    """Whether a public message is behind the one by whose time its conversation stands in the list.
    A reply that had no number yet gives way: its own number will say its place.
    """
    if message.created_us is None:
        return False
    shown = ((row.last_message_us or 0) // SECOND, row.last_message_number or 0)
    return (message.created_us // SECOND, message.chatwoot_message_id or LAST) >= shown


def is_last(message: Message, row: Conversation) -> bool:
    """Whether it is the one by whose time its conversation stands in the list."""
    return (message.created_us, message.chatwoot_message_id) == (
        row.last_message_us,
        row.last_message_number,
    )
