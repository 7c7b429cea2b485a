"""Caps times of Chatwoot's that are later than when they were received: they come from a wrong
clock, or were made up.

Versions decide which of two states is the newer one, so a version of next year would let no true
state in until then. What is ahead of its receipt by more than clocks differ counts as the time of
receipt, whatever it came by, and its state as the newest so far. Rows that were written before that
was so give way to the next state that is told.
"""

from collections.abc import Callable

from msgspec.structs import replace

from server.core.chatwoot.changes import Change, ConversationState, MessageState
from server.core.state.entities import Conversation, Message
from server.core.times import CLOCK_SKEW_US, SECOND

SKEW_US = CLOCK_SKEW_US
# a stored time is called wrong only when it is so far ahead: the clock that says so may be wrong
# itself
_WRONG_US = 3_600 * SECOND


def within_present(change: Change, received_us: int, known_us: int = 0) -> Change:
    """The change with every time capped; the same object where none was ahead, which is nearly
    always. `known_us` is the version that is stored: what claims to be of the future is taken as it
    comes, also where the clock that is wrong is ours, and behind.
    """
    latest_us = received_us + SKEW_US
    conversation, message = change.conversation, change.message
    times = (
        change.at_us,
        conversation.version_us,
        conversation.created_us,
        conversation.waiting_since_us,
        conversation.contact_seen_us,
        conversation.agents_seen_us,
        conversation.as_of_us,
    )
    newest = max(filter(None, times), default=0)
    if newest <= latest_us and (
        message is None or (message.created_us <= latest_us and message.version_us <= latest_us)
    ):
        return change

    def cap(moment: int | None) -> int | None:
        return received_us if moment is not None and moment > latest_us else moment

    newest_us = max(received_us, known_us)
    return replace(
        change,
        conversation=_capped_conversation(
            conversation,
            newest_us if conversation.version_us > latest_us else conversation.version_us,
            cap,
        ),
        message=None if message is None else _capped_message(message, received_us, newest_us),
        at_us=cap(change.at_us),
    )


def _capped_conversation(
    incoming: ConversationState, version_us: int, cap: Callable[[int | None], int | None]
) -> ConversationState:
    return replace(
        incoming,
        version_us=version_us,
        created_us=cap(incoming.created_us),
        waiting_since_us=cap(incoming.waiting_since_us),
        contact_seen_us=cap(incoming.contact_seen_us),
        agents_seen_us=cap(incoming.agents_seen_us),
        as_of_us=cap(incoming.as_of_us) or 0,
    )


def _capped_message(incoming: MessageState, received_us: int, newest_us: int) -> MessageState:
    latest_us = received_us + SKEW_US
    return replace(
        incoming,
        created_us=received_us if incoming.created_us > latest_us else incoming.created_us,
        version_us=newest_us if incoming.version_us > latest_us else incoming.version_us,
    )


def healed(row: Conversation, now_us: int) -> Conversation:
    """A stored conversation without what a wrong clock left in it. Its version is forgotten: the
    next one told is newer.
    """
    latest_us = now_us + _WRONG_US
    names = (
        "last_message_us",
        "last_inbound_us",
        "waiting_since_us",
        "contact_seen_us",
        "created_us",
        "read_to_us",
    )
    ahead = {name: now_us for name in names if (getattr(row, name) or 0) > latest_us}
    if row.chatwoot_version > latest_us:
        ahead["chatwoot_version"] = 0
    if row.observed_us > latest_us:
        ahead["observed_us"] = 0
    return replace(row, **ahead) if ahead else row


def healed_message(row: Message, now_us: int) -> Message:
    """Return the message with neither its version nor its receipt ahead of now. Its place in the
    thread stays.
    """
    latest_us = now_us + _WRONG_US
    if row.chatwoot_version <= latest_us and row.observed_us <= latest_us:
        return row
    return replace(
        row,
        chatwoot_version=0 if row.chatwoot_version > latest_us else row.chatwoot_version,
        observed_us=0 if row.observed_us > latest_us else row.observed_us,
    )
