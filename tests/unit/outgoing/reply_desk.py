"""A conversation at Chatwoot and here, with replies whose service does not run: tests take each
step themselves.
"""

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec

from server.chatwoot import ChatwootClient, RequestBudget, Timeouts
from server.core.chatwoot.payloads import parse_delivery
from server.core.state.entities import Message
from server.core.state.tracked import Source
from server.core.times import SECOND, wall_now_us
from server.db.access.agent_rows import Agent
from server.db.access.integration_record import Integration
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.db.state import outbox, store
from server.db.state.outbox import Claim, Outgoing
from server.incoming.incoming_changes import IncomingChange
from server.incoming.ingest import Ingester
from server.integrations.directory import Directory
from server.integrations.own_tokens import OwnTokens
from server.lab.chatwoot_sim import ChatwootSim, serving
from server.message_observer import MessageObserver
from server.outgoing.backlogs import Backlogs
from server.outgoing.reply_attempts import ReplyAttempts
from server.outgoing.reply_edits import ReplyEdits
from server.outgoing.reply_files import ReplyFiles
from server.outgoing.reply_intake import ReplyIntake
from server.outgoing.reply_sender import ReplySender
from tests.kit.eventually import scaled
from tests.unit.databases import fresh_sqlite
from tests.unit.integration_rows import COMPANY, add_integration

ACCOUNT, INBOX = 3, 12


AGENT = Agent(1, COMPANY, "1", "Tomas", "agent", None, True, 0)


CERTAIN_SECONDS = 100.0  # no lease ends by itself while a test runs


class Desk:
    """A conversation with one message at Chatwoot and here, and replies whose service does not run:
    tests take each step themselves.
    """

    def __init__(self, database: Database, sim: ChatwootSim, http: httpx.AsyncClient) -> None:
        self.database = database
        self.sim = sim
        self._http = http
        self.budget = RequestBudget()
        self.directory = Directory(
            database, Vault(""), tolerance_seconds=300, require_signature=False
        )
        self.own_tokens = OwnTokens(database, Vault(""), self.directory)
        self.files = ReplyFiles(database)
        self.replies_with()
        self.timeouts = Timeouts(read=scaled(1), total=scaled(20))

    def replies_with(self, *, patience_seconds: float = 3_600.0) -> None:
        self.edits = ReplyEdits(self.database, lambda batch: None, lambda: None)
        self.attempts = ReplyAttempts(
            self.database,
            self.directory,
            self._client,
            self.own_tokens,
            self.files,
            Backlogs(),
            patience_seconds=patience_seconds,
            certain_seconds=CERTAIN_SECONDS,
            observer=MessageObserver(),
        )
        self.sender = ReplySender(
            self.database,
            self.directory,
            lambda batch: None,
            self._client,
            self.own_tokens,
            self.files,
            patience_seconds=patience_seconds,
            certain_seconds=CERTAIN_SECONDS,
        )
        self.intake = ReplyIntake(
            self.database,
            self.directory,
            lambda batch: None,
            self.files,
            on_new=self.sender.wake,
        )

    async def open(self) -> None:
        number = await add_integration(self.database, self.sim)
        await self.directory.refresh()
        message = self.sim.customer_says("Mira", "hello")
        payload = {
            "event": "message_created",
            "id": message.id,
            "content": "hello",
            "message_type": "incoming",
            "created_at": time.time(),
            "conversation": {"id": message.conversation.display_id, "updated_at": time.time()},
        }
        change = parse_delivery(msgspec.json.encode(payload), wall_now_us())
        ingester = Ingester(self.database, self.directory, lambda batch: None, batch=10, attempts=3)
        await ingester.apply([IncomingChange(Source(number, COMPANY), change, wall_now_us())])

    async def write(self, key: str | None = None) -> Message:
        message, is_new = await self.intake.submit(AGENT, 1, "good day", key=key, last_seen=None)
        assert is_new
        return message

    async def customer_writes(self) -> None:
        insert = (
            "INSERT INTO social_messages (conversation_id, sender_type, content, "
            "omni_chatwoot_message_id) VALUES (1, 'customer', 'x', :n)"
        )
        await self.database.transaction(
            lambda c: c.execute(insert, {"n": 1 + max(self.sim.messages)})
        )

    async def claim(self, lease_seconds: float = CERTAIN_SECONDS) -> Outgoing:
        [outgoing] = await self.take(
            Claim(wall_now_us(), int(lease_seconds * SECOND), 3600 * SECOND, 10)
        )
        return outgoing

    async def take(self, claim: Claim) -> list[Outgoing]:
        return await self.database.transaction(lambda c: outbox.claim_replies(c, claim))

    async def read(self, message: Message) -> Message:
        found = await self.database.read(lambda c: store.read_message(c, COMPANY, 1, message.id))
        assert found is not None
        return found

    async def make_due(self, message: Message, due_us: int = 0) -> None:
        row = {"id": message.id, "due": due_us}
        await self.database.transaction(
            lambda c: c.execute(
                "UPDATE social_messages SET omni_next_attempt_at = :due WHERE id = :id", row
            )
        )

    def at_customer(self) -> int:
        return sum(message.content == "good day" for message in self.sim.messages.values())

    def _client(self, integration: Integration) -> ChatwootClient:
        return ChatwootClient(
            base_url=integration.base_url,
            account_id=ACCOUNT,
            access_token=integration.access_token,
            http=self._http,
            budget=self.budget,
            timeouts=self.timeouts,
        )


@contextlib.asynccontextmanager
async def desk(directory: Path) -> AsyncIterator[Desk]:
    sim = ChatwootSim(account_id=ACCOUNT, inbox_id=INBOX)
    async with (
        serving(sim),
        Database(fresh_sqlite(directory / "omni.db")) as database,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        one = Desk(database, sim, http)
        await one.open()
        yield one
