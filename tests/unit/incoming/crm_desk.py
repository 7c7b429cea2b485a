"""The follower and the watch of the CRM's rows on a database, and the CRM beside them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Any

import pymysql
from sqlalchemy import make_url

from server.core.wire.event_frames import EventBatch
from server.db.engine.database import Database
from server.db.state import eventlog
from server.incoming.crm_rows import CrmRows
from server.incoming.crm_watch import CrmWatch
from tests import crm

_CONVERSATION = (
    "INSERT INTO social_conversations (id, company_id, platform, external_user_name) VALUES "
    "({n}, {company}, 'facebook', 'N')"
)
_MESSAGE = (
    "INSERT INTO social_messages (conversation_id, sender_type, content, created_at) VALUES "
    "({n}, 'customer', '{text}', '{at}')"
)


class Desk:
    """Follower and watch on a database, and what they published."""

    def __init__(self, database: Database, url: str) -> None:
        self.database = database
        self.url = url
        self.batches: list[EventBatch] = []
        self.rows = CrmRows(database, self.batches.append)
        self.watch = CrmWatch(database, url, watched=lambda: [1])

    async def follow(self, most: int = 50) -> None:
        """Until nothing is left to be done now."""
        for _ in range(most):
            if not await self.rows.turn():
                return

    def events(self, company_id: int) -> int:
        return sum(len(batch.bodies) for batch in self.batches if batch.company_id == company_id)

    async def stream(self, company_id: int) -> Any:
        return (await self.database.read(lambda c: eventlog.read_streams(c, [company_id])))[
            company_id
        ]

    async def one(self, sql: str) -> Any:
        rows = await self.database.fetch_all(sql)
        return rows[0][0]


@asynccontextmanager
async def open_desk(url: str) -> AsyncIterator[Desk]:
    async with Database(url, wait_seconds=30) as database:
        yield Desk(database, url)


@asynccontextmanager
async def settled_desk(url: str) -> AsyncIterator[Desk]:
    """All is noted, compared and told: a further look finds nothing to do."""
    async with open_desk(url) as desk:
        write(url, conversation(1), conversation(2))
        await desk.watch.turn()
        await desk.follow()
        before = (await desk.stream(1)).epoch
        await desk.watch.turn()
        await desk.follow()
        assert (await desk.stream(1)).epoch == before
        yield desk


@contextmanager
def crm_session(url: str) -> Iterator[Any]:
    """A connection of the CRM's that commits when it is told to."""
    at = make_url(url)
    with closing(
        pymysql.connect(
            host=at.host,
            port=at.port or 3306,
            user=at.username,
            password=at.password or "",
            database=at.database,
        )
    ) as connection:
        yield connection


def write(url: str, *statements: str) -> None:
    for statement in statements:
        crm.execute(url, statement)


def message(n: int, text: str = "Hello", at: str = "2026-07-18 09:01:00") -> str:
    return _MESSAGE.format(n=n, text=text, at=at)


def conversation(n: int, company: int = 1) -> str:
    return _CONVERSATION.format(n=n, company=company)
