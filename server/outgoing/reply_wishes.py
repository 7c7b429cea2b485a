"""What is asked for beside a reply's text: people in copy, and the message it answers."""

import hashlib
import re

import msgspec

from server.core.state.entities import Conversation, ReplyRequest
from server.db.engine.database import Connection
from server.db.state import store
from server.errors import BadRequest, Unprocessable

EMAIL_CHANNEL = "Channel::Email"
_MAX_ADDRESSES = 50
_MAX_ADDRESS_CHARACTERS = 254
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


class Wish(msgspec.Struct, frozen=True):
    """`in_reply_to` is our number of the message that is answered."""

    in_reply_to: int | None = None
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()

    def checked(self) -> "Wish":
        """Return it with each address once. Raises BadRequest with the address that is none."""
        return msgspec.structs.replace(self, cc=_addresses(self.cc), bcc=_addresses(self.bcc))

    @property
    def digest(self) -> str | None:
        """What an Idempotency-Key repeats of it; None where nothing is asked for."""
        if self == NO_WISH:
            return None
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


NO_WISH = Wish()


async def requested(
    connection: Connection, conversation: Conversation, wish: Wish, *, is_private: bool
) -> ReplyRequest | None:
    """The wish as it is stored with the reply. Raises Unprocessable where the conversation cannot
    carry it.
    """
    if wish == NO_WISH:
        return None
    has_copies = bool(wish.cc or wish.bcc)
    if has_copies and (is_private or conversation.channel != EMAIL_CHANNEL):
        raise Unprocessable("Only a reply by e-mail can have people in copy")
    quoted: int | None = None
    if wish.in_reply_to is not None:
        message = await store.read_message(
            connection, conversation.company_id, conversation.id, wish.in_reply_to
        )
        quoted = message.chatwoot_message_id if message is not None else None
        if quoted is None:
            raise Unprocessable("The message to be answered is not in this conversation")
    return ReplyRequest(quoted=quoted, cc=wish.cc, bcc=wish.bcc, asked=wish.digest)


def _addresses(given: tuple[str, ...]) -> tuple[str, ...]:
    if len(given) > _MAX_ADDRESSES:
        raise BadRequest(f"A reply has at most {_MAX_ADDRESSES} addresses in copy")
    found = tuple(dict.fromkeys(one.strip() for one in given))
    for one in found:
        if len(one) > _MAX_ADDRESS_CHARACTERS or not _ADDRESS.fullmatch(one):
            raise BadRequest(f"{one[:80]} is no e-mail address")
    return found
