"""Files of replies until Chatwoot has them. The content is kept in pieces, so that no statement
grows with a file, and goes when Chatwoot has it; the line that names a file stays as long as its
reply may be asked for again by its Idempotency-Key.
"""

from collections.abc import Sequence

import msgspec

from server.core.state.upload_rules import FileLine
from server.db.engine.driver_adapters import IntList
from server.db.engine.sql_connection import Connection, Row

PIECE_BYTES = 262_144


class OutgoingFile(msgspec.Struct, frozen=True):
    """A file of a reply with its content, until Chatwoot has it."""

    line: FileLine
    content: bytes


async def write_piece(
    connection: Connection, upload: str, position: int, piece: int, content: bytes, now_us: int
) -> None:
    """One piece; written again, it is the same piece."""
    await connection.execute(
        "REPLACE INTO omni_outgoing_pieces (upload, position, piece, content, created_at) "
        "VALUES (:upload, :position, :piece, :content, :now)",
        {"upload": upload, "position": position, "piece": piece, "content": content, "now": now_us},
    )


def pipeline_lines(
    connection: Connection,
    upload: str,
    message_id: int,
    lines: Sequence[FileLine],
    now_us: int,
    *,
    first: int = 0,
) -> None:
    """Whose the pieces of that upload are; in the transaction that makes the reply. `first`: the
    position of the first of these files among all of the upload, of which other messages may have
    the others.
    """
    connection.pipeline_many(
        "INSERT INTO omni_outgoing_files (message_id, position, upload, name, content_type, "
        "size_bytes, digest, created_at) "
        "VALUES (:message_id, :position, :upload, :name, :content_type, :size_bytes, :digest, "
        ":now)",
        [
            {"message_id": message_id, "position": position, "upload": upload, "now": now_us}
            | msgspec.structs.asdict(line)
            for position, line in enumerate(lines, first)
        ],
    )


async def read_lines(connection: Connection, message_ids: Sequence[int]) -> list[FileLine]:
    """The files of a reply, which may be several messages, in order."""
    rows = await connection.fetch_all(
        "SELECT name, content_type, size_bytes, digest FROM omni_outgoing_files WHERE message_id "
        "IN (:ids) ORDER BY position LIMIT 100",
        {"ids": IntList(message_ids)},
    )
    return [FileLine(*row) for row in rows]


async def read_file(connection: Connection, message_id: int, index: int) -> OutgoingFile | None:
    """One file of a message with its content; None when it is not, or not wholly, here any more.
    `index`: in the message's attachments.
    """
    row = await connection.fetch_one(
        "SELECT name, content_type, size_bytes, digest, upload, position FROM "
        "omni_outgoing_files WHERE message_id = :id ORDER BY position LIMIT 1 OFFSET :index",
        {"id": message_id, "index": index},
    )
    if row is None:
        return None
    *described, upload, position = row
    line, content = FileLine(*described), bytearray()
    for piece in range(-(-line.size_bytes // PIECE_BYTES)):
        found = await connection.fetch_value(
            "SELECT content FROM omni_outgoing_pieces WHERE upload = :upload AND position = "
            ":position AND piece = :piece",
            {"upload": upload, "position": position, "piece": piece},
        )
        if found is None:
            return None
        content += found
    return OutgoingFile(line, bytes(content)) if len(content) == line.size_bytes else None


async def drop_content(connection: Connection, message_id: int) -> None:
    """Chatwoot has the files of this reply."""
    rows = await connection.fetch_all(
        "SELECT upload, position FROM omni_outgoing_files WHERE message_id = :id LIMIT 100",
        {"id": message_id},
    )
    await _drop(connection, rows)


async def trim_content(connection: Connection, orphan_us: int, limit: int) -> int:
    """Delete content that is not needed: of replies that are sent, and, older than `orphan_us`, of
    uploads that never became a reply.
    """
    rows = await connection.fetch_all(
        "SELECT DISTINCT p.upload, p.position FROM omni_outgoing_pieces p LEFT JOIN "
        "omni_outgoing_files f ON f.upload = p.upload AND f.position = p.position "
        "LEFT JOIN social_messages m ON m.id = f.message_id WHERE p.created_at < :orphan "
        "AND (f.upload IS NULL OR m.id IS NULL OR m.omni_delivery_state NOT IN ('sending', "
        "'failed')) LIMIT :limit",
        {"orphan": orphan_us, "limit": limit},
    )
    await _drop(connection, rows)
    return len(rows)


async def _drop(connection: Connection, places: Sequence[Row]) -> None:
    """Files of one upload go one by one: each may be another message's."""
    for upload, position in places:
        await connection.execute(
            "DELETE FROM omni_outgoing_pieces WHERE upload = :upload AND position = :position",
            {"upload": upload, "position": position},
        )


async def trim_lines(connection: Connection, before_us: int, limit: int) -> int:
    """Files older than that, whatever became of their reply; a failed one can then no longer be
    sent again.
    """
    rows = await connection.fetch_all(
        "SELECT DISTINCT upload FROM omni_outgoing_files WHERE created_at < :before LIMIT :limit",
        {"before": before_us, "limit": limit},
    )
    for (upload,) in rows:
        await connection.execute(
            "DELETE FROM omni_outgoing_pieces WHERE upload = :upload", {"upload": upload}
        )
        await connection.execute(
            "DELETE FROM omni_outgoing_files WHERE upload = :upload", {"upload": upload}
        )
    return len(rows)
