"""Files of replies in the database: whole and in order, dropped when Chatwoot has them, and what
nobody waits for goes.
"""

import io
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from server.core.state.entities import Message
from server.core.state.upload_rules import checked_file
from server.core.times import SECOND
from server.db.engine.database import Database
from server.db.engine.sql_connection import Connection
from server.db.migrations import upgrade
from server.db.state import outgoing_files
from server.db.state.outgoing_files import PIECE_BYTES
from server.outgoing.reply_files import ReplyFiles, Upload

CONTENT = [b"small", bytes(range(256)) * 1024 + b"one more", b"x" * PIECE_BYTES]
HOUR_US = 3_600 * SECOND


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    upgrade(database_url)
    async with Database(database_url) as database:
        yield database


def _upload(content: bytes) -> Upload:
    source = io.BytesIO(content)

    async def read(most: int) -> bytes:
        return source.read(most)

    return Upload(checked_file("a.png", "image/png", len(content)), read)


async def _reply(
    database: Database, state: str, age_us: int = 0, contents: list[bytes] | None = None
) -> Message:
    """A reply with these files, kept so long ago."""
    kept = await ReplyFiles(database).keep([_upload(content) for content in contents or CONTENT])

    async def write(connection: Connection) -> int:
        conversation = await connection.insert(
            "INSERT INTO social_conversations (company_id, platform, status) VALUES (1, "
            "'chatwoot', 'Open')",
            {},
        )
        message_id = await connection.insert(
            "INSERT INTO social_messages (conversation_id, sender_type, omni_delivery_state) "
            "VALUES (:conversation, 'agent', :state)",
            {"conversation": conversation, "state": state},
        )
        outgoing_files.pipeline_lines(
            connection, kept.id, message_id, kept.lines, 100 * HOUR_US - age_us
        )
        await connection.execute(
            "UPDATE omni_outgoing_pieces SET created_at = :at WHERE upload = :upload",
            {"at": 100 * HOUR_US - age_us, "upload": kept.id},
        )
        return message_id

    message_id = await database.transaction(write)
    return Message(
        message_id, 1, "agent", "", None, attachments=tuple(line.attachment for line in kept.lines)
    )


async def _contents(database: Database, message: Message) -> list[bytes] | None:
    async with ReplyFiles(database).of(message) as files:
        return None if files is None else [file.content for file in files]


async def test_files_come_back_whole_and_in_order(database: Database) -> None:
    """Smaller than a piece, larger, and just one piece long; a reply without files has none."""
    message = await _reply(database, "sending")
    assert await _contents(database, message) == CONTENT
    assert await _contents(database, Message(1, 1, "agent", "text", None)) == []


async def test_dropped_files_are_said_to_be_gone(database: Database) -> None:
    """And not sent as empty ones; their lines stay, for the key's sake."""
    message = await _reply(database, "sent")
    await ReplyFiles(database).drop(message.id)
    assert await _contents(database, message) is None
    assert len(await database.read(lambda c: outgoing_files.read_lines(c, [message.id]))) == len(
        CONTENT
    )


async def test_a_file_that_lacks_a_piece_is_gone(database: Database) -> None:
    """Half a picture reaches nobody."""
    message = await _reply(database, "sending")
    await database.transaction(
        lambda c: c.execute("DELETE FROM omni_outgoing_pieces WHERE position = 1 AND piece = 1")
    )
    assert await _contents(database, message) is None


async def test_a_piece_written_twice_is_one(database: Database) -> None:
    """The answer to its COMMIT was lost, so it was written again."""
    for _ in range(2):
        await database.transaction(lambda c: outgoing_files.write_piece(c, "u", 0, 0, b"once", 1))
    assert list(await database.fetch_all("SELECT content FROM omni_outgoing_pieces")) == [
        (b"once",)
    ]


async def test_content_nobody_waits_for_goes(database: Database) -> None:
    """Of sent replies and of uploads that became none, after an hour; what is sending or failed
    stays.
    """
    waiting = [
        await _reply(database, state, 2 * HOUR_US, [b"kept"]) for state in ("sending", "failed")
    ]
    sent = await _reply(database, "sent", 2 * HOUR_US, [b"gone"])
    young = await _reply(database, "sent", 0, [b"young"])
    await database.transaction(
        lambda c: outgoing_files.write_piece(c, "orphan", 0, 0, b"nobody's", 98 * HOUR_US)
    )
    await database.transaction(
        lambda c: outgoing_files.write_piece(c, "under way", 0, 0, b"somebody's", 100 * HOUR_US)
    )
    assert await _trim(database, lambda c: outgoing_files.trim_content(c, 99 * HOUR_US, 1)) == 2
    assert [await _contents(database, message) for message in waiting] == [[b"kept"], [b"kept"]]
    assert await _contents(database, sent) is None
    assert await _contents(database, young) == [b"young"]
    assert list(
        await database.fetch_all(
            "SELECT content FROM omni_outgoing_pieces WHERE upload IN ('orphan', 'under way')"
        )
    ) == [(b"somebody's",)]


async def test_old_files_go_whatever_became_of_their_reply(database: Database) -> None:
    """With their lines."""
    old, new = await _reply(database, "failed", 50 * HOUR_US), await _reply(database, "failed")
    assert await _trim(database, lambda c: outgoing_files.trim_lines(c, 60 * HOUR_US, 1)) == 1
    assert await _contents(database, old) is None
    assert await database.read(lambda c: outgoing_files.read_lines(c, [old.id])) == []
    assert await _contents(database, new) == CONTENT


async def _trim(database: Database, call: Callable[[Connection], Awaitable[int]]) -> int:
    """As retention does it: until there is nothing left."""
    whole = 0
    while count := await database.transaction(call):
        whole += count
    return whole
