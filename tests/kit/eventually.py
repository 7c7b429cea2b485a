"""Waiting for something to become true, with a limit, instead of sleeping.

All times are in seconds of a quiet machine; `OMNI_TEST_TIME_UNIT` (default 1.0) stretches them on a
slow one. `OMNI_TEST_PATIENCE` (default 1.0) stretches only how long is waited for what should
happen, where many tests share the machine.
"""

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

TIME_UNIT = float(os.environ.get("OMNI_TEST_TIME_UNIT", "1.0"))
_PATIENCE = float(os.environ.get("OMNI_TEST_PATIENCE", "1.0"))
_FIRST_PAUSE_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 0.1


def scaled(seconds: float) -> float:
    """Those seconds on this machine."""
    return seconds * TIME_UNIT


def patient(seconds: float) -> float:
    """The limit of a wait on this machine, among the other tests that run."""
    return scaled(seconds) * _PATIENCE


@overload
async def eventually(check: Callable[[], Awaitable[T | None]], limit: float = 15.0) -> T: ...


@overload
async def eventually(check: Callable[[], T | None], limit: float = 15.0) -> T: ...


async def eventually(check: Callable[[], Any], limit: float = 15.0) -> Any:
    """Call `check` until it returns something true without an AssertionError; returns that value.

    `check` may be plain or async. After `limit` seconds (scaled) an AssertionError tells what the
    last call came to.
    """
    attempts = _Attempts(limit)
    while True:
        try:
            outcome = check()
            value = await outcome if inspect.isawaitable(outcome) else outcome
        except AssertionError as error:
            attempts.failed(error)
        else:
            if value:
                return value
            attempts.failed(value)
        await asyncio.sleep(attempts.next_pause())


def eventually_sync(check: Callable[[], T | None], limit: float = 15.0) -> T:
    """`eventually` for code without an event loop."""
    attempts = _Attempts(limit)
    while True:
        try:
            value = check()
        except AssertionError as error:
            attempts.failed(error)
        else:
            if value:
                return value
            attempts.failed(value)
        time.sleep(attempts.next_pause())


class _Attempts:
    """Counts down the limit and lengthens the pause between calls."""

    def __init__(self, limit: float) -> None:
        self._limit = patient(limit)
        self._deadline = time.monotonic() + self._limit
        self._pause = _FIRST_PAUSE_SECONDS

    def failed(self, outcome: object) -> None:
        if time.monotonic() < self._deadline:
            return
        cause = outcome if isinstance(outcome, AssertionError) else None
        last = str(cause) if cause else f"the check returned {outcome!r}, not something true"
        raise AssertionError(f"not within {self._limit:g} s: {last}") from cause

    def next_pause(self) -> float:
        self._pause = min(self._pause * 1.5, _LONGEST_PAUSE_SECONDS)
        return self._pause
