"""A real database with two companies, each with a client that took a snapshot once and has had only
events since.
"""

import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from server.core.chatwoot.changes import Change
from server.core.state.projection import WorkingSet
from server.core.state.tracked import Source
from server.core.state.views import agent_view, message_view
from server.core.wire.event_frames import EventBatch
from server.db.engine.database import Connection, Database
from server.db.state import (
    crm_comparisons,
    eventlog,
    lists,
    threads,
    working_set_loads,
    working_set_saves,
)
from server.db.state.lists import Filters
from tests.kit.client_model import ClientModel, Event
from tests.unit.databases import fresh_sqlite
from tests.unit.states import (
    at,
)

AGENT_ID, COMPANIES = 4, (1, 2)


SOURCES = {1: Source(3, 1), 2: Source(4, 2)}


Act = Callable[["Office"], Awaitable[None]]


class Office:
    """A real database, and for each company a client that took a snapshot once and has only had
    events since.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clients = {company_id: ClientModel(AGENT_ID) for company_id in COMPANIES}
        self.seqs = dict.fromkeys(COMPANIES, 0)
        self.clock = 1000

    def now(self) -> int:
        self.clock += 1
        return at(self.clock)

    async def transact(
        self, company_ids: Sequence[int], work: Callable[[Connection], Awaitable[WorkingSet]]
    ) -> None:
        """One transaction as the server makes them; then the clients get its events."""

        async def write(c: Connection) -> list[EventBatch]:
            streams = await eventlog.lock_streams(c, company_ids, "e1")
            return await working_set_saves.save_working_set(c, await work(c), streams, self.now())

        for batch in await self.database.transaction(write):
            self.hear(batch)

    def hear(self, batch: EventBatch) -> None:
        """The company's client gets these events."""
        for n, body in enumerate(batch.bodies):
            event = Event.parse(json.loads(body))
            assert event.seq == batch.first_seq + n == self.seqs[batch.company_id] + 1
            self.seqs[batch.company_id] = event.seq
            self.clients[batch.company_id].apply(event)

    async def tell(
        self, changes: Sequence[tuple[int, Change]], received_us: int | None = None
    ) -> None:
        """A batch of ingest: deliveries of several companies in one transaction."""
        told = [(SOURCES[company_id], change) for company_id, change in changes]

        async def work(c: Connection) -> WorkingSet:
            _, working_set = await working_set_loads.load_working_set(c, told)
            for source, change in told:
                working_set.apply(change, source, received_us or self.now())
            return working_set

        await self.transact(COMPANIES, work)

    async def snapshot(self, company_id: int) -> ClientModel:
        """What REST would give now."""
        model = ClientModel(AGENT_ID)

        async def read(c: Connection) -> list[Any]:
            views = []
            for row, read_count in await lists.list_conversations(
                c, company_id, AGENT_ID, Filters(), 1000
            ):
                messages = await threads.read_messages(c, company_id, row.id, limit=1000)
                views.append(
                    agent_view(row, read_count)
                    | {"messages": [message_view(message) for message in messages]}
                )
            return views

        model.load(json.loads(msgspec.json.encode(await self.database.read(read))))
        return model

    async def check(self) -> None:
        """The client that only had events shows what a new one would, and rows say what their
        messages have them say: else a comparison would send every client back to a snapshot.
        """
        for company_id in COMPANIES:
            assert self.clients[company_id] == await self.snapshot(company_id)
        _, odd = await self.database.snapshot(lambda c: crm_comparisons.find_miscounted(c, 0, 100))
        assert odd == []

    async def some_row(self, c: Connection, company_id: int, number: int) -> int | None:
        rows = await c.fetch_all(
            "SELECT id FROM social_conversations WHERE company_id = :c ORDER BY id",
            {"c": company_id},
        )
        return rows[number % len(rows)][0] if rows else None


@asynccontextmanager
async def open_office() -> AsyncIterator[Office]:
    with tempfile.TemporaryDirectory() as directory:
        async with Database(fresh_sqlite(Path(directory) / "office.db")) as database:
            yield Office(database)
