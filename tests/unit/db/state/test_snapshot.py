"""A snapshot and the events after it are the next snapshot, for every kind of change."""

import asyncio
from collections.abc import Awaitable, Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from server.core.chatwoot.changes import Change, LastMessage
from server.core.state.entities import Assignee, Attachment, Contact, DeliveryError, Message
from server.core.state.projection import WorkingSet
from server.core.state.tracked import TrackedMessage
from server.db.engine.database import Connection
from server.db.state import (
    lists,
    outbox,
    store,
    threads,
)
from tests.unit.db.state.office import (
    AGENT_ID,
    COMPANIES,
    Act,
    Office,
    open_office,
)
from tests.unit.states import (
    at,
    conversation_state,
    message_change,
)

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
