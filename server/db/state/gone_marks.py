"""Marking a conversation as gone: Chatwoot said 404 when somebody touched it, or when it was asked
for.
"""

from server.core.state.projection import Board
from server.core.wire.event_frames import EventBatch
from server.db.access.accounts import Integration
from server.db.engine.database import Connection, Database
from server.db.state import eventlog, store

_PLACE = (-1, 0)


async def mark_gone(
    database: Database, integration: Integration, display_id: int
) -> list[EventBatch]:
    """It leaves the open ones, with its event, and can be read. Returns what is to be published;
    nothing where it was marked before.
    """

    async def write(connection: Connection) -> list[EventBatch]:
        streams = await eventlog.lock_streams(
            connection, [integration.company_id], store.new_epoch()
        )
        conversation_id = await store.find_conversation(connection, integration.id, display_id)
        entry = await store.entry_by_id(connection, integration.company_id, conversation_id or 0)
        if entry is None or entry.row.gone_us is not None:
            return []
        board, now_us = Board({_PLACE: entry}), database.clock.now_us()
        board.mark_gone(entry, now_us)
        return await store.save_board(connection, board, streams, now_us)

    return await database.transaction(write)
