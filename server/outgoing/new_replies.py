"""What an agent wrote, before it becomes a reply: checks, and whether it is one that is here
already.
"""

import re

import msgspec

from server.core.state.delivery import text_digest
from server.core.state.entities import Conversation, Message, ReplyRequest
from server.core.state.message_details import NO_DETAILS, Email, MessageDetails, Quote
from server.core.state.reply_parts import divided, is_further_part, part_keys
from server.core.state.views import closed_for, message_view
from server.core.times import SECOND
from server.db.access.agent_rows import Agent
from server.db.engine.database import Connection
from server.db.state import outbox, outgoing_files, threads
from server.errors import BadRequest, NewerMessages, WindowClosed
from server.outgoing.reply_files import Kept
from server.outgoing.reply_wishes import Wish
from server.problems import Problem

MAX_CONTENT_CHARACTERS = 150_000  # Chatwoot's own limit (message.rb)
_KEY = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_MAX_NEWER = 50
_REPEAT_US = 60 * SECOND  # a reply without a key that equals one this young is the same one
_LATEST = "auto.~"  # behind every fresh key
_PLAIN = ReplyRequest()
_CLOSED = {
    "expired": Problem.of("reply.window_expired"),
    "no_message": Problem.of("reply.window_no_message"),
    "channel": Problem.of("reply.window_channel"),
}


def fresh_key(moment_us: int, name: str) -> str:
    """For a reply whose client gave it none. It begins with its time, so that the ones of the last
    minute are found by an index.
    """
    return f"auto.{moment_us:014x}.{name}"


def check_key(key: str | None) -> None:
    """Raises BadRequest."""
    if key is not None and not _KEY.fullmatch(key):
        raise BadRequest(
            "Idempotency-Key must be 1 to 64 letters, digits, dots, colons, hyphens or underscores"
        )


def checked_content(content: str, *, has_files: bool) -> str:
    """The content. Raises BadRequest where it is empty or too long."""
    if not content.strip() and not has_files:
        raise BadRequest("A reply needs some text")
    if len(content) > MAX_CONTENT_CHARACTERS:
        raise BadRequest(
            f"A reply has at most {MAX_CONTENT_CHARACTERS:,} characters; this one has "
            f"{len(content):,}"
        )
    return content


class Draft(msgspec.Struct, frozen=True):
    """What an agent wrote, checked, with its files in the database."""

    agent: Agent
    conversation_id: int
    content: str
    key: str | None  # the client's own
    client_id: str  # what Chatwoot will know it by
    last_seen: int | None
    is_private: bool
    kept: Kept
    wish: Wish


def new_messages(
    draft: Draft, channel: str | None, request: ReplyRequest | None, now_us: int
) -> tuple[list[Message], int]:
    """The messages of a reply as they are first stored, due at once, in state `sending`; and the
    place of the one that it is answered with, which has its key.
    """
    lines, keys = draft.kept.lines, iter(part_keys(draft.client_id))
    kinds = [line.content_type for line in lines]
    parts, answered = divided(channel, draft.content, kinds, is_private=draft.is_private)
    messages = [
        Message(
            id=0,
            conversation_id=draft.conversation_id,
            sender_type="agent",
            content=part.content,
            created_us=now_us,
            observed_us=now_us,
            client_id=draft.client_id if n == answered else next(keys),
            agent_id=draft.agent.id,
            sender_name=draft.agent.name,
            content_type="text",
            attachments=tuple(lines[place].attachment for place in part.files),
            is_private=draft.is_private,
            delivery_state="sending",
            next_attempt_us=now_us,
            request=request,
            details=_details(request),
        )
        for n, part in enumerate(parts)
    ]
    return messages, answered


def _details(request: ReplyRequest | None) -> MessageDetails | None:
    """What Chatwoot will say of it besides the text, shown at once."""
    if request is None:
        return None
    details = MessageDetails(
        quote=None if request.quoted is None else Quote(request.quoted),
        email=Email(cc=request.cc, bcc=request.bcc) if request.cc or request.bcc else None,
    )
    return None if details == NO_DETAILS else details


def check_window(row: Conversation, draft: Draft, now_us: int) -> None:
    """Raises WindowClosed where it is certain that the channel takes no reply at `now_us`. A note
    has no channel.
    """
    reason = None if draft.is_private else closed_for(row, now_us)
    if reason is not None:
        raise WindowClosed(_CLOSED[reason], replyClosedReason=reason)


async def check_seen(
    connection: Connection, agent: Agent, conversation_id: int, last_seen: int
) -> None:
    """Raises NewerMessages where others wrote after the message `last_seen`."""
    newer = await threads.read_unseen(
        connection, agent.company_id, conversation_id, last_seen, _MAX_NEWER
    )
    others = [message for message in newer if message.agent_id != agent.id]
    if others:
        raise NewerMessages(messages=[message_view(message) for message in others])


async def differs(connection: Connection, known: Message, draft: Draft) -> bool:
    """Whether text, files or what else was asked for are others than those of a known reply: files
    by name and content, as long as that is remembered.
    """
    request, content, lines = known.request or _PLAIN, draft.content, draft.kept.lines
    is_text = request.written == text_digest(content) if request.written else False
    if request.asked != draft.wish.digest or not (is_text or known.content == content):
        return True
    parts = await outbox.read_parts(
        connection, known.conversation_id, part_keys(known.client_id or "")
    )
    ids = [known.id, *(part.id for part in parts)]
    before = await outgoing_files.read_lines(connection, ids)
    if not before:
        count = len(known.attachments) + sum(len(part.attachments) for part in parts)
        return count != len(lines)
    return [(line.name, line.digest) for line in before] != [
        (line.name, line.digest) for line in lines
    ]


async def read_twin(connection: Connection, draft: Draft, now_us: int) -> Message | None:
    """The reply without a key of the last minute that this one repeats: by the same agent, with the
    same text and files, and before the customer wrote again, as whoever answers another question
    with the same word means it.
    """
    since = fresh_key(now_us - _REPEAT_US, "")
    for known in await outbox.read_repeated(
        connection, draft.conversation_id, draft.agent.id, since, _LATEST
    ):
        if (
            known.is_private == draft.is_private
            and not is_further_part(known.client_id)
            and not await differs(connection, known, draft)
        ):
            return known
    return None
