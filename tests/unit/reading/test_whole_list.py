"""The whole list while conversations move: each is in it once, whatever happens between two of its
pages.
"""

from pathlib import Path
from typing import Any

import pytest

from server.db.access.agent_rows import Agent
from server.db.engine.database import Database
from server.db.state.lists import Filters
from server.reading.inbox import Inbox
from tests.unit.databases import fresh_sqlite

AGENT = Agent(1, 1, "1", "Tomas", "agent", None, is_active=True, valid_after_us=0)
_PAGE = 5
_INSERT = (
    "INSERT INTO social_conversations (id, company_id, platform, status, last_message_at, "
    "created_at, updated_at) "
    "VALUES (:id, 1, 'chatwoot', :status, :at, :at, :at)"
)


def _moment(second: int) -> str:
    return f"2026-07-18 09:{second // 60:02d}:{second % 60:02d}.000000"


@pytest.mark.parametrize("status", [None, "Open"])
@pytest.mark.parametrize("count", [0, 4, 5, 13])
async def test_a_row_that_moves_up_between_two_pages_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, status: str | None
) -> None:
    """The last one gets a message while the first page is on its way: read by edges it would be on
    no page, or on two.
    """
    monkeypatch.setattr("server.reading.inbox._PAGE", _PAGE)
    async with Database(fresh_sqlite(tmp_path / "list.db")) as database:
        for number in range(1, count + 1):
            row = {"id": number, "status": "Open", "at": _moment(number)}
            # awaited at once
            await database.transaction(lambda c: c.execute(_INSERT, row))  # noqa: B023
        inbox: Any = Inbox(database, None, lambda _batch: None, None, own_tokens=None)  # type: ignore[arg-type]
        listed, moved = [], 0
        async for page in inbox.pages(AGENT, Filters(status)):
            listed += [row["id"] for row in page]
            moved += 1
            change = "UPDATE social_conversations SET last_message_at = :at WHERE id = :id"
            for number in (moved, count - moved):  # the oldest up, another one down
                values = {
                    "at": _moment(100 + moved) if number == moved else _moment(0),
                    "id": number,
                }
                # awaited at once
                await database.transaction(lambda c: c.execute(change, values))  # noqa: B023
        assert sorted(listed) == list(range(1, count + 1))
        assert listed == sorted(listed, reverse=True)


async def test_what_was_closed_meanwhile_is_not_among_the_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row may be newer than the list, but not another one than was asked for."""
    monkeypatch.setattr("server.reading.inbox._PAGE", _PAGE)
    async with Database(fresh_sqlite(tmp_path / "list.db")) as database:
        for number in range(1, 13):
            row = {"id": number, "status": "Open", "at": _moment(number)}
            # awaited at once
            await database.transaction(lambda c: c.execute(_INSERT, row))  # noqa: B023
        inbox: Any = Inbox(database, None, lambda _batch: None, None, own_tokens=None)  # type: ignore[arg-type]
        listed: list[int] = []
        async for page in inbox.pages(AGENT, Filters("Open")):
            listed += [row["id"] for row in page]
            await database.transaction(
                lambda c: c.execute(
                    "UPDATE social_conversations SET status = 'Closed' WHERE id = 2", {}
                )
            )
        assert listed == [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 1]
