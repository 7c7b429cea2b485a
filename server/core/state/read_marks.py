"""What is read for everyone. Chatwoot has one state for all its agents, history begins with it, and
it only goes forward here.

A conversation is read up to a moment: agents looked at it then, one of them answered then, or it
was resolved then. A message of the customer that is older is read whenever it comes. Beside it
stands Chatwoot's number of unread messages, which says something only of what it knew: a state from
before the newest message reads nothing of it.
"""

from msgspec.structs import replace

from server.core.chatwoot.changes import Change
from server.core.state.entities import Conversation, Message
from server.core.times import SECOND

_UNCOUNTED = 10  # Chatwoot counts no further, so this says nothing


def is_born_read(row: Conversation, message: Message) -> bool:
    """Whether a message of the customer that comes only now is older than what was read."""
    return message.created_us is not None and _latest(message.created_us) <= row.read_to_us


def with_reading(row: Conversation, change: Change) -> Conversation:
    """Return the row after a change was applied, with how far it is read by what the change says;
    the same object where that is nothing new.
    """
    incoming = change.conversation
    read_to_us = max(row.read_to_us, _place(change))
    count = row.read_count
    if row.last_inbound_us is not None and count < row.inbound_count:
        newest_us = _latest(row.last_inbound_us)
        if newest_us <= read_to_us:
            count = row.inbound_count
        elif (
            incoming.unread is not None
            and incoming.unread < _UNCOUNTED
            and newest_us <= incoming.as_of_us
        ):
            count = max(count, row.inbound_count - incoming.unread)
    if (read_to_us, count) == (row.read_to_us, row.read_count):
        return row
    return replace(row, read_to_us=read_to_us, read_count=count)


def _place(change: Change) -> int:
    """The moment up to which the change says that all is read."""
    incoming, message = change.conversation, change.message
    # in whole seconds: what came in the second itself may have come after the look
    seen_us = (incoming.agents_seen_us or 1) - 1
    resolved_us = incoming.version_us if incoming.status == "resolved" else 0
    is_answer = message is not None and message.is_by_person and not message.is_private
    answered_us = message.created_us if is_answer and message is not None else 0
    if answered_us % SECOND == 0:
        answered_us = max(0, answered_us - 1)
    return max(seen_us, resolved_us, answered_us)


def _latest(moment_us: int) -> int:
    """A time that is known by the second alone may be any of it."""
    return moment_us if moment_us % SECOND else moment_us + SECOND - 1
