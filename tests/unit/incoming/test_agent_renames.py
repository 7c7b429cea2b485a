"""Agents' new names: what Chatwoot is asked for, how often, and what it may cost everybody else."""

import asyncio
import json
import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.chatwoot import ChatwootClient
from server.chatwoot.answers import JsonObject
from server.core.chatwoot.agent_names import AGENT, Rename
from server.core.chatwoot.payloads import parse_delivery
from server.core.state.tracked import Source
from server.core.times import SECOND
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.db.engine.lane_jobs import Call
from server.incoming.agent_renames import AgentRenames
from server.incoming.incoming_changes import IncomingChange
from server.incoming.ingest import Ingester
from server.integrations.directory import Directory
from server.lab.chatwoot_sim import ChatwootSim, serving
from tests.kit.eventually import eventually
from tests.unit.databases import fresh_sqlite
from tests.unit.integration_rows import COMPANY, add_integration

YEAR = 365 * 24 * 3_600


class _Client(ChatwootClient):
    """Notes when agents are asked for; `may_answer`: answers come back."""

    def __init__(self, sim: ChatwootSim, http: httpx.AsyncClient) -> None:
        super().__init__(
            base_url=sim.base_url,
            account_id=sim.account.id,
            access_token=sim.admin.access_token,
            http=http,
        )
        self.asked_at: list[float] = []
        self.was_answered, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_answer.set()

    async def list_agents(self) -> list[JsonObject]:
        self.asked_at.append(time.monotonic())
        found = await super().list_agents()
        self.was_answered.set()
        await self.may_answer.wait()
        return found


class _Database(Database):
    """Notes when transactions began and ended."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.spans: list[tuple[float, float]] = []

    async def transaction(self, call: Call[Any], **more: Any) -> Any:
        began = time.monotonic()
        result = await super().transaction(call, **more)
        self.spans.append((began, time.monotonic()))
        return result


class _Place:
    """What renames, and a Chatwoot with one agent."""

    def __init__(self, database: _Database, sim: ChatwootSim, http: httpx.AsyncClient) -> None:
        self.database, self.client = database, _Client(sim, http)
        self.ada = sim.add_user("Ada", account=sim.account, inboxes=(sim.inbox,))
        self.directory = Directory(
            database, Vault(""), tolerance_seconds=300, require_signature=False
        )
        self.renames = AgentRenames(
            database, self.directory, lambda integration: self.client, lambda batch: None
        )
        self._ingester = Ingester(
            database, self.directory, lambda batch: None, batch=10, attempts=3, renames=self.renames
        )

    @property
    def integration_id(self) -> int:
        return next(iter(self.directory.integrations))

    async def tell(self, number: int, name: str, later: float = 0.0) -> None:
        """Chatwoot tells that a conversation is the agent's, by a time that is so much later than
        now.
        """
        now_us = self.database.clock.now_us()
        body = {
            "event": "conversation_updated",
            "id": number,
            "status": "open",
            "updated_at": now_us / SECOND + later,
            "meta": {"assignee": {"id": self.ada.id, "name": name}},
        }
        change = parse_delivery(json.dumps(body), now_us)
        source = Source(self.integration_id, COMPANY)
        await self._ingester.apply([IncomingChange(source, change, now_us)])

    async def are_named(self, *expected: str) -> None:
        """Wait until conversations show these assignees, in the order in which they came."""

        async def is_so() -> bool:
            rows = await self.database.fetch_all(
                "SELECT omni_assignee FROM social_conversations ORDER BY id"
            )
            found = [json.loads(row[0])["name"] for row in rows]
            assert found == list(expected)
            return True

        await eventually(is_so, 20)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[_Place]:
    """Its renames run until the end of the test."""
    sim = ChatwootSim(account_id=3, inbox_id=12)
    database = _Database(fresh_sqlite(tmp_path / "omni.db"))
    async with (
        serving(sim),
        database,
        httpx.AsyncClient(trust_env=False) as http,
        asyncio.TaskGroup() as group,
    ):
        place = _Place(database, sim, http)
        await add_integration(database, sim)
        await place.directory.refresh()
        running = group.create_task(place.renames.run())
        yield place
        running.cancel()


async def test_a_time_of_the_future_keeps_no_name_for_good(place: _Place) -> None:
    """A wrong clock, or somebody, may tell of next year; what comes then is newer."""
    await place.tell(9, "Somebody", YEAR)
    await place.tell(10, "Ada", 20)
    await place.are_named("Ada", "Ada")


async def test_a_name_that_comes_while_chatwoot_is_asked_is_not_lost(place: _Place) -> None:
    """The answer may have been made before it, and says nothing of it: it is asked for again."""
    place.ada.name = "Ada Okoye"
    place.client.may_answer.clear()
    for number, name in ((9, "Ada"), (10, "Ada"), (9, "Ada Okoye")):
        await place.tell(number, name)
    await place.client.was_answered.wait()
    place.ada.name = "Ada O."
    await place.tell(9, "Ada O.", 1)
    await place.tell(11, "Ada O.", 1)
    place.client.may_answer.set()
    await place.are_named("Ada O.", "Ada O.", "Ada O.")
    await place.tell(12, "Ada O.", 2)
    await place.are_named(*["Ada O."] * 4)


async def test_ever_new_names_have_chatwoot_asked_now_and_then(place: _Place) -> None:
    """Whoever can send a delivery can tell any name."""
    for n, name in enumerate(("Ada", "X", "Y", "Z")):
        await place.tell(9, name, n / 10)

        async def is_asked(times: int = n) -> bool:
            assert len(place.client.asked_at) == min(times, 2)
            return True

        await eventually(is_asked, 20)
    first, second = place.client.asked_at
    assert second - first > 4


async def test_names_of_strangers_take_little_memory(place: _Place) -> None:
    """Also while Chatwoot is away, and nothing of it can be asked."""
    number = place.integration_id
    tracemalloc.start()
    try:
        for n in range(20_000):
            former, name = f"{n:0250}", f"{n + 1:0250}"
            place.renames.on_renamed([Rename(number, AGENT, 5, former, name)])
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 2_000_000


async def test_a_rename_leaves_the_company_to_others_half_of_the_time(place: _Place) -> None:
    """Each conversation has a transaction of its own, and there may be thousands."""
    for number in range(60):
        await place.tell(number + 1, "Ada")
    place.ada.name = "Ada Okoye"
    await place.tell(1, "Ada Okoye", 1)
    place.database.spans.clear()
    await place.are_named(*["Ada Okoye"] * 60)
    spans = place.database.spans
    held = sum(ended - began for began, ended in spans[:-1])
    assert spans[-1][0] - spans[0][0] - held >= 0.8 * held
