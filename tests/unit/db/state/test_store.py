"""Rows come back as they were written, whatever is in them."""

import pytest
from msgspec.structs import replace

from server.core.bidi import without_turning
from server.core.chatwoot.changes import Change
from server.core.state.entities import Attachment, Contact, Conversation, DeliveryError, Message
from server.core.state.previews import RowPreview
from server.db.engine.database import Connection, Database
from server.db.migrations import upgrade
from server.db.schema import columns
from server.db.state import row_changes, store, threads
from server.db.state.working_set_loads import load_working_set
from server.db.state.working_set_saves import save_working_set
from tests import crm
from tests.kit.mariadb import MariaDB
from tests.unit.states import SOURCE, at, message_change

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
        preview=RowPreview(short, "customer", has_attachments=True),
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
            row_changes.INSERTS["social_conversations"], columns.conversation_to_row(conversation)
        )
        row = columns.message_to_row(replace(message, conversation_id=conversation_id))
        message_id = await c.insert(row_changes.INSERTS["social_messages"], row)
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


async def test_what_the_crm_writes_between_reading_and_writing_stays(mariadb: MariaDB) -> None:
    """Rows are read without a lock: of the columns that the CRM writes as well we write those alone
    that were told anew; and a column that moves by itself is held still.
    """
    url = mariadb.create_database()
    upgrade(url)
    moves = "ALTER TABLE social_conversations MODIFY created_at DATETIME(6) NULL ON UPDATE NOW(6)"
    crm.execute(url, moves)
    async with Database(url, wait_seconds=30) as database:
        await database.transaction(lambda c: _take(c, message_change(version=1)))
        created = crm.execute(url, "SELECT created_at FROM social_conversations")

        async def overtaken(c: Connection) -> None:
            later = message_change("Later", number=89, version=2)
            told = [(SOURCE, message_change(version=1)), (SOURCE, later)]
            streams, working_set = await load_working_set(c, told)
            crm.execute(
                url,
                "UPDATE social_conversations SET status = 'Closed', external_user_name = 'Theirs', "
                "external_user_id = 'theirs', created_at = created_at",
            )
            crm.execute(url, "UPDATE social_messages SET content = 'theirs', sender_type = 'agent'")
            working_set.apply(later, SOURCE, at(10))
            [entry] = working_set.entries.values()
            entry.messages[0].is_dirty = True
            await save_working_set(c, working_set, streams, at(10))

        await database.transaction(overtaken)
    [row] = crm.execute(url, "SELECT * FROM social_conversations")
    assert (row["status"], row["external_user_name"]) == ("Closed", "Theirs")
    assert row["external_user_id"] == "theirs"
    assert [{"created_at": row["created_at"]}] == created
    assert row["omni_seq"] == 3
    found = crm.execute(url, "SELECT content, sender_type FROM social_messages ORDER BY id")
    assert found == [
        {"content": "theirs", "sender_type": "agent"},
        {"content": "Later", "sender_type": "customer"},
    ]


async def _take(c: Connection, change: Change) -> None:
    streams, working_set = await load_working_set(c, [(SOURCE, change)])
    working_set.apply(change, SOURCE, at(5))
    await save_working_set(c, working_set, streams, at(5))
