"""Rows come back as they were written, whatever is in them."""

import pytest
from msgspec.structs import replace

from server.core.bidi import without_turning
from server.core.state.entities import (
    Attachment,
    Contact,
    Conversation,
    DeliveryError,
    Message,
    Preview,
)
from server.db.engine.database import Connection, Database
from server.db.migrations import upgrade
from server.db.schema import columns
from server.db.state import store, threads

TEXTS = (
    'it\'s "quoted" \\ and {"json": [1]}',
    "নমস্কার র্ক্ষ্যু 👩‍👩‍👧 \u202eabc\u2028",
    "\x00 \x01 \x1f \x7f \t \r\n end",
    "x" * 150_000,
)
CONVERSATION = Conversation(
    0,
    3,
    "chatwoot",
    "chatwoot_1_2",
    "Ana",
    "Open",
    1_784_365_265_204_000,
    1_784_365_265_204_111,
    1_784_365_265_000_000,
)


@pytest.mark.parametrize("text", TEXTS)
async def test_a_message_is_read_as_it_was_written(database_url: str, text: str) -> None:
    """Controls, quotes, NUL, emoji, long texts; in the row and in the JSON inside it. A file's name
    alone is read without what turns its letters around.
    """
    upgrade(database_url)
    short = text[:160]
    conversation = replace(
        CONVERSATION,
        integration_id=2**62,
        chatwoot_conversation_id=9,
        contact=Contact(1, email=short),
        labels=(short[:50], "b"),
        can_reply=False,
        preview=Preview(short, "customer", has_attachments=True),
    )
    message = Message(
        0,
        0,
        "agent",
        text,
        1_784_365_265_204_123,
        chatwoot_message_id=2**61 + 1,
        sender_name=short[:100],
        attachments=(Attachment(1, "image", name=short),),
        is_private=True,
        delivery_state="failed",
        delivery_error=DeliveryError("channel", short),
    )

    async def work(c: Connection) -> tuple[Conversation | None, list[Message], int, int]:
        conversation_id = await c.insert(
            store._INSERT["social_conversations"], columns.conversation_to_row(conversation)
        )
        row = columns.message_to_row(replace(message, conversation_id=conversation_id))
        message_id = await c.insert(store._INSERT["social_messages"], row)
        read = await store.read_conversation(c, 3, conversation_id)
        return (
            read,
            await threads.read_messages(c, 3, conversation_id, limit=5),
            conversation_id,
            message_id,
        )

    async with Database(database_url, wait_seconds=30) as database:
        read, messages, conversation_id, message_id = await database.transaction(work)
    assert read == replace(conversation, id=conversation_id)
    attachments = (Attachment(1, "image", name=without_turning(short)),)
    assert messages == [
        replace(message, id=message_id, conversation_id=conversation_id, attachments=attachments)
    ]
