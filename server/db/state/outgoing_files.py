"""Files of replies until Chatwoot has them. The content is kept in pieces, so that no statement
grows with a file, and goes when Chatwoot has it; the line that names a file stays as long as its
reply may be asked for again by its Idempotency-Key.
"""

from collections.abc import Sequence

import msgspec

from server.core.state.upload_rules import FileLine
from server.db.engine.sql_connection import Connection

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
    connection: Connection, upload: str, message_id: int, lines: Sequence[FileLine], now_us: int
) -> None:
    """Whose the pieces of that upload are; in the transaction that makes the reply."""
    connection.pipeline_many(
        "INSERT INTO omni_outgoing_files (message_id, position, upload, name, content_type, "
        "size_bytes, digest, created_at) "
        "VALUES (:message_id, :position, :upload, :name, :content_type, :size_bytes, :digest, "
        ":now)",
        [
            {"message_id": message_id, "position": position, "upload": upload, "now": now_us}
            | msgspec.structs.asdict(line)
            for position, line in enumerate(lines)
        ],
    )


async def read_lines(connection: Connection, message_id: int) -> list[FileLine]:
    """The files of a reply, in order."""
    rows = await connection.fetch_all(
        "SELECT name, content_type, size_bytes, digest FROM omni_outgoing_files WHERE message_id "
        "= :id ORDER BY position LIMIT 100",
        {"id": message_id},
    )
    return [FileLine(*row) for row in rows]


async def read_file(connection: Connection, message_id: int, position: int) -> OutgoingFile | None:
    """One file with its content; None when it is not, or not wholly, here any more."""
    row = await connection.fetch_one(
        "SELECT name, content_type, size_bytes, digest, upload FROM omni_outgoing_files WHERE "
        "message_id = :id AND position = :position",
        {"id": message_id, "position": position},
    )
    if row is None:
        return None
    *described, upload = row
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
    await connection.execute(
        "DELETE FROM omni_outgoing_pieces WHERE upload IN (SELECT upload FROM "
        "omni_outgoing_files WHERE message_id = :id)",
        {"id": message_id},
    )


async def trim_content(connection: Connection, orphan_us: int, limit: int) -> int:
    """Delete content that is not needed: of replies that are sent, and, older than `orphan_us`, of
    uploads that never became a reply.
    """
    rows = await connection.fetch_all(
        "SELECT DISTINCT p.upload FROM omni_outgoing_pieces p LEFT JOIN omni_outgoing_files f ON "
        "f.upload = p.upload "
        "LEFT JOIN social_messages m ON m.id = f.message_id WHERE p.created_at < :orphan "
        "AND (f.upload IS NULL OR m.id IS NULL OR m.omni_delivery_state NOT IN ('sending', "
        "'failed')) LIMIT :limit",
        {"orphan": orphan_us, "limit": limit},
    )
    for (upload,) in rows:
        await connection.execute(
            "DELETE FROM omni_outgoing_pieces WHERE upload = :upload", {"upload": upload}
        )
    return len(rows)


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
