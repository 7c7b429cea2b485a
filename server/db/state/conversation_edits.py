"""One edit of a conversation: the company's stream is locked, the conversation loaded, changed and
saved with its events, all in one transaction; the events are published after its commit.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from server.core.state.projection import WorkingSet
from server.core.state.tracked import TrackedConversation
from server.core.wire.event_frames import EventBatch
from server.db.engine.database import Connection, Database
from server.db.state import eventlog, store
from server.db.state.working_set_saves import save_working_set
from server.errors import NotFound

T = TypeVar("T")
Publish = Callable[[EventBatch], None]
Change = Callable[[WorkingSet, TrackedConversation], Awaitable[T]]
Write = Callable[[Connection], Awaitable[tuple[T, list[EventBatch]]]]


async def edit_conversation(
    connection: Connection, company_id: int, conversation_id: int, change: Change[T], now_us: int
) -> tuple[T, list[EventBatch]]:
    """Lock the company's stream, load the conversation, have it changed, and save it with its
    events.

    `change` gets the working set and the conversation as it is under the lock; it may read and
    write more in the same transaction, and may be run again with it. Returns what it returned, and
    the events, to be published after the commit. Raises NotFound, also for another company's
    conversation, and CompanyBusy.
    """
    streams = await eventlog.lock_streams(connection, [company_id])
    entry = await store.track_conversation(connection, company_id, conversation_id)
    if entry is None:
        raise NotFound
    working_set = WorkingSet.of(entry)
    result = await change(working_set, entry)
    return result, await save_working_set(connection, working_set, streams, now_us)


class ConversationEditor:
    """Runs edits, and publishes their events after the commit."""

    def __init__(self, database: Database, publish: Publish) -> None:
        self._database = database
        self._publish = publish

    def now_us(self) -> int:
        """The database's clock, from memory."""
        return self._database.clock.now_us()

    async def edit(self, company_id: int, conversation_id: int, change: Change[T]) -> T:
        """One `edit_conversation` in a transaction of its own. Raises what that raises, or what a
        transaction may.
        """
        return await self.run(
            lambda connection: edit_conversation(
                connection, company_id, conversation_id, change, self.now_us()
            )
        )

    async def run(self, write: Write[T], *, held_bytes: int = 0) -> T:
        """A transaction that returns the events it appended; they are published once it has been
        committed. `held_bytes` and what it raises are a transaction's.
        """
        result, batches = await self._database.transaction(write, held_bytes=held_bytes)
        for batch in batches:
            self._publish(batch)
        return result
