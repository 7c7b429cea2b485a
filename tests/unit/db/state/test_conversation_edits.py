"""One edit of a conversation: what it gives to be published, and what it does when it fails."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from server.core.state.projection import WorkingSet
from server.core.state.tracked import TrackedConversation
from server.core.wire.event_frames import EventBatch
from server.db.engine.database import Connection, Database
from server.db.state import eventlog, store
from server.db.state.conversation_edits import ConversationEditor
from server.db.state.working_set_loads import load_working_set
from server.db.state.working_set_saves import save_working_set
from server.errors import Conflict, DatabaseRetryable, NotFound
from tests.unit.databases import fresh_sqlite
from tests.unit.states import SOURCE, at, conversation_change

COMPANY = SOURCE.company_id


class Desk:
    """A conversation in a database, and what was published of it."""

    def __init__(self, database: Database, conversation_id: int) -> None:
        self.database = database
        self.conversation_id = conversation_id
        self.published: list[EventBatch] = []
        self.editor = ConversationEditor(database, self.published.append)

    async def status(self) -> str:
        row = await self.database.read(
            lambda c: store.read_conversation(c, COMPANY, self.conversation_id)
        )
        assert row is not None
        return row.status


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async def write(connection: Connection) -> int:
        change = conversation_change(5)
        streams, working_set = await load_working_set(connection, [(SOURCE, change)])
        working_set.apply(change, SOURCE, at(5))
        await save_working_set(connection, working_set, streams, at(5))
        return await store.find_conversation(connection, SOURCE.integration_id, 481) or 0

    async with Database(fresh_sqlite(tmp_path / "omni.db")) as database:
        yield Desk(database, await database.transaction(write))


async def close(working_set: WorkingSet, entry: TrackedConversation) -> str:
    working_set.set_conversation(entry, replace(entry.row, status="Closed"), at(6), at(6))
    return entry.row.status


async def test_an_edit_is_saved_and_its_event_published(desk: Desk) -> None:
    """Once, with the next number of the log."""
    assert await desk.editor.edit(COMPANY, desk.conversation_id, close) == "Closed"
    assert await desk.status() == "Closed"
    assert [(batch.first_seq, len(batch.bodies)) for batch in desk.published] == [(2, 1)]


async def test_an_edit_that_is_run_again_is_published_once(desk: Desk) -> None:
    """As after a deadlock: what the first run made is gone with its rollback."""
    tries = 0

    async def change(working_set: WorkingSet, entry: TrackedConversation) -> None:
        nonlocal tries
        tries += 1
        await close(working_set, entry)
        if tries == 1:
            raise DatabaseRetryable

    await desk.editor.edit(COMPANY, desk.conversation_id, change)
    assert tries == 2
    assert [(batch.first_seq, len(batch.bodies)) for batch in desk.published] == [(2, 1)]


async def test_an_edit_that_is_refused_changes_nothing(desk: Desk) -> None:
    async def change(working_set: WorkingSet, entry: TrackedConversation) -> None:
        await close(working_set, entry)
        raise Conflict

    with pytest.raises(Conflict):
        await desk.editor.edit(COMPANY, desk.conversation_id, change)
    assert (await desk.status(), desk.published) == ("Open", [])


async def test_another_companys_conversation_is_not_found(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.editor.edit(COMPANY + 1, desk.conversation_id, close)
    assert (await desk.status(), desk.published) == ("Open", [])


async def test_each_log_begins_with_an_epoch_of_its_own(desk: Desk) -> None:
    async def begin(connection: Connection) -> list[str]:
        streams = await eventlog.lock_streams(connection, [COMPANY, COMPANY + 1])
        first = [stream.epoch for stream in streams.values()]
        return [*first, (await eventlog.start_epoch(connection, COMPANY)).epoch]

    epochs = await desk.database.transaction(begin)
    assert len(set(epochs)) == len(epochs) == 3
