"""Work for other people's servers: once each, by address, bounded, and again later."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from server.chatwoot import background_calls
from server.chatwoot.background_calls import Paced, TryLater
from tests.kit.eventually import eventually


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_calls, "_INITIAL_BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(background_calls, "_MAX_BACKOFF_SECONDS", 0.002)


@asynccontextmanager
async def running(work: Paced[int, str]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work.run())
        yield
        task.cancel()


async def test_the_same_is_done_once_with_its_newest_value() -> None:
    done: list[tuple[int, str]] = []

    async def do(key: int, value: str) -> None:
        done.append((key, value))

    work: Paced[int, str] = Paced(do, gather_seconds=0.0, max_waiting=10)
    for value in ("old", "new"):
        assert work.submit("a", 1, value)
    assert work.submit("a", 2, "other")
    async with running(work):
        await eventually(lambda: len(done) == 2, limit=30)
        work.submit("a", 1, "again")
        await eventually(lambda: len(done) == 3, limit=30)
    assert done == [(1, "new"), (2, "other"), (1, "again")]


async def test_a_server_that_hangs_holds_back_its_own_alone() -> None:
    done: list[int] = []
    never = asyncio.Event()

    async def do(key: int, value: str) -> None:
        if value == "hangs":
            await never.wait()
        done.append(key)

    work: Paced[int, str] = Paced(do, gather_seconds=0.0, max_waiting=3)
    async with running(work):
        work.submit("slow", 1, "hangs")
        work.submit("slow", 2, "waits")
        work.submit("quick", 3, "goes")
        await eventually(lambda: done == [3], limit=30)
        assert work.submit("slow", 4, "waits")
        assert work.submit("slow", 5, "waits")
        assert not work.submit("slow", 6, "there is no room")
        assert work.submit("slow", 5, "is there already")


async def test_what_cannot_be_done_now_is_done_later_and_in_the_end_given_up() -> None:
    tried: list[int] = []

    async def do(key: int, value: str) -> None:
        tried.append(key)
        if value == "never" or tried.count(key) < 3:
            raise TryLater
        if value == "breaks":
            raise ValueError("a mistake of ours")

    work: Paced[int, str] = Paced(do, gather_seconds=0.0, max_waiting=10)
    for key, value in ((1, "never"), (2, "breaks"), (3, "works")):
        work.submit("a", key, value)
    async with running(work):
        await eventually(
            lambda: tried.count(1) == background_calls._MAX_TRIES + 1 and tried.count(3) == 3,
            limit=30,
        )
        work.submit("a", 4, "works")
        await eventually(lambda: tried.count(4) == 3, limit=30)
    assert (tried.count(1), tried.count(2)) == (background_calls._MAX_TRIES + 1, 3)
