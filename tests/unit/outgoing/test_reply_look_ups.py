"""When a reply of unknown outcome may be sent again: as long as it may still appear at Chatwoot,
not.
"""

import asyncio
from pathlib import Path

from server.chatwoot import RequestBudget, Timeouts
from server.core.times import SECOND, wall_now_us
from server.outgoing.reply_look_ups import LookUps
from tests.kit.eventually import eventually, scaled
from tests.unit.outgoing.reply_desk import AGENT, CERTAIN_SECONDS, desk


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
        assert left_us >= (CERTAIN_SECONDS + one.timeouts.total / 2) * SECOND


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
        again = await one.intake.retry(AGENT, 1, message.id)
        assert again.delivery_state == "sending"
        assert (again.next_attempt_us or 0) > wall_now_us() + (CERTAIN_SECONDS / 2) * SECOND


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
            LookUps(one.database, one.directory, CERTAIN_SECONDS),
            int(CERTAIN_SECONDS * SECOND),
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
