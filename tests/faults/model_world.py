"""Two processes' parts in one loop over one SQLite file, with a bus that does as it is told: fast enough for thousands of histories."""

import asyncio
import contextlib
import functools
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request

from server.auth import Access, Principal
from server.bus import Bus
from server.core.changes import Change
from server.core.entities import Message, conversation_view, message_view
from server.core.events import EventBatch
from server.core.frames import split_text_frames
from server.core.payloads import parse_delivery
from server.core.projection import Source
from server.core.recovery import parse_cursor
from server.core.times import SECOND
from server.db import accounts, eventlog, lists, store, threads
from server.db.accounts import Agent
from server.db.database import Database
from server.db.vault import Vault
from server.directory import Directory
from server.endpoints.events import Events
from server.endpoints.guard import Guard
from server.endpoints.limits import ApiLimits
from server.endpoints.websocket import Sockets
from server.feed import FeedLimits, Feeds
from server.hub import Hub
from server.ingest import Ingester, Told
from server.settings import Settings
from server.trespass import Trespass
from server.websocket_protocol import Push, Receiver
from tests.kit.client_model import ClientModel, Event, Json
from tests.unit.sockets import Alone

COMPANY = 1
# small enough that replay leaves the ring and goes to the log
_LIMITS = FeedLimits(ring_events=6, ring_bytes=100_000)
_AGENT = Agent(1, COMPANY, "1", "a@example.org", "A", "agent", True, 0)


class FaultyBus(Bus):
    """What is published waits in `mail` of every other process, until a rule delivers, drops, doubles or swaps it."""

    def __init__(self, others: "list[FaultyBus]") -> None:
        super().__init__("memory://")
        self.mail: list[str] = []
        self._others = others
        self._listener: Callable[[str], None] | None = None

    def subscribe(self, company_id: int, on_message: Callable[[str], None]) -> None:
        self._listener = on_message

    def unsubscribe(self, company_id: int) -> None:
        self._listener = None

    def publish(self, company_id: int, message: str) -> None:
        for other in self._others:
            other.mail.append(message)  # our own as well, as Redis does

    def deliver(self) -> None:
        if self.mail and self._listener is not None:
            self._listener(self.mail.pop(0))


class Process:
    """One life of a process."""

    def __init__(self, database: Database, buses: list[FaultyBus], settings: Settings) -> None:
        self.database, self.hub, self.bus = database, Hub(), FaultyBus(buses)
        self.feeds = Feeds(database, self.bus, self.hub, _LIMITS, check_seconds=1.0)
        directory = Directory(database, Vault(""), tolerance_seconds=300, require_signature=False)
        self.ingester = Ingester(database, directory, self._published, batch=10, attempts=3)
        access = Access(database, settings, lambda agent_id: None, lambda keys: None)
        self.is_draining = False
        # presence needs a running loop; this world acts between its turns
        self.sockets = Sockets(access, self.feeds, self.hub, Alone(), settings, self)
        guard = Guard(access, self.feeds, ApiLimits(agent_per_minute=0, company_per_minute=0), Trespass(database))
        self.events = Events(guard, self.feeds, database)
        self.dies_before_publish = False

    def _published(self, batch: EventBatch) -> None:
        if not self.dies_before_publish:
            self.feeds.publish(batch)


class Client:
    """A browser tab over a transport of its own; the rules of order are checked on every event."""

    def __init__(self) -> None:
        self.model = ClientModel()
        self.cursor: str | None = None
        self.needs_snapshot = False
        self.is_open = False
        self.is_paused = False
        self.home = 0
        self._receiver: Receiver | None = None
        self._held: list[bytes] = []

    # as the server's `Push`

    def hand_over(self, receiver: Receiver, high_water_bytes: int) -> Push:
        self._receiver = receiver
        return self

    def write(self, frames: bytes) -> None:
        if not self.is_open:
            return
        if self.is_paused:
            self._held.append(frames)
            if self._receiver is not None:
                self._receiver.on_pause()
            return
        for payload in split_text_frames(frames):
            self._on_frame(msgspec.json.decode(payload))

    def close(self, code: int, reason: str = "") -> None:
        self.lose()

    # as a person's network

    def lose(self) -> None:
        self.is_open = False
        self._held.clear()
        self.is_paused = False
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.on_lost(1006)

    def resume_reading(self) -> None:
        self.is_paused = False
        held, self._held = self._held, []
        for frames in held:
            self.write(frames)
        if self._receiver is not None:
            self._receiver.on_resume()

    def _on_frame(self, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "welcome" if frame["mode"] == "reset":
                self._reset(frame["cursor"])
            case "welcome" if frame["mode"] == "live":
                assert frame["cursor"] == self.cursor, "told that nothing was missed"
            case "reset":
                self._reset(frame["cursor"])
            case "live":
                assert frame["cursor"] == self.cursor, f"live at {frame['cursor']}, but at {self.cursor}"
            case "event":
                self.take_event(frame)

    def take_event(self, frame: dict[str, Any]) -> None:
        assert self.cursor is not None
        cursor = parse_cursor(self.cursor)
        assert frame["seq"] == cursor.seq + 1, f"event {frame['seq']} at {self.cursor}"
        self.cursor = f"{cursor.epoch}.{frame['seq']}"
        self.model.apply(Event.parse(frame))

    def _reset(self, cursor: str) -> None:
        self.cursor, self.model, self.needs_snapshot = cursor, ClientModel(), True


class World:
    """Everything of one history. All calls but `step` are made inside it."""

    def __init__(self, directory: Path, template: bytes) -> None:
        self.path = directory / "world.db"
        self.path.write_bytes(template)
        self.settings = Settings(database_url=f"sqlite:///{self.path}")
        self.buses: list[FaultyBus] = []
        self.processes: list[Process] = []
        self.clients = [Client() for _ in range(3)]
        self.poller = Client()
        self.changes: list[Change] = []
        self.has_backup = False
        self._backup_path = directory / "backup.db"

    async def open(self) -> None:
        self.database = Database(self.settings.database_url)
        await self.database.__aenter__()
        for _ in range(2):
            self.processes.append(Process(self.database, self.buses, self.settings))
            self.buses.append(self.processes[-1].bus)

    async def close(self) -> None:
        for client in self.clients:
            client.lose()
        await self.database.__aexit__()

    async def settle(self) -> None:
        """Let everything that was set going come to rest."""
        for _ in range(200):
            await asyncio.sleep(0)
            busy = [task for task in asyncio.all_tasks() if task.get_name().startswith(("feed-", "catch-up"))]
            if not busy:
                return
            await asyncio.wait(busy, timeout=0.05)

    # what happens

    async def apply(self, number: int, payload: dict[str, Any]) -> None:
        change = parse_delivery(msgspec.json.encode(payload), int(time.time() * SECOND))
        self.changes.append(change)
        await self.tell(number, change)

    async def tell(self, number: int, change: Change) -> None:
        told = Told(Source(1, COMPANY), change, int(time.time() * SECOND))
        await self.processes[number].ingester.apply([told])

    async def crash(self, number: int) -> None:
        """All of its memory and its sockets are gone; a new life begins."""
        for client in self.clients:
            if client.home == number:
                client.lose()
        self.processes[number] = Process(self.database, self.buses, self.settings)
        self.buses[number] = self.processes[number].bus

    async def connect(self, client: Client, number: int) -> None:
        process = self.processes[number]
        feed = await process.feeds.watch(COMPANY)
        client.is_open, client.home = True, number
        cursor = parse_cursor(client.cursor) if client.cursor else None
        process.sockets._welcome(client, Principal(_AGENT, None), feed, cursor)

    async def poll(self, number: int) -> None:
        """`GET /api/events`, as the legacy page's successor without sockets does."""
        query = f"cursor={self.poller.cursor or ''}&limit=4".encode()
        request = Request({"type": "http", "method": "GET", "headers": [], "query_string": query, "path": "/api/events"})
        answer = await self.processes[number].events.read(request, Principal(_AGENT, None))
        if answer.status_code == 304:
            return
        body = msgspec.json.decode(bytes(answer.body))
        if body.get("reset"):
            self.poller.cursor, self.poller.model, self.poller.needs_snapshot = body["cursor"], ClientModel(), True
            return
        for frame in body["events"]:
            self.poller.take_event(frame)
        assert body["cursor"] == self.poller.cursor

    async def fetch_snapshots(self) -> None:
        for client in (*self.clients, self.poller):
            if client.needs_snapshot:
                client.needs_snapshot = False
                fresh = await self.snapshot()
                client.model.load(fresh.conversations.values(), fresh.messages.values())

    async def snapshot(self) -> ClientModel:
        model = ClientModel()
        found = await self.database.read(lambda c: lists.list_conversations(c, COMPANY, _AGENT.id, lists.Filters(), 100))
        for conversation, _ in found:
            messages = await self.database.read(functools.partial(_messages_of, conversation_id=conversation.id))
            model.load([_as_json(conversation_view(conversation))], [_as_json(message_view(message)) for message in messages])
        return model

    async def trim(self, count: int, keep: int = 1) -> None:
        async def trim(connection: Any) -> None:
            stream = (await eventlog.lock_streams(connection, [COMPANY], "never"))[COMPANY]
            if (most := min(count, stream.head - stream.floor - keep)) > 0:
                await eventlog.trim_events(connection, COMPANY, int(time.time() * SECOND) + SECOND, most)

        await self.database.transaction(trim)

    def keep_backup(self) -> None:
        _copy(self.path, self._backup_path)
        self.has_backup = True

    async def restore(self, *, by_hand: bool) -> None:
        """The backup is put back. A new epoch is begun by hand, or by a process that knew the newest event, if there is one."""
        await self.settle()  # copying waits for a transaction under way, and blocks the loop that the transaction needs
        head = await self.head()
        knows = [process for process in self.processes if (feed := process.feeds.get(COMPANY)) is not None and feed.cursor == head]
        _copy(self._backup_path, self.path)
        if knows and not by_hand:
            await knows[0].feeds.check()
            await self.settle()
            return

        async def renew(connection: Any) -> None:
            await eventlog.lock_streams(connection, [COMPANY], store.new_epoch())
            await eventlog.start_epoch(connection, COMPANY, store.new_epoch())

        await self.database.transaction(renew)

    async def head(self) -> str:
        streams = await self.database.read(lambda c: eventlog.read_streams(c, [COMPANY]))
        return streams[COMPANY].cursor


async def add_integration(path: Path) -> None:
    """The company's one integration, with number 1."""
    values = {"company_id": COMPANY, "account_id": 3, "inbox_id": 12, "base_url": "", "access_token": "t", "webhook_secret": None}
    values |= {"unsigned": "accepted", "proved_us": 2}
    async with Database(f"sqlite:///{path}") as database:
        await database.transaction(lambda c: accounts.add_integration(c, Vault(""), values, int(time.time() * SECOND)))


def _as_json(view: Json) -> Json:
    told: Json = msgspec.json.decode(msgspec.json.encode(view))
    return told


async def _messages_of(connection: Any, conversation_id: int) -> list[Message]:
    return await threads.read_messages(connection, COMPANY, conversation_id, limit=500)


def _copy(source: Path, target: Path) -> None:
    with contextlib.closing(sqlite3.connect(source)) as one, contextlib.closing(sqlite3.connect(target, timeout=5)) as other:
        one.backup(other)
