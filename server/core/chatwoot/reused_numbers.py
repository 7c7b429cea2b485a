"""Numbers of Chatwoot's that it gives out again: restored from a backup, or set up anew, it begins
where it was before.

A message that has the number of one that is here is another one when it was written later and says
something else: an edit keeps the time. A conversation is another one when it was begun later, with
another customer: a merge of contacts keeps the time it was begun at. Times that were capped
(`future.py`) are our own, and prove nothing.
"""

from server.core.chatwoot.changes import ConversationState, MessageState
from server.core.chatwoot.edits import is_other_text
from server.core.identifiers import parse_digits
from server.core.state.entities import Contact, Conversation, Message
from server.core.times import SECOND

_LATER_US = 60 * SECOND  # sources differ by a second, and round


def is_another_message(row: Message, incoming: MessageState, received_us: int) -> bool:
    """`row` has the number that `incoming` names."""
    if (
        row.created_us is None
        or incoming.created_us == received_us
        or row.created_us == row.observed_us
    ):
        return False
    says_other = row.is_deleted or is_other_text(row.content, incoming.content, row.content_type)
    return (
        says_other and not incoming.is_deleted and incoming.created_us - row.created_us > _LATER_US
    )


def is_another_conversation(
    row: Conversation, incoming: ConversationState, received_us: int
) -> bool:
    """`row` has the number that `incoming` names."""
    if row.created_us is None or incoming.created_us is None or incoming.created_us == received_us:
        return False
    if incoming.created_us - row.created_us <= _LATER_US:
        return False
    return _is_another_customer(row, incoming)


def _is_another_customer(row: Conversation, incoming: ConversationState) -> bool:
    before, now = row.contact or Contact(), incoming.contact or Contact()
    known_id = before.id or _contact_number(row.external_user_id)
    if known_id is None or now.id is None or known_id == now.id:
        return False
    shared = {before.email, before.phone, before.identifier} & {
        now.email,
        now.phone,
        now.identifier,
    }
    return not shared - {None} and incoming.contact_name != row.external_user_name


def _contact_number(external_user_id: str | None) -> int | None:
    """Of `chatwoot_{contactId}_{conversationId}`."""
    parts = (external_user_id or "").split("_")
    return parse_digits(parts[1]) if len(parts) == 3 else None
