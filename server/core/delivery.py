"""How far a message to a customer has come, as Chatwoot tells: with a message (REST), as a conversation's last message, and by what a
customer of the web chat has seen. Nothing is concluded from silence: a message Chatwoot said nothing of has no state, `sent` but for
replies written here, which it confirmed.

A state never goes back, as what tells it comes in any order; but a refusal takes the place of `sent`, and a success that of a refusal.
"""

from msgspec.structs import replace

from server.core.entities import Conversation, DeliveryError, Message
from server.core.times import SECOND

ARRIVED = ("delivered", "read")
WEB_CHAT = "Channel::WebWidget"
CHANNEL_ERROR = "channel"
_REFUSED = "The channel did not deliver it, and Chatwoot does not say why"
STORED_PUBLIC, STORED_PRIVATE = "stored_public", "stored_private"
_MISTAKEN = {
    STORED_PUBLIC: "Chatwoot stored this note as a public message: the customer may have read it. Delete it in Chatwoot",
    STORED_PRIVATE: "Chatwoot stored this reply as a private note: the customer has not got it. Write it in Chatwoot",
}
_RANK = {None: 0, "sending": 0, "sent": 1, "failed": 1, "delivered": 2, "read": 3}


def arrived(row: Message, *, is_private: bool) -> Message:
    """What was written here, once Chatwoot has it; `is_private`: as it is stored there. A note that the customer can read, or a reply
    they cannot, has failed for good, whatever Chatwoot says of its delivery."""
    if is_private == row.is_private:
        return replace(row, delivery_state="sent", delivery_error=None)
    code = STORED_PUBLIC if row.is_private else STORED_PRIVATE
    return replace(row, delivery_state="failed", delivery_error=DeliveryError(code, _MISTAKEN[code]))


def with_status(row: Message, status: str | None, error: str | None, *, is_newer: bool) -> Message:
    """The message after Chatwoot told its status, or (webhooks of today) only an error or none. `is_newer`: told later than what we
    have; the channel's refusal is Chatwoot's to tell and to take back (someone sent it again there), a failure we found out stays."""
    if row.delivery_error is not None and row.delivery_error.code in _MISTAKEN:
        return row
    if status in ARRIVED:
        has_gone = row.chatwoot_message_id is not None and row.sender_type == "agent" and not row.is_private
        is_further = _RANK[status] > _RANK.get(row.delivery_state, 0)
        return replace(row, delivery_state=status, delivery_error=None) if has_gone and is_further else row
    if not is_newer or row.delivery_state in ARRIVED:
        return row
    if error or status == "failed":
        return replace(row, delivery_state="failed", delivery_error=DeliveryError(CHANNEL_ERROR, error or _REFUSED))
    if row.delivery_error is not None and row.delivery_error.code == CHANNEL_ERROR:
        return replace(row, delivery_state=None if row.client_id is None else "sent", delivery_error=None)
    return row


def seen(row: Message, conversation: Conversation) -> Message:
    """The message after a customer of the web chat was seen there. Both times are known by the second: in the same one it may have been
    written after the look."""
    seen_us = conversation.contact_seen_us
    if conversation.channel != WEB_CHAT or seen_us is None or row.created_us is None or row.delivery_state == "failed":
        return row
    return with_status(row, "read", None, is_newer=False) if row.created_us // SECOND < seen_us // SECOND else row
