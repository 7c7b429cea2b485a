"""Two processes' parts in one loop over one SQLite file, with a bus that does as it is told: fast
enough for thousands of histories.
"""

import asyncio
import contextlib
import functools
import sqlite3
import uuid
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request

from server.access.authentication import Principal
from server.core.chatwoot.changes import Change
from server.core.chatwoot.payloads import parse_delivery
from server.core.state.cursors import parse_cursor
from server.core.state.entities import Message
from server.core.state.tracked import Source
from server.core.state.views import conversation_view, message_view
from server.core.times import SECOND, wall_now_us
from server.core.wire.websocket_bytes import split_text_frames
from server.db.access import integration_rows
from server.db.access.agent_rows import Agent
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.db.journal import journal
from server.db.journal.journal import Delivery
from server.db.state import (
    eventlog,
    lists,
    threads,
)
from server.incoming.incoming_changes import IncomingChange
from server.live.socket_ports import SocketHandler, SocketWriter
from server.settings import Settings
from server.tasks import spawn
from tests.faults.model_expected import Expected
from tests.faults.model_process import (
    COMPANY,
    FaultyBus,
    OwnDatabase,
    Process,
)
from tests.kit.client_model import ClientModel, Event, Json
from tests.kit.eventually import eventually

_AGENT = Agent(1, COMPANY, "1", "a@example.org", "A", "agent", True, 0)

# by which a row of the journal cannot be read, or its change not be stored
BREAKS = {
    "headers": "UPDATE omni_webhook_deliveries SET headers = '{' WHERE uid = :uid",
    "letters": "UPDATE omni_webhook_deliveries SET body = CAST(x'ff00ff' AS TEXT) WHERE uid = :uid",
    "number": "UPDATE omni_webhook_deliveries SET received_at = 'yesterday' WHERE uid = :uid",
    "body": "UPDATE omni_webhook_deliveries SET body = '{' WHERE uid = :uid",
    "store": (
        "UPDATE omni_webhook_deliveries SET body = REPLACE(body, 'text', 'cannot be stored') "
        "WHERE uid = :uid"
    ),
}
REFUSE = (
    "CREATE TRIGGER refuse BEFORE INSERT ON social_messages WHEN NEW.content LIKE '%cannot be "
    "stored%' "
    "BEGIN SELECT RAISE(ABORT, 'refused'); END"
)


class Client:
    """A browser tab over a transport of its own; the rules of order are checked on every event."""

    def __init__(self) -> None:
        self.model = ClientModel()
        self.cursor: str | None = None
        self.needs_snapshot = False
        self.is_open = False
        self.is_paused = False
        self.home = 0
        self._receiver: SocketHandler | None = None
        self._held: list[bytes] = []

    # as the server's `SocketWriter`

    def hand_over(self, receiver: SocketHandler, high_water_bytes: int) -> SocketWriter:
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
                assert frame["cursor"] == self.cursor, (
                    f"live at {frame['cursor']}, but at {self.cursor}"
                )
            case "event":
                self.take_event(frame)

    def take_event(self, frame: dict[str, Any]) -> None:
        assert self.cursor is not None
        cursor = parse_cursor(self.cursor)
        assert frame["seq"] == cursor.seq + 1, f"event {frame['seq']} at {self.cursor}"
        self.cursor = f"{cursor.epoch}.{frame['seq']}"
        self.model.apply(Event.parse(frame))

    def _reset(self, cursor: str) -> None:
        self.cursor = cursor
        self.model = ClientModel()
        self.needs_snapshot = True


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
        self.expected = Expected()
        self._backup: Expected | None = None
        self._backup_path = directory / "backup.db"
        self._may_go_on: asyncio.Event | None = None  # a process stands still in a transaction
        self._waiting: list[asyncio.Task[None]] = []  # what waits for its locks, and itself

    @property
    def has_backup(self) -> bool:
        return self._backup is not None

    @property
    def stands_still(self) -> bool:
        return self._may_go_on is not None

    @property
    def clock_is_right_or_behind(self) -> bool:
        return all(process.database.skew_seconds <= 0 for process in self.processes)

    async def open(self) -> None:
        self.database = Database(self.settings.database_url)
        await self.database.__aenter__()
        for _ in range(2):
            database = OwnDatabase(self.settings.database_url)
            await database.__aenter__()
            self.processes.append(Process(database, self.buses, self.settings))
            self.buses.append(self.processes[-1].bus)

    async def close(self) -> None:
        await self.go_on()
        for client in self.clients:
            client.lose()
        for database in (self.database, *(process.database for process in self.processes)):
            await database.__aexit__()

    async def settle(self) -> None:
        """Let everything that was set going come to rest."""
        for _ in range(200):
            await asyncio.sleep(0)
            busy = [
                task
                for task in asyncio.all_tasks()
                if task.get_name().startswith(("feed-", "catch-up", "marks-"))
            ]
            if not busy:
                return
            await asyncio.wait(busy, timeout=0.05)

    # what happens

    async def apply(self, number: int, payload: dict[str, Any]) -> None:
        self.changes.append(parse_delivery(msgspec.json.encode(payload), self._received_us(number)))
        await self.tell(number, len(self.changes) - 1)

    async def tell(self, number: int, place: int) -> None:
        """The change of that place, to a process. While one stands still with the locks, it waits,
        and nobody for it.
        """
        process, received_us = self.processes[number], self._received_us(number)
        told = IncomingChange(Source(1, COMPANY), self.changes[place], received_us)
        self.note(number, place, received_us)
        if not self.stands_still:
            await process.ingester.apply([told])
            return
        self._waiting.append(spawn(process.ingester.apply([told]), "held"))
        await asyncio.sleep(0)

    def note(self, number: int, place: int, received_us: int) -> None:
        """That process is told of the change."""
        skew = self.processes[number].database.skew_seconds
        self.expected.note(
            self.changes[place], place, received_us, skew, is_in_turn=not self.stands_still
        )

    def _received_us(self, number: int) -> int:
        return self.processes[number].database.clock.now_us()

    async def stand_still(self, number: int, payload: dict[str, Any]) -> None:
        """The process has written, and stops before its COMMIT, with all locks."""
        there, self._may_go_on = asyncio.Event(), asyncio.Event()
        self.processes[number].database.stands_at = (there, self._may_go_on)
        await self.apply(number, payload)
        await there.wait()

    async def go_on(self) -> None:
        """Who stood still commits; those who waited are next."""
        if self._may_go_on is not None:
            self._may_go_on.set()
            waiting, self._waiting, self._may_go_on = self._waiting, [], None
            await asyncio.wait(waiting)
            for task in waiting:
                task.result()

    async def ingest_journal(
        self, number: int, payloads: list[dict[str, Any]], broken: str, place: int
    ) -> None:
        """Deliveries in the journal, one of them broken, which has to end `dead` alone: raises
        AssertionError where it does not.
        """
        deliveries = [_delivery(payload, self._received_us(number)) for payload in payloads]
        culprit = deliveries[place % len(deliveries)]
        process = self.processes[number]
        await process.database.transaction(lambda c: journal.append_deliveries(c, deliveries))
        await process.database.transaction(
            lambda c: c.execute(BREAKS[broken], {"uid": culprit.uid})
        )
        for payload, delivery in zip(payloads, deliveries, strict=True):
            if delivery is not culprit:
                self.changes.append(
                    parse_delivery(msgspec.json.encode(payload), delivery.received_us)
                )
                self.note(number, len(self.changes) - 1, delivery.received_us)
        await process.directory.refresh()
        async with asyncio.TaskGroup() as group:
            ingesting = group.create_task(process.ingester.run())
            try:
                await eventually(self.has_ended, limit=30)
            finally:
                ingesting.cancel()
        found = await self.database.fetch_all("SELECT uid, state FROM omni_webhook_deliveries")
        states = {row[0]: row[1] for row in found}
        assert [states[one.uid] for one in deliveries] == [
            "dead" if one is culprit else "done" for one in deliveries
        ]

    async def has_ended(self) -> bool:
        """Whether every delivery is done, ignored or dead."""
        row = await self.database.fetch_one(
            "SELECT COUNT(*) FROM omni_webhook_deliveries WHERE state = 'received'"
        )
        return row is not None and row[0] == 0

    async def crash(self, number: int) -> None:
        """All of its memory and its sockets are gone; a new life begins."""
        for client in self.clients:
            if client.home == number:
                client.lose()
        self.processes[number].dies_before_publish = True  # also what it commits from now on
        self.processes[number] = Process(self.processes[number].database, self.buses, self.settings)
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
        request = Request(
            {
                "type": "http",
                "method": "GET",
                "headers": [],
                "query_string": query,
                "path": "/api/events",
            }
        )
        answer = await self.processes[number].events.read(request, Principal(_AGENT, None))
        if answer.status_code == 304:
            return
        body = msgspec.json.decode(bytes(answer.body))
        if body.get("reset"):
            self.poller.cursor, self.poller.model, self.poller.needs_snapshot = (
                body["cursor"],
                ClientModel(),
                True,
            )
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
        found = await self.database.read(
            lambda c: lists.list_conversations(c, COMPANY, _AGENT.id, lists.Filters(), 100)
        )
        for conversation, _ in found:
            messages = await self.database.read(
                functools.partial(_messages_of, conversation_id=conversation.id)
            )
            model.load(
                [_as_json(conversation_view(conversation))],
                [_as_json(message_view(message)) for message in messages],
            )
        return model

    async def trim(self, count: int, keep: int = 1) -> None:
        async def trim(connection: Any) -> None:
            stream = (await eventlog.lock_streams(connection, [COMPANY], "never"))[COMPANY]
            if (most := min(count, stream.head - stream.floor - keep)) > 0:
                await eventlog.trim_events(connection, COMPANY, wall_now_us() + SECOND, most)

        await self.database.transaction(trim)

    def keep_backup(self) -> None:
        _copy(self.path, self._backup_path)
        self._backup = self.expected.copy()

    async def restore(self, *, by_hand: bool) -> None:
        """The backup is put back. A new epoch is begun by hand, or by a process that knew the
        newest event, if there is one.
        """
        # copying waits for a transaction under way, and blocks the loop that the transaction needs
        await self.settle()
        head = await self.head()
        knows = [
            process
            for process in self.processes
            if (feed := process.feeds.get(COMPANY)) is not None and feed.cursor == head
        ]
        self._put_back()
        if knows and not by_hand:
            await knows[0].feeds.check()
            await self.settle()
            return
        await self._renew()

    async def restore_unwatched(self, number: int, payloads: list[dict[str, Any]]) -> None:
        """As `restore`, while nobody is connected and no feed is held; the log grows anew before a
        process's turn to compare comes.
        """
        for client in self.clients:
            client.lose()
        await self.settle()
        for process in self.processes:
            await process.forget_feeds()
        head = await self.head()
        knows = [process for process in self.processes if process.has_seen(head)]
        self._put_back()
        if not knows:
            await self._renew()
        for payload in payloads:
            await self.apply(number, payload)
        await self.settle()
        if knows:
            await knows[0].compare_marks()

    def _put_back(self) -> None:
        assert self._backup is not None
        _copy(self._backup_path, self.path)
        self.expected = self._backup.copy()

    async def _renew(self) -> None:
        async def renew(connection: Any) -> None:
            await eventlog.lock_streams(connection, [COMPANY])
            await eventlog.start_epoch(connection, COMPANY)

        await self.database.transaction(renew)

    async def head(self) -> str:
        streams = await self.database.read(lambda c: eventlog.read_streams(c, [COMPANY]))
        return streams[COMPANY].cursor


async def add_integration(path: Path) -> None:
    """The company's one integration, with number 1."""
    values = {
        "company_id": COMPANY,
        "account_id": 3,
        "inbox_id": 12,
        "base_url": "",
        "access_token": "t",
        "webhook_secret": None,
    }
    values |= {"unsigned": "accepted", "proved_us": 2}
    async with Database(f"sqlite:///{path}") as database:
        await database.transaction(
            lambda c: integration_rows.add_integration(c, Vault(""), values, wall_now_us())
        )


def _delivery(payload: dict[str, Any], received_us: int) -> Delivery:
    body = msgspec.json.encode(payload).decode()
    return Delivery(uuid.uuid4().hex, received_us, body, {}, integration_id=1, is_verified=True)


def _as_json(view: Json) -> Json:
    told: Json = msgspec.json.decode(msgspec.json.encode(view))
    return told


async def _messages_of(connection: Any, conversation_id: int) -> list[Message]:
    return await threads.read_messages(connection, COMPANY, conversation_id, limit=500)


def _copy(source: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(source)) as one,
        contextlib.closing(sqlite3.connect(target, timeout=5)) as other,
    ):
        one.backup(other)
