"""A Chatwoot with much history, whose times are in every disorder, and what of it is missing in a
database.
"""

import asyncio
import random
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from server.chatwoot import ChatwootClient, RequestBudget
from server.db.access.integration_record import Integration
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.incoming.full_sync import FullSync, OnProgress
from server.incoming.ingest import Ingester
from server.incoming.sync_outcome import SyncOutcome
from server.integrations.directory import Directory
from server.lab.chatwoot_sim import ChatwootSim
from server.lab.chatwoot_sim.model import ACTIVITY
from tests.unit.integration_rows import add_integration

ACCOUNT, INBOX = 3, 12
_SHORT_DELETIONS = 15
DISORDERS: tuple[Callable[[int, int, random.Random], float], ...] = (
    lambda place, count, rng: place,
    lambda place, count, rng: -90_000.0 if place == count - 1 else place,  # one old
    lambda place, count, rng: place - 1_000_000.0,  # all old
    lambda place, count, rng: rng.uniform(-1e6, 0),
    lambda place, count, rng: 0.0,  # equal
    lambda place, count, rng: place ^ 1,  # neighbours swapped
    lambda place, count, rng: -place,
)


@dataclass
class Figures:
    """What one run cost, and what it left missing."""

    name: str
    seconds: float
    requests: int
    megabytes: float  # the most the process had, with the simulated Chatwoot in it
    megabytes_before: float
    there: int
    missing: int

    def line(self) -> str:
        return (
            f"{self.name:<28} {self.there:>7,} messages, {self.missing} missing, "
            f"{self.requests:>6,} requests, "
            f"{self.seconds:6.1f} s, {self.megabytes:.0f} MB at most, "
            f"{self.megabytes_before:.0f} MB before"
        )


def filled(sim: ChatwootSim, conversations: int, messages: int, seed: int = 7) -> None:
    """Conversations of a busy account: most are short, some are longer than any answer. A third
    share one time of activity.
    """
    rng = random.Random(seed)
    talks = [
        sim.customer_says(f"Customer {number}", "hello", inbox_id=INBOX).conversation
        for number in range(conversations)
    ]
    long_ones = talks[: max(1, conversations // 300)]
    for number in range(messages - conversations):
        talk = rng.choice(long_ones) if number % 5 == 0 else rng.choice(talks)
        sim.customer_says(talk.contact, f"text {number}", conversation=talk)
    for place, talk in enumerate(talks):
        disorder = DISORDERS[place % len(DISORDERS)]
        for number, message in enumerate(talk.messages):
            message.created_at = sim.now() - 5e6 + disorder(number, len(talk.messages), rng)
        talk.last_activity_at = sim.now() - (1_000.0 if place % 3 == 0 else rng.uniform(0, 1e6))


class World:
    """An integration of that Chatwoot in a database, with what asks."""

    def __init__(self, sim: ChatwootSim, database: Database, http: httpx.AsyncClient) -> None:
        self.sim = sim
        self.database = database
        self._http = http
        self.directory = Directory(
            database, Vault(""), tolerance_seconds=300, require_signature=False
        )
        self.ingester = Ingester(
            database, self.directory, lambda batch: None, batch=100, attempts=3
        )
        self._budget = RequestBudget(per_minute=10**9)
        self.sync = FullSync(database, self.directory, self.ingester, self.client_of)

    def client_of(self, one: Integration) -> ChatwootClient:
        return ChatwootClient(
            base_url=self.sim.base_url,
            account_id=ACCOUNT,
            access_token=one.access_token,
            http=self._http,
            budget=self._budget,
        )

    async def add(self) -> Integration:
        number = await add_integration(self.database, self.sim, INBOX)
        await self.directory.refresh()
        return self.directory.integrations[number]

    async def measured(
        self,
        name: str,
        one: Integration,
        *,
        writes: bool = True,
        on_progress: OnProgress = lambda outcome: None,
    ) -> tuple[Figures, SyncOutcome]:
        self.sim.questions.log.clear()
        began, before = time.monotonic(), _most_megabytes()
        outcome = await self.sync.run(one, on_progress, writes=writes)
        seconds, requests = time.monotonic() - began, len(self.sim.questions.log)
        there = self.there()
        figures = Figures(
            name,
            seconds,
            requests,
            _most_megabytes(),
            before,
            len(there),
            len(there - await self.here()),
        )
        return figures, outcome

    async def missing(self) -> int:
        """Messages of Chatwoot's that are not in the database, compared by ourselves."""
        return len(self.there() - await self.here())

    async def here(self) -> set[tuple[int, int]]:
        """(conversation, message), by Chatwoot's numbers."""
        rows = await self.database.fetch_all(
            "SELECT c.omni_chatwoot_conversation_id, m.omni_chatwoot_message_id FROM "
            "social_messages m "
            "JOIN social_conversations c ON c.id = m.conversation_id"
        )
        return {(int(row[0]), int(row[1])) for row in rows}

    def there(self) -> set[tuple[int, int]]:
        return {
            (talk.display_id, message.id)
            for talk in self.sim.conversations.values()
            for message in talk.messages
            if message.message_type != ACTIVITY
        }


def _most_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def delete_some(
    sim: ChatwootSim, done: asyncio.Event, every_seconds: float, most: int = _SHORT_DELETIONS
) -> int:
    """Conversations go while they are read; others get a message. Returns how many went."""
    rng = random.Random(3)
    for number in range(most):
        if done.is_set():
            return number
        talks = list(sim.conversations.values())
        sim.delete_conversation(rng.choice(talks))
        one = rng.choice(list(sim.conversations.values()))
        sim.customer_says(one.contact, "meanwhile", conversation=one)
        try:
            async with asyncio.timeout(every_seconds):
                await done.wait()
        except TimeoutError:
            continue
    return most
