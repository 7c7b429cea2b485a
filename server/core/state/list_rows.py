"""What the row of a conversation in the list says: the newest words of people, and the reply that
did not reach the customer. The order of the list, and its time, are another matter
(`thread_order.py`).

Words are a customer's, an agent's (also in the channel's own app) or a bot's. What a machine sends
by itself (greeting, out of office, automation, campaign, template, question for an address or a
rating) is shown only where nobody has spoken, and what is deleted or has failed only where there is
nothing else.

Most messages are judged beside what the row knows. Where that is not enough, as the message that
was shown is no more, the row is settled by its thread, once for all changes of a transaction.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from server.core.state.delivery import discarded_by
from server.core.state.entities import Conversation, Message
from server.core.state.previews import (
    MACHINE,
    SPOKEN,
    UNKNOWN,
    WITHDRAWN,
    RowPreview,
    UnsentReply,
)
from server.core.state.thread_order import LAST, place_of
from server.core.state.views import preview_of, shown_error
from server.core.times import SECOND

MACHINES = ("automatic", "automation", "campaign")
ARRIVED = (None, "sent", "delivered", "read")  # None: Chatwoot has it, and said no more of it
_UNNAMED = "failed"  # no reason is known


def rank_of(message: Message) -> int:
    """Return how much a public message has to say in the list."""
    if message.is_deleted or message.delivery_state == "failed":
        return WITHDRAWN
    return MACHINE if _is_machine(message) else SPOKEN


def is_unsent(message: Message) -> bool:
    """Whether it is a reply that the customer did not get, and that nobody has discarded."""
    has_failed = message.delivery_state == "failed" and not message.is_deleted
    return _is_reply(message) and has_failed and discarded_by(message) is None


def has_arrived(message: Message) -> bool:
    """Whether it is a reply that went out; what is deleted later went out all the same."""
    return _is_reply(message) and message.delivery_state in ARRIVED


def with_message(
    row: Conversation, before: Message | None, message: Message
) -> tuple[Conversation, bool]:
    """Return the row after a public message came (`before` is None) or changed, and whether it has
    to be settled by its thread.
    """
    shown = row.preview
    if shown is None:
        return replace(row, preview=_previewed(message)), is_unsent(message)
    is_shown = before is not None and _is_of(before, shown)
    is_above = _key(message, LAST) >= (shown.rank, _second(shown.at_us), shown.number or 0)
    is_open = shown.rank == UNKNOWN or _may_change_unsent(shown.unsent, before, message)
    unsent = shown.unsent
    if unsent is not None and has_arrived(message) and _is_behind(message, unsent):
        unsent = None
    if is_shown or (is_above and shown.rank != UNKNOWN):
        # a reply that gets its number in the second it was written in has made way before
        is_lower = is_shown and _key(message, 0)[:2] < (shown.rank, _second(shown.at_us))
        preview = _previewed(message, unsent, shown.late_us)
        return replace(row, preview=preview), is_open or is_lower
    if unsent is not shown.unsent:
        row = replace(row, preview=replace(shown, unsent=unsent))
    return row, is_open


def settled(messages: Iterable[Message], known: RowPreview | None = None) -> RowPreview | None:
    """Return what the row says of a thread; `messages` are its own, or those that can matter: the
    newest of each rank, the newest reply that arrived, and the newest that failed since. `known`:
    what the row said before.
    """
    public = [one for one in messages if not one.is_private]
    if not public:
        return None
    arrived = max(map(_place, filter(has_arrived, public)), default=None)
    unsent = max(filter(is_unsent, public), key=_place, default=None)
    if unsent is not None and arrived is not None and _place(unsent) < arrived:
        unsent = None
    newest = max(public, key=lambda one: (rank_of(one), _place(one)))
    return _previewed(
        newest,
        None if unsent is None else _unsent(unsent),
        None if known is None else known.late_us,
    )


def with_id(preview: RowPreview | None, messages: Iterable[Message]) -> RowPreview | None:
    """The preview, once the reply that was not sent has been inserted and has an id."""
    if preview is None or preview.unsent is None or preview.unsent.message_id:
        return preview
    unsent = preview.unsent
    wanted = (unsent.number, unsent.at_us)
    known = [
        one
        for one in messages
        if is_unsent(one) and (one.chatwoot_message_id, one.created_us) == wanted
    ]
    return replace(preview, unsent=replace(unsent, message_id=known[0].id)) if known else preview


def _may_change_unsent(
    unsent: UnsentReply | None, before: Message | None, message: Message
) -> bool:
    if is_unsent(message):
        return True  # one that arrived may be behind it
    if before is None:
        return False
    if has_arrived(before) and not has_arrived(message):
        return True  # it hides none before it any more
    # it is sent anew, or deleted: another one may be before it
    return unsent is not None and is_unsent(before)


def _is_machine(message: Message) -> bool:
    return message.details is not None and message.details.sender_kind in MACHINES


def _is_reply(message: Message) -> bool:
    return message.sender_type == "agent" and not message.is_private and not _is_machine(message)


def _previewed(
    message: Message, unsent: UnsentReply | None = None, late_us: int | None = None
) -> RowPreview:
    shown = preview_of(message)
    return RowPreview(
        shown.content,
        shown.sender_type,
        shown.has_attachments,
        shown.kind,
        message.created_us,
        message.chatwoot_message_id,
        rank_of(message),
        unsent,
        late_us,
    )


def _unsent(message: Message) -> UnsentReply:
    error = shown_error(message.delivery_error)
    return UnsentReply(
        message.id,
        message.created_us,
        _UNNAMED if error is None else error.code,
        message.chatwoot_message_id,
    )


def _is_of(message: Message, shown: RowPreview) -> bool:
    """Whether it is the message that is shown. Its number says so, and where it has none its
    time.
    """
    if shown.rank == UNKNOWN or message.chatwoot_message_id != shown.number:
        return False
    return shown.number is not None or message.created_us == shown.at_us


def _is_behind(message: Message, unsent: UnsentReply) -> bool:
    number = message.chatwoot_message_id or LAST
    return (_second(message.created_us), number) >= (_second(unsent.at_us), unsent.number or 0)


def _key(message: Message, unnumbered: int) -> tuple[int, int, int]:
    """Of two messages the one with the higher key is shown."""
    number = message.chatwoot_message_id or unnumbered
    return rank_of(message), _second(message.created_us), number


def _place(message: Message) -> tuple[int, int, int]:
    """Its place in the thread; what is not inserted yet is the newest."""
    second, number, row_id = place_of(message)
    return second, number, row_id or LAST


def _second(moment_us: int | None) -> int:
    return -1 if moment_us is None else moment_us // SECOND
