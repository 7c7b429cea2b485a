"""A log that went back is noticed also where nobody was connected: by whoever writes next, whoever
comes next, and in turn.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from server.core.wire.event_frames import EventBatch
from server.live.bus import Bus
from server.live.feeds import Feeds
from server.live.hub import Hub
from server.live.log_marks import LogMarks, Mark
from tests.kit.eventually import eventually
from tests.unit.live.event_log import COMPANY, LIMITS, Written


@asynccontextmanager
async def _feeds(log: Written) -> AsyncIterator[Feeds]:
    async with Bus("memory://") as bus:
        yield Feeds(log.database, bus, Hub(), LIMITS, 1.0)


async def _write(log: Written, count: int = 1, content: str = "", *, at_us: int) -> EventBatch:
    """As one transaction of ours does, at that moment."""
    batch = await log.append(count, content)
    change = "UPDATE omni_inbox_events SET created_at = :at WHERE seq >= :first"
    await log.database.transaction(
        lambda c: c.execute(change, {"at": at_us, "first": batch.first_seq})
    )
    return EventBatch(
        batch.company_id, batch.epoch, batch.first_seq, batch.bodies, written_us=at_us
    )


async def test_who_writes_next_notices(log: Written) -> None:
    """Nobody is connected, no feed is held; numbers are given away once more."""
    async with _feeds(log) as feeds:
        feeds.publish(await _write(log, 5, at_us=100))
        await log.go_back(4)
        feeds.publish(await _write(log, 1, "another life", at_us=200))
        await eventually(lambda: _has_begun_anew(log), limit=30)


async def test_who_comes_next_makes_it_noticed(log: Written) -> None:
    """It has grown past the mark by another process's writing, so that its numbers alone say
    nothing.
    """
    async with _feeds(log) as feeds:
        feeds.publish(await _write(log, 5, at_us=100))
        await log.go_back(4)
        await _write(log, 9, "another life", at_us=200)
        feed = await feeds.watch(COMPANY)
        assert feed.epoch == (await log.stream()).epoch != "e1"


async def test_it_is_noticed_in_turn(log: Written) -> None:
    """For those who come to another process, which may have been started since."""
    async with _feeds(log) as feeds:
        feeds.publish(await _write(log, 5, at_us=100))
        await log.go_back(4)
        await _write(log, 9, "another life", at_us=200)
        await feeds._marks.compare()
        assert (await log.stream()).epoch != "e1"


async def test_a_company_that_was_watched_is_remembered(log: Written) -> None:
    """What others wrote came by the bus; how it was written is read when the feed is let go."""
    async with _feeds(log) as feeds:
        feed = await feeds.watch(COMPANY)
        feed.accept(await _write(log, 5, at_us=100), "bus")
        feed.used_at = float("-inf")
        feeds.evict_idle()
        await feeds._marks.compare()
        await log.go_back(4)
        await _write(log, 9, "another life", at_us=200)
        assert (await feeds.watch(COMPANY)).epoch != "e1"


async def test_two_of_our_own_in_the_other_order_are_no_step_back(log: Written) -> None:
    """Both commits are there: what is announced later may have been written first."""
    async with _feeds(log) as feeds:
        first, second = await _write(log, at_us=100), await _write(log, at_us=101)
        assert not feeds._marks.record_batch(second)
        assert feeds._marks.record_batch(first)
        await feeds._marks.compare()
        assert (await log.stream()).epoch == "e1"
        assert not feeds._marks._suspects


async def test_trimmed_and_renewed_logs_are_no_step_back(log: Written) -> None:
    """Retention has taken the event; an operator began a new epoch."""
    for change in (
        "UPDATE omni_inbox_streams SET floor = head",
        "UPDATE omni_inbox_streams SET epoch = 'e2'",
    ):
        marks = LogMarks(log.database)
        marks.record(COMPANY, Mark("e1", 3, 1))
        await log.database.transaction(lambda c: c.execute("DELETE FROM omni_inbox_events", {}))
        # awaited at once
        await log.database.transaction(lambda c: c.execute(change, {}))  # noqa: B023
        before = await log.stream()
        await marks.compare()
        assert await log.stream() == before


async def test_an_older_epoch_is_a_step_back(log: Written) -> None:
    """A backup of a life before: cursors of that one are still about."""
    marks = LogMarks(log.database)
    marks.record(COMPANY, Mark("e2", 1, 0))
    await marks.compare([COMPANY])
    assert (await log.stream()).epoch not in ("e1", "e2")


async def test_marks_are_bounded_and_only_go_on(
    monkeypatch: pytest.MonkeyPatch, log: Written
) -> None:
    """The oldest go; an older word than what is known changes nothing."""
    monkeypatch.setattr("server.live.log_marks._MAX_MARKS", 3)
    marks = LogMarks(log.database)
    for company_id in range(6):
        marks.record(company_id, Mark("e1", 5, 7))
        marks.record(company_id, Mark("e1", 4, 8))
        marks.record(company_id, Mark("e0", 9, 8))
        marks.record(company_id, Mark("e1", 5))
    assert dict(marks._marks) == dict.fromkeys((3, 4, 5), Mark("e1", 5, 7))
    assert not marks._unfilled


async def _has_begun_anew(log: Written) -> bool:
    return (await log.stream()).epoch != "e1"
