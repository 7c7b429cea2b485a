"""What an agent wrote, before it becomes a reply: checks, and whether it is one that is here
already.
"""

import re
from collections.abc import Sequence

from server.core.state.entities import Message, message_view
from server.core.state.upload_rules import FileLine
from server.core.times import SECOND
from server.db.access.agent_rows import Agent
from server.db.engine.database import Connection
from server.db.state import outbox, outgoing_files, threads
from server.errors import BadRequest, NewerMessages

MAX_CONTENT_CHARACTERS = 150_000  # Chatwoot's own limit (message.rb)
_KEY = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_MAX_NEWER = 50
_REPEAT_US = 60 * SECOND  # a reply without a key that equals one this young is the same one
_LATEST = "auto.~"  # behind every fresh key


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


def new_reply(
    agent: Agent, conversation_id: int, content: str, key: str, now_us: int, *, is_private: bool
) -> Message:
    """The reply as it is first stored: due at once, state `sending`."""
    return Message(
        id=0,
        conversation_id=conversation_id,
        sender_type="agent",
        content=content,
        created_us=now_us,
        observed_us=now_us,
        client_id=key,
        agent_id=agent.id,
        sender_name=agent.name,
        content_type="text",
        is_private=is_private,
        delivery_state="sending",
        next_attempt_us=now_us,
    )


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


async def differs(
    connection: Connection, known: Message, content: str, lines: Sequence[FileLine]
) -> bool:
    """Whether text or files are others than those of a known reply: files by name and content, as
    long as that is remembered.
    """
    if known.content != content or len(known.attachments) != len(lines):
        return True
    before = await outgoing_files.read_lines(connection, known.id) if lines else []
    return bool(before) and [(line.name, line.digest) for line in before] != [
        (line.name, line.digest) for line in lines
    ]


async def read_twin(
    connection: Connection,
    agent: Agent,
    conversation_id: int,
    content: str,
    lines: Sequence[FileLine],
    now_us: int,
    *,
    is_private: bool,
) -> Message | None:
    """The reply without a key of the last minute that this one repeats: by the same agent, with the
    same text and files, and before the customer wrote again, as whoever answers another question
    with the same word means it.
    """
    since = fresh_key(now_us - _REPEAT_US, "")
    for known in await outbox.read_repeated(connection, conversation_id, agent.id, since, _LATEST):
        if known.is_private == is_private and not await differs(connection, known, content, lines):
            return known
    return None
