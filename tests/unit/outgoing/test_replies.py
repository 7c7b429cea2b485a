"""Replies at the moments that a test from outside hardly meets: a lease that runs, an attempt that
lost it, a Chatwoot that is full.
"""

import asyncio
import contextlib
import io
import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace

from server.core.state.upload_rules import checked_file
from server.core.times import SECOND, wall_now_us
from server.db.engine.database import Database
from server.db.state.outbox import Claim
from server.errors import DatabaseUnavailable
from server.outgoing.reply_files import ReplyFiles, Upload
from tests.kit.eventually import scaled
from tests.unit.integration_rows import COMPANY
from tests.unit.outgoing.reply_desk import AGENT, desk


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
            AGENT, 1, "good day", key=None, last_seen=None, uploads=[upload]
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


async def test_an_outage_of_an_hour_ends_no_reply(tmp_path: Path) -> None:
    """However often it was tried; the next try is never far away, and people read that it is tried.
    Given up by time alone.
    """
    async with desk(tmp_path) as one:
        message = await one.write()
        outgoing = await one.claim()
        one.sim.switches.set(fail_next=99, fail_status=503, fail_writes_only=False)
        long_ago = replace(
            outgoing.message, observed_us=wall_now_us() - 3_590 * SECOND, delivery_attempts=500
        )
        later = one.attempts.retry_later(long_ago, is_unknown=False)(
            replace(long_ago, delivery_attempts=501)
        )
        assert later.delivery_state == "sending"
        assert later.delivery_error is not None
        assert later.delivery_error.code == "retrying"
        assert 0 < (later.next_attempt_us or 0) - wall_now_us() <= 20 * SECOND
        over = replace(long_ago, observed_us=wall_now_us() - 3_610 * SECOND)
        failed = one.attempts.retry_later(over, is_unknown=False)(
            replace(over, delivery_attempts=501)
        )
        assert failed.delivery_state == "failed"
        await one.edits.change(COMPANY, 1, message.id, lambda row: replace(failed, id=row.id))
        again = await one.intake.retry(AGENT, 1, message.id)
        assert again.observed_us > over.observed_us, "its time begins anew"
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
            await one.intake.submit(AGENT, 1, "and one more", key=None, last_seen=None)


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
