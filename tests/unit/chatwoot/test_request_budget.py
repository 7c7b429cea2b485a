"""The budget of requests to one Chatwoot address."""

import asyncio

import pytest

from server.chatwoot import (
    ChatwootUnavailable,
    RequestBudget,
    RequestBudgets,
)

pytestmark = pytest.mark.anyio


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_budget_allows_a_burst_then_a_steady_rate() -> None:
    """60 a minute: one a second, and reads leave a part to replies."""
    clock = Clock()
    budget = RequestBudget(per_minute=600, monotonic=clock)  # a bucket of 10
    for _ in range(8):
        await budget.acquire(is_write=False)
    assert budget.seconds_until_free(is_write=False) > 0
    await budget.acquire(is_write=True)
    await budget.acquire(is_write=True)
    assert budget.seconds_until_free(is_write=True) == pytest.approx(0.1)
    clock.now += 1
    assert budget.seconds_until_free(is_write=False) == 0


async def test_budget_gives_up_instead_of_waiting_for_ever() -> None:
    """A wait longer than allowed is told at once."""
    budget = RequestBudget(per_minute=60, max_wait_seconds=0.5, monotonic=Clock())
    await budget.acquire(is_write=True)
    with pytest.raises(ChatwootUnavailable):
        await budget.acquire(is_write=True)


async def test_budget_pauses_after_429() -> None:
    """Nobody asks for a while, writes neither."""
    clock = Clock()
    budget = RequestBudget(pause_seconds=5.0, monotonic=clock)
    budget.on_refused()
    assert budget.seconds_until_free(is_write=True) == pytest.approx(5.0)
    clock.now += 5.0
    assert budget.seconds_until_free(is_write=True) == 0


async def test_cancelled_waiter_takes_nothing() -> None:
    """The budget is taken after the wait, in one step."""
    clock = Clock()
    budget = RequestBudget(per_minute=60, monotonic=clock)
    await budget.acquire(is_write=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await budget.acquire(is_write=True)
    clock.now += 1.0
    assert budget.seconds_until_free(is_write=True) == 0


async def test_clients_of_one_address_share_a_budget() -> None:
    """However the address is written."""
    budgets = RequestBudgets()
    assert budgets.of("https://Chat.test/") is budgets.of("https://chat.test")
    assert budgets.of("https://chat.test") is not budgets.of("https://other.test")
