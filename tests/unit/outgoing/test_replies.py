"""Replies at the moments that a test from outside hardly meets: a lease that runs, an attempt that
lost it, a retry after giving up.
"""

import asyncio
import contextlib
import io
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from server.chatwoot import ChatwootClient, RequestBudget, Timeouts
from server.core.chatwoot.payloads import parse_delivery
from server.core.state.entities import Message
from server.core.state.tracked import Source
from server.core.state.upload_rules import checked_file
from server.core.times import SECOND, wall_now_us
from server.db.access.agent_rows import Agent
from server.db.access.integration_record import Integration
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.db.state import outbox, store
from server.db.state.outbox import Claim, Outgoing
from server.errors import DatabaseUnavailable
from server.incoming.incoming_changes import IncomingChange
from server.incoming.ingest import Ingester
from server.integrations.directory import Directory
from server.lab.chatwoot_sim import ChatwootSim, serving
from server.message_observer import MessageObserver
from server.outgoing.backlogs import Backlogs
from server.outgoing.reply_attempts import ReplyAttempts
from server.outgoing.reply_edits import ReplyEdits
from server.outgoing.reply_files import ReplyFiles, Upload
from server.outgoing.reply_intake import ReplyIntake
from server.outgoing.reply_look_ups import LookUps
from server.outgoing.reply_sender import ReplySender
from tests.kit.eventually import eventually, scaled
from tests.unit.databases import fresh_sqlite
from tests.unit.integration_rows import COMPANY, add_integration

ACCOUNT, INBOX = 3, 12
_AGENT = Agent(1, COMPANY, "1", "Tomas", "agent", None, True, 0)
_CERTAIN_SECONDS = 100.0  # no lease ends by itself while a test runs


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
        self.files = ReplyFiles(database)
        self.replies_with()
        self.timeouts = Timeouts(read=scaled(1), total=scaled(20))

    def replies_with(self, *, patience_seconds: float = 3_600.0) -> None:
        self.edits = ReplyEdits(self.database, lambda batch: None, lambda: None)
        self.attempts = ReplyAttempts(
            self.database,
            self.directory,
            self._client,
            self.files,
            Backlogs(),
            patience_seconds=patience_seconds,
            certain_seconds=_CERTAIN_SECONDS,
            observer=MessageObserver(),
        )
        self.sender = ReplySender(
            self.database,
            self.directory,
            lambda batch: None,
            self._client,
            self.files,
            patience_seconds=patience_seconds,
            certain_seconds=_CERTAIN_SECONDS,
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
        message, is_new = await self.intake.submit(_AGENT, 1, "good day", key=key, last_seen=None)
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

    async def claim(self, lease_seconds: float = _CERTAIN_SECONDS) -> Outgoing:
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


async def test_the_lease_outlasts_chatwoot_s_work_on_the_request(tmp_path: Path) -> None:
    """However long the budget made the reply wait: an attempt that began late must not be followed
    by another one too early.
    """
    async with desk(tmp_path) as one:
        one.budget = RequestBudget(pause_seconds=scaled(0.5))
        one.budget.on_refused()
        message = await one.write()
        outgoing = await one.claim()
        one.sim.switches.set(hang_next=1)
        async with asyncio.TaskGroup() as group:
            group.create_task(one.sender.attempt(outgoing))
            await eventually(one.at_customer)
            reached_us = wall_now_us()
            left_us = ((await one.read(message)).next_attempt_us or 0) - reached_us
        assert left_us >= (_CERTAIN_SECONDS + one.timeouts.total / 2) * SECOND


async def test_a_reply_with_files_waits_outside_while_others_send_theirs(tmp_path: Path) -> None:
    """A Chatwoot that takes long for files holds up no texts, of its own company or of others; the
    wait counts as no attempt.
    """
    async with desk(tmp_path) as one:
        source = io.BytesIO(b"picture")

        async def read(most: int) -> bytes:
            return source.read(most)

        upload = Upload(checked_file("a.png", "image/png", 7), read)
        message, _ = await one.intake.submit(
            _AGENT, 1, "good day", key=None, last_seen=None, uploads=[upload]
        )
        outgoing = await one.claim()
        async with contextlib.AsyncExitStack() as others:
            while not one.files.is_full:
                await others.enter_async_context(one.files.of(message))
            async with asyncio.timeout(scaled(5)):
                await one.sender.attempt(outgoing)
        waiting = await one.read(message)
        assert (waiting.delivery_state, waiting.delivery_attempts, waiting.is_outcome_unknown) == (
            "sending",
            0,
            False,
        )
        assert one.at_customer() == 0
        await one.database.transaction(
            lambda c: c.execute(
                "UPDATE social_messages SET omni_next_attempt_at = 0 WHERE omni_client_id IS NOT "
                "NULL"
            )
        )
        await one.sender.attempt(await one.claim())
        assert (await one.read(message)).delivery_state == "sent"
        assert one.at_customer() == 1


async def test_an_attempt_that_lost_its_lease_changes_nothing(tmp_path: Path) -> None:
    """Another process has the reply and may be at Chatwoot with it: `nothing was sent` is not for
    this one to say any more.
    """
    async with desk(tmp_path) as one:
        message = await one.write()
        slow = await one.claim(lease_seconds=0)
        quick = await one.claim()
        assert quick.message.is_outcome_unknown
        one.budget.on_refused()  # the slow one never gets to the request
        one.budget._max_wait_seconds = 0.0
        await one.sender.attempt(slow)
        after = await one.read(message)
        assert after.is_outcome_unknown, "the next attempt would send without looking"
        assert (after.next_attempt_us or 0) > wall_now_us() + SECOND, (
            "the lease of the quick one is gone"
        )


async def test_a_database_that_is_away_before_the_request_makes_no_outcome_unknown(
    tmp_path: Path,
) -> None:
    """The lease could not be renewed, so nothing was sent: the next attempt need not ask Chatwoot
    first, nor wait until it is certain.
    """
    url = f"sqlite:///{tmp_path}/omni.db"
    async with desk(tmp_path) as one, Database(url, wait_seconds=scaled(0.2)) as impatient:
        one.database, one.files = impatient, ReplyFiles(impatient)
        one.replies_with()
        message = await one.write()
        outgoing = await one.claim()
        with contextlib.closing(
            sqlite3.connect(tmp_path / "omni.db", isolation_level=None)
        ) as other:
            other.execute("BEGIN IMMEDIATE")
            settle = await one.attempts.outcome(outgoing)
        assert one.at_customer() == 0
        settled = await one.edits.change(COMPANY, 1, message.id, settle)
        assert settled.delivery_state == "sending"
        assert not settled.is_outcome_unknown
        await one.make_due(message)
        await one.sender.attempt(await one.claim())
        assert one.at_customer() == 1


async def test_a_retry_after_giving_up_waits_until_chatwoot_is_certain_to_be_done(
    tmp_path: Path,
) -> None:
    """The person is quicker than Chatwoot, which may still write the message of the attempt that
    was given up.
    """
    async with desk(tmp_path) as one:
        one.replies_with(patience_seconds=0)
        message = await one.write()
        outgoing = await one.claim()
        one.sim.switches.set(fail_next=9, fail_status=504)
        await one.sender.attempt(outgoing)
        failed = await one.read(message)
        assert failed.delivery_error is not None
        assert (failed.delivery_state, failed.delivery_error.code) == ("failed", "gave_up")
        again = await one.intake.retry(_AGENT, 1, message.id)
        assert again.delivery_state == "sending"
        assert (again.next_attempt_us or 0) > wall_now_us() + (_CERTAIN_SECONDS / 2) * SECOND


async def test_an_outage_of_an_hour_ends_no_reply(tmp_path: Path) -> None:
    """However often it was tried; the next try is never far away, and people read that it is tried.
    Given up by time alone.
    """
    async with desk(tmp_path) as one:
        message = await one.write()
        outgoing = await one.claim()
        one.sim.switches.set(fail_next=99, fail_status=503, fail_writes_only=False)
        long_ago = replace(
            outgoing.message, told_at=wall_now_us() - 3_590 * SECOND, delivery_attempts=500
        )
        later = one.attempts.retry_later(long_ago, is_unknown=False)(
            replace(long_ago, delivery_attempts=501)
        )
        assert later.delivery_state == "sending"
        assert later.delivery_error is not None
        assert later.delivery_error.code == "retrying"
        assert 0 < (later.next_attempt_us or 0) - wall_now_us() <= 20 * SECOND
        over = replace(long_ago, told_at=wall_now_us() - 3_610 * SECOND)
        failed = one.attempts.retry_later(over, is_unknown=False)(
            replace(over, delivery_attempts=501)
        )
        assert failed.delivery_state == "failed"
        await one.edits.change(COMPANY, 1, message.id, lambda row: replace(failed, id=row.id))
        again = await one.intake.retry(_AGENT, 1, message.id)
        assert again.told_at > over.told_at, "its time begins anew"
        assert again.delivery_error is None


async def test_an_outcome_that_cannot_be_written_ends_no_other_attempt(tmp_path: Path) -> None:
    """Chatwoot's message is here already, told without our marker: the service goes on; the lease
    decides what becomes of this one.
    """
    async with desk(tmp_path) as one:
        message = await one.write()
        outgoing = await one.claim()
        row = {"number": max(one.sim.messages) + 1}
        insert = (
            "INSERT INTO social_messages (conversation_id, sender_type, "
            "omni_chatwoot_message_id) VALUES (1, 'agent', :number)"
        )
        await one.database.transaction(lambda c: c.execute(insert, row))
        await one.sender.attempt(outgoing)
        assert one.at_customer() == 1
        assert (await one.read(message)).delivery_state == "sending"


async def test_a_lease_that_cannot_be_is_not_waited_for(tmp_path: Path) -> None:
    """A clock that was wrong has written it. One that can be is."""
    async with desk(tmp_path) as one:
        message = await one.write()
        for seconds, is_taken in ((3700, True), (200, False)):
            await one.make_due(message, wall_now_us() + seconds * SECOND)
            taken = await one.take(Claim(wall_now_us(), SECOND, 3600 * SECOND, 10))
            assert [outgoing.message.id for outgoing in taken] == [message.id] * is_taken


async def test_what_is_under_way_here_is_not_taken_again(tmp_path: Path) -> None:
    """Whatever any clock says of its lease."""
    async with desk(tmp_path) as one:
        message = await one.write()
        claim = Claim(
            wall_now_us() + 3600 * SECOND, SECOND, 3600 * SECOND, 10, at_work=[message.id]
        )
        assert await one.take(claim) == []


async def test_a_process_that_knows_no_integrations_yet_fails_no_reply(tmp_path: Path) -> None:
    """It has just started, or another process has added one a moment ago: not knowing is no
    answer.
    """
    async with desk(tmp_path) as one:
        message = await one.write()
        known = one.directory.integrations
        for is_loaded in (False, True):
            one.directory.is_loaded, one.directory.integrations = is_loaded, {}
            [outgoing] = await one.take(
                Claim(wall_now_us() + 3600 * SECOND, SECOND, 3600 * SECOND, 10)
            )
            await one.sender.attempt(outgoing)
            row = await one.database.fetch_one(
                "SELECT omni_delivery_state FROM social_messages WHERE id = :id", {"id": message.id}
            )
            assert row is not None
            assert row[0] == ("sent" if is_loaded else "sending")
        assert one.directory.integrations.keys() == known.keys()
        one.directory.is_loaded = False
        with pytest.raises(DatabaseUnavailable):
            await one.intake.submit(_AGENT, 1, "and one more", key=None, last_seen=None)


async def test_a_chatwoot_that_is_full_takes_no_place(tmp_path: Path) -> None:
    """Its replies are neither claimed nor in the way of others; so many are as there is room
    for.
    """
    async with desk(tmp_path) as one:
        await one.write()
        number = next(iter(one.directory.integrations))
        for full, rooms, count in (([number], {}, 0), ([], {"a": 0}, 0), ([], {"a": 1}, 1)):
            claim = Claim(
                wall_now_us(),
                SECOND,
                3600 * SECOND,
                10,
                full=full,
                addresses={number: "a"},
                rooms=rooms,
            )
            assert len(await one.take(claim)) == count


async def test_a_second_one_without_a_key_is_the_first(tmp_path: Path) -> None:
    """A double click, a retry after a lost answer: within a minute, and before the customer wrote
    again. Everything else is meant.
    """
    async with desk(tmp_path) as one:

        async def numbers(**other: Any) -> tuple[int, bool]:
            given: dict[str, Any] = {
                "agent": _AGENT,
                "conversation_id": 1,
                "content": "yes",
                "key": None,
                "last_seen": None,
            } | other
            message, is_new = await one.intake.submit(**given)
            return message.id, is_new

        first, is_new = await numbers()
        assert is_new
        assert await numbers() == (first, False)
        for other in (
            {"content": "Yes"},
            {"is_private": True},
            {"agent": msgspec.structs.replace(_AGENT, id=2)},
            {"key": "own-1"},
        ):
            assert (await numbers(**other))[1], other
        assert await numbers() == (first, False)
        await one.customer_writes()
        second, is_new = await numbers()
        assert is_new, "the customer has asked something else"
        assert await numbers() == (second, False)
        older = f"auto.{wall_now_us() - 61 * SECOND:014x}.x"
        await one.database.transaction(
            lambda c: c.execute(
                "UPDATE social_messages SET omni_client_id = :key WHERE id = :id",
                {"key": older, "id": second},
            )
        )
        third, is_new = await numbers()
        assert is_new, "a minute is over"
        await one.database.transaction(
            lambda c: c.execute(
                "UPDATE social_messages SET omni_delivery_state = 'failed' WHERE id = :id",
                {"id": third},
            )
        )
        assert (await numbers())[1], "it did not reach Chatwoot, and the agent tries again"


async def test_certain_time_begins_with_the_first_answer(tmp_path: Path) -> None:
    """A Chatwoot that stood still begins with our request when it is back: nothing counts that was
    before its first answer.
    """
    async with desk(tmp_path) as one:
        message = await one.write()
        outgoing = await one.claim()
        one.sim.switches.set(stands_still=True)
        one.timeouts = Timeouts(read=0.2, total=0.4, work=0.0)
        await one.sender.attempt(outgoing)
        silent = await one.read(message)
        assert (silent.is_outcome_unknown, silent.answered_us) == (True, None)
        one.sim.switches.set(stands_still=False, write_seconds=scaled(2))  # and its backlog crawls
        one.timeouts = Timeouts(read=scaled(5), total=scaled(10))
        await one.make_due(message)
        await one.sender.attempt(await one.claim())
        answered = await one.read(message)
        if answered.delivery_state == "sending":  # else its request was quicker than our question
            assert answered.answered_us is not None
            assert answered.delivery_attempts == silent.delivery_attempts, "a wait is no attempt"
        await eventually(one.at_customer, limit=20)
        await one.make_due(message)
        if answered.delivery_state == "sending":
            await one.sender.attempt(await one.claim())
        assert (await one.read(message)).delivery_state == "sent"
        assert one.at_customer() == 1


async def test_as_long_as_late_replies_appear_nothing_is_sent_again(tmp_path: Path) -> None:
    """Reads are quick while writes crawl out of a backlog: what came out of it last says when it
    may be empty.
    """
    async with desk(tmp_path) as one:
        integration = next(iter(one.directory.integrations.values()))
        look_ups, certain_us = (
            LookUps(one.database, one.directory, _CERTAIN_SECONDS),
            int(_CERTAIN_SECONDS * SECOND),
        )
        long_ago = wall_now_us() - 2 * certain_us
        assert await look_ups.wait_us(integration, long_ago) == 0
        assert 0 < await look_ups.wait_us(integration, wall_now_us()) <= certain_us // 2, (
            "asked again in between"
        )
        late = (
            "INSERT INTO social_messages (conversation_id, sender_type, "
            "omni_chatwoot_message_id, omni_told_at, omni_chatwoot_answered_at) "
        )
        row = {"told": wall_now_us(), "answered": long_ago}
        await one.database.transaction(
            lambda c: c.execute(f"{late} VALUES (1, 'agent', 999, :told, :answered)", row)
        )
        assert await look_ups.wait_us(integration, long_ago) > 0
