"""What is read for everyone. Chatwoot has one state for all its agents, history begins with it, and
it only goes forward here.

A conversation is read up to a moment: agents looked at it then, one of them answered then, or it
was resolved then. A message of the customer that is older is read whenever it comes. Beside it
stands Chatwoot's number of unread messages, which says something only of what it knew: a state from
before the newest message reads nothing of it.

Some channels give a message the time at which it was written, and deliver it hours later. Its
number says so: it is higher than that of a message with a later time. Such a message is as new as
its arrival, whatever its time says; Chatwoot, which counts by times, does not count it.
"""

from msgspec.structs import replace

from server.core.chatwoot.changes import Change
from server.core.state.entities import Conversation, Message
from server.core.times import SECOND

_UNCOUNTED = 10  # Chatwoot counts no further, so this says nothing


def is_born_read(row: Conversation, message: Message) -> bool:
    """Whether a message of the customer that comes only now is older than what was read."""
    if message.created_us is None:
        return False
    if _is_late(row, message.chatwoot_message_id, message.created_us):
        return _late_us(row) <= row.read_to_us
    return _latest(message.created_us) <= row.read_to_us


def with_arrival(row: Conversation, change: Change) -> Conversation:
    """Return the row before the change's new message is counted, with when that came if its time is
    older: by a webhook, the state of the conversation that it told; by asking, later than the
    newest message that is known.
    """
    incoming = change.message
    if (
        row.preview is None
        or incoming is None
        or incoming.sender_type != "customer"
        or incoming.is_private
        or not _is_late(row, incoming.message_id, incoming.created_us)
    ):
        return row
    told_us = 0 if incoming.asked_us else incoming.version_us
    late_us = max(_late_us(row), row.last_message_us or 0, told_us)
    preview = replace(row.preview, late_us=late_us)
    # what the change says is read is of the messages before it
    return replace(with_reading(row, change), preview=preview)


def with_reading(row: Conversation, change: Change) -> Conversation:
    """Return the row after a change was applied, with how far it is read by what the change says;
    the same object where that is nothing new.
    """
    incoming = change.conversation
    read_to_us = max(row.read_to_us, _place(change))
    count = row.read_count
    if row.last_inbound_us is not None and count < row.inbound_count:
        newest_us = max(_latest(row.last_inbound_us), _late_us(row))
        if newest_us <= read_to_us:
            count = row.inbound_count
        elif (
            incoming.unread is not None
            and incoming.unread < _UNCOUNTED
            and _late_us(row) <= read_to_us
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


def _is_late(row: Conversation, number: int | None, created_us: int) -> bool:
    """Whether Chatwoot wrote it after a message that has a later time."""
    return (
        number is not None
        and row.last_message_number is not None
        and number > row.last_message_number
        and created_us // SECOND < (row.last_message_us or 0) // SECOND
    )


def _late_us(row: Conversation) -> int:
    return (row.preview.late_us or 0) if row.preview is not None else 0


def _latest(moment_us: int) -> int:
    """A time that is known by the second alone may be any of it."""
    return moment_us if moment_us % SECOND else moment_us + SECOND - 1
