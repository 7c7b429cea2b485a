"""Canned replies of a company."""

from server.core.state.canned_reply_rules import MAX_CANNED_REPLIES, CannedReply
from server.db.engine.database import Connection


async def list_canned_replies(connection: Connection, company_id: int) -> list[CannedReply]:
    """All of them, by shortcut."""
    rows = await connection.fetch_all(
        "SELECT id, shortcut, content FROM omni_canned_replies WHERE company_id = :company_id "
        "ORDER BY shortcut LIMIT :most",
        {"company_id": company_id, "most": MAX_CANNED_REPLIES},
    )
    return [CannedReply(*row) for row in rows]


async def count_canned_replies(connection: Connection, company_id: int) -> int:
    """Count a company's canned replies."""
    number = await connection.fetch_value(
        "SELECT COUNT(*) FROM omni_canned_replies WHERE company_id = :company_id",
        {"company_id": company_id},
    )
    return int(number or 0)


async def read_by_shortcut(
    connection: Connection, company_id: int, shortcut: str
) -> CannedReply | None:
    """Return the company's canned reply with this shortcut; None if there is none."""
    row = await connection.fetch_one(
        "SELECT id, shortcut, content FROM omni_canned_replies WHERE company_id = :company_id "
        "AND shortcut = :shortcut",
        {"company_id": company_id, "shortcut": shortcut},
    )
    return CannedReply(*row) if row else None


async def add_canned_reply(
    connection: Connection, company_id: int, shortcut: str, content: str, now_us: int
) -> int:
    """Returns its id. Raises DuplicateRow when another one has the shortcut."""
    return await connection.insert(
        "INSERT INTO omni_canned_replies (company_id, shortcut, content, updated_at) VALUES "
        "(:company_id, :shortcut, :content, :now)",
        {"company_id": company_id, "shortcut": shortcut, "content": content, "now": now_us},
    )


async def update_canned_reply(
    connection: Connection, company_id: int, reply: CannedReply, now_us: int
) -> bool:
    """False when the company has none of this id. Raises DuplicateRow when another one has the
    shortcut.
    """
    found = await connection.execute(
        "UPDATE omni_canned_replies SET shortcut = :shortcut, content = :content, updated_at = "
        ":now WHERE id = :id AND company_id = :company_id",
        {
            "shortcut": reply.shortcut,
            "content": reply.content,
            "now": now_us,
            "id": reply.id,
            "company_id": company_id,
        },
    )
    return found > 0


async def delete_canned_reply(connection: Connection, company_id: int, reply_id: int) -> bool:
    """False when the company has none of this id."""
    found = await connection.execute(
        "DELETE FROM omni_canned_replies WHERE id = :id AND company_id = :company_id",
        {"id": reply_id, "company_id": company_id},
    )
    return found > 0
