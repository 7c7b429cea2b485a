"""A snapshot and the events after it are the next snapshot, for every kind of change; and the order
of webhooks does not matter.
"""

import asyncio
import itertools
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from server.core.chatwoot.changes import Change, LastMessage
from server.core.state.entities import (
    Assignee,
    Attachment,
    Contact,
    DeliveryError,
    Message,
    agent_view,
    message_view,
)
from server.core.state.projection import WorkingSet
from server.core.state.tracked import Source, TrackedMessage
from server.core.wire.event_frames import EventBatch
from server.db.engine.database import Connection, Database
from server.db.state import (
    eventlog,
    lists,
    outbox,
    store,
    threads,
    working_set_loads,
    working_set_saves,
)
from server.db.state.lists import Filters
from tests.kit.client_model import ClientModel, Event
from tests.unit.databases import fresh_sqlite
from tests.unit.states import (
    at,
    conversation_change,
    conversation_state,
    message_change,
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
        """The client that only had events shows what a new one would."""
        for company_id in COMPANIES:
            assert self.clients[company_id] == await self.snapshot(company_id)

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


# -- every kind of change
# ---

companies, small = st.sampled_from(COMPANIES), st.integers(0, 3)
display_ids = st.sampled_from([481, 482])
states = st.builds(
    conversation_state,
    version=st.integers(0, 6),
    display_id=display_ids,
    status=st.sampled_from(["open", "resolved", "pending", None]),
    labels=st.sampled_from([None, (), ("a",), ("a", "b")]),
    assignee=st.sampled_from([None, Assignee(7, "T")]),
    contact_name=st.sampled_from([None, "Léa", "রহিম"]),
    contact=st.sampled_from([None, Contact(9071), Contact(5, "a@b.c")]),
    can_reply=st.sampled_from([None, True, False]),
    waiting_since_us=st.sampled_from([None, at(3)]),
    channel=st.sampled_from([None, "Channel::WebWidget"]),
    contact_seen_us=st.sampled_from([None, None, at(3), at(7)]),
    unread=st.sampled_from([None, 0, 1, 2, 10]),
    agents_seen_us=st.sampled_from([None, None, at(2), at(6), at(5000)]),
    as_of_us=st.sampled_from([0, at(2), at(6), at(10)]),
    last=st.sampled_from(
        [
            None,
            None,
            LastMessage(88, "delivered"),
            LastMessage(89, "failed", "blocked"),
            LastMessage(1000, "read"),
        ]
    ),
)
messages = st.builds(
    message_change,
    content=st.sampled_from(["Hello", "Hello", "ক্ষ্ম", ""]),
    number=st.sampled_from([None, 88, 89, 90]),
    second=st.sampled_from([1, 1.5, 2, 5, 9]),
    told=states,
    sender_type=st.sampled_from(["customer", "agent"]),
    is_by_person=st.booleans(),
    is_update=st.booleans(),
    is_private=st.booleans(),
    is_deleted=st.sampled_from([False, False, False, True]),
    client_id=st.sampled_from([None, None, "key-0", "key-1"]),
    error=st.sampled_from([None, None, "no such number"]),
    status=st.sampled_from([None, None, "sent", "delivered", "read", "failed"]),
    attachments=st.sampled_from([(), (Attachment(1, "image"),)]),
    asked_us=st.sampled_from([0, 0, at(1000), at(1010), at(1100)]),
)
changes = messages | states.map(lambda state: Change(7, 12, state, None, state.version_us or at(1)))


def _tell(told: list[tuple[int, Change]]) -> Act:
    return lambda office: office.tell(told)


def _with_conversation(
    company_id: int,
    number: int,
    work: Callable[["Office", Connection, int, WorkingSet], Awaitable[None]],
) -> Act:
    """An agent's own act on one conversation: locked, read again, saved with its event."""

    async def act(office: Office) -> None:
        async def write(c: Connection) -> WorkingSet:
            conversation_id = await office.some_row(c, company_id, number)
            entry = await store.track_conversation(c, company_id, conversation_id or 0)
            if entry is None:
                return WorkingSet()
            working_set = WorkingSet({(-1, 0): entry})
            await work(office, c, company_id, working_set)
            return working_set

        await office.transact([company_id], write)

    return act


def _status(company_id: int, number: int, status: str) -> Act:
    async def work(
        office: Office, _c: Connection, _company_id: int, working_set: WorkingSet
    ) -> None:
        entry = working_set.entries[-1, 0]
        chatwoot_status = {"Open": "open", "Closed": "resolved"}[status]
        working_set.set_conversation(
            entry,
            replace(entry.row, status=status, chatwoot_status=chatwoot_status),
            office.now(),
            office.now(),
        )

    return _with_conversation(company_id, number, work)


def _read(company_id: int, number: int, place: int) -> Act:
    async def work(office: Office, c: Connection, company_id: int, working_set: WorkingSet) -> None:
        entry = working_set.entries[-1, 0]
        held = await threads.read_messages(c, company_id, entry.row.id, limit=100)
        if held:
            message = held[place % len(held)]
            count = await threads.count_inbound(c, message)
            if count > await lists.read_read_count(c, AGENT_ID, entry.row.id):
                await lists.write_read_count(
                    c, AGENT_ID, entry.row.id, count, message.id, office.now()
                )
                working_set.add_agent_read(entry, AGENT_ID, count, message.id, office.now())

    return _with_conversation(company_id, number, work)


def _reply(company_id: int, number: int, key: str) -> Act:
    async def work(
        office: Office, c: Connection, _company_id: int, working_set: WorkingSet
    ) -> None:
        entry, now = working_set.entries[-1, 0], office.now()
        if await outbox.read_reply(c, entry.row.id, key) is None:
            reply = Message(
                0,
                entry.row.id,
                "agent",
                "Hello",
                now,
                client_id=key,
                agent_id=AGENT_ID,
                delivery_state="sending",
                observed_us=now,
            )
            working_set.put_message(entry, reply, now, now)

    return _with_conversation(company_id, number, work)


def _outcome(company_id: int, number: int, key: str, outcome: int) -> Act:
    async def work(office: Office, c: Connection, company_id: int, working_set: WorkingSet) -> None:
        entry = working_set.entries[-1, 0]
        known = await outbox.read_reply(c, entry.row.id, key)
        if known is None or known.chatwoot_message_id is not None:
            return
        settled = {
            0: replace(
                known,
                delivery_state="failed",
                delivery_error=DeliveryError("gave_up", "x"),
                next_attempt_us=None,
            ),
            1: replace(
                known, delivery_attempts=known.delivery_attempts + 1, is_outcome_unknown=True
            ),
        }.get(
            outcome,
            replace(
                known,
                delivery_state="sent",
                delivery_error=None,
                chatwoot_message_id=1000 + int(key[-1]),
            ),
        )
        tracked_message = TrackedMessage(known)
        entry.messages.append(tracked_message)
        working_set.set_message(entry, tracked_message, settled, office.now(), office.now())

    return _with_conversation(company_id, number, work)


keys = st.sampled_from(["key-0", "key-1"])
acts = st.one_of(
    st.lists(st.tuples(companies, changes), min_size=1, max_size=5).map(_tell),
    st.lists(st.tuples(companies, changes), min_size=1, max_size=5).map(_tell),
    st.builds(_status, companies, small, st.sampled_from(["Open", "Closed"])),
    st.builds(_read, companies, small, small),
    st.builds(_reply, companies, small, keys),
    st.builds(_outcome, companies, small, keys, st.integers(0, 2)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(acts, min_size=1, max_size=14))
def test_a_snapshot_and_its_events_are_the_next_snapshot(steps: list[Act]) -> None:
    """Webhooks in any order and often, syncs, status acts, read marks, replies and their outcomes:
    checked after each step.
    """

    async def play() -> None:
        async with open_office() as office:
            for step in steps:
                await step(office)
                await office.check()

    asyncio.run(play())


# -- convergence
# ---


def _visible(model: ClientModel) -> list[Any]:
    """What people see, without the numbers that depend on who came first."""
    personal = {"id", "seq", "updatedAt", "conversationId"}
    shown: list[Any] = []
    for conversation in model.conversations.values():
        held = [
            {name: value for name, value in m.items() if name not in personal}
            for m in model.messages_of(conversation["id"])
        ]
        shown.append(
            ({name: value for name, value in conversation.items() if name not in personal}, held)
        )
    return shown


def _story(version: int, **fields: Any) -> Any:
    return conversation_state(version, **fields)


STORY = [
    conversation_change(1),
    message_change("Hello", number=88, second=2, told=_story(2), version=2),
    message_change(
        "Hello, translated", number=88, second=2, told=_story(3, labels=("a",)), is_update=True
    ),
    message_change(
        "Hi!",
        number=89,
        second=4,
        sender_type="agent",
        told=_story(4, labels=("a",), assignee=Assignee(7, "T")),
    ),
    message_change(
        "gone",
        number=89,
        second=4,
        sender_type="agent",
        told=_story(5),
        is_update=True,
        is_deleted=True,
    ),
    conversation_change(6, status="resolved", labels=("a", "b")),
]


async def _shown_after(order: Sequence[Change], size: int) -> list[Any]:
    async with open_office() as office:
        for n in range(0, len(order), size):
            await office.tell([(1, change) for change in order[n : n + size]], received_us=at(900))
        await office.check()
        return _visible(office.clients[1])


async def test_any_order_of_versioned_webhooks_ends_in_the_same_state() -> None:
    """All orders of a conversation's story, in one batch and one by one now and then, some
    delivered twice.
    """
    wanted = await _shown_after(STORY, 1)
    async with open_office():
        for n, order in enumerate(itertools.permutations(STORY)):
            working_set = WorkingSet()
            for change in (*order, *order[:2]):
                working_set.apply(change, SOURCES[1], at(900))
            if n % 60 == 0:
                assert await _shown_after((*order, *order[:2]), size=1 + n % 7) == wanted
            assert _state_of(working_set) == _state_of_story()


def _state_of(working_set: WorkingSet) -> Any:
    (entry,) = working_set.entries.values()
    held = sorted(
        (replace(message.row, observed_us=0) for message in entry.messages),
        key=lambda m: m.created_us or 0,
    )
    return replace(entry.row, seq=0), held


def _state_of_story() -> Any:
    working_set = WorkingSet()
    for change in STORY:
        working_set.apply(change, SOURCES[1], at(900))
    return _state_of(working_set)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_the_simple_payload_goes_by_its_times_alone(order: tuple[int, ...]) -> None:
    """Without ids and versions: messages and the newest of them are the same in any order,
    duplicates are one.
    """
    told = [
        message_change(text, number=None, second=second)
        for text, second in (("a", 1), ("b", 5), ("b", 5.5))
    ]
    ((conversation, held),) = await _shown_after([told[n] for n in order], 1)
    assert [message["content"] for message in held] == ["a", "b"]
    assert conversation["preview"]["content"] == "b"
    assert conversation["inboundCount"] == 2
