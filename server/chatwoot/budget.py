"""How many requests we allow ourselves towards one Chatwoot address.

Chatwoot (config/initializers/rack_attack.rb) answers 429 above 3,000 requests a minute from one
address of ours, which the agents' browsers in the same office share; it never says how long to
wait.
"""

import asyncio
import time
from collections.abc import Callable

from server.chatwoot.answers import ChatwootUnavailable

CHATWOOT_REQUESTS_PER_MINUTE = 3000
# leave room for the browsers behind the same address
DEFAULT_SHARE = 0.8
# after a 429 everybody waits this long: rack-attack counts in whole minutes, so trying at once only
# costs
PAUSE_SECONDS = 5.0
MAX_WAIT_SECONDS = 15.0
# the last part of the bucket is kept for replies: a sync must not make a customer wait
READS_LEAVE_SHARE = 0.2
_BURST_SECONDS = 1.0


class RequestBudget:
    """A token bucket; one for each address, shared by all clients of it in this process. Not for
    threads.
    """

    def __init__(
        self,
        *,
        per_minute: float = CHATWOOT_REQUESTS_PER_MINUTE * DEFAULT_SHARE,
        max_wait_seconds: float = MAX_WAIT_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = per_minute / 60
        self._size = max(self._rate * _BURST_SECONDS, 1.0)
        self._max_wait_seconds = max_wait_seconds
        self._pause_seconds = pause_seconds
        self._monotonic = monotonic
        self._tokens = self._size
        self._counted_at = monotonic()
        self._closed_until = 0.0
        # question -> until when Chatwoot may still be at work on it
        self._unanswered: dict[str, float] = {}

    def check_open(self, question: str) -> None:
        """Raises ChatwootUnavailable while the same question may still be worked on there."""
        now = self._monotonic()
        self._unanswered = {
            asked: until for asked, until in self._unanswered.items() if until > now
        }
        if question in self._unanswered:
            raise ChatwootUnavailable(
                "Chatwoot has not answered the same question yet; it is asked again later"
            )

    def close(self, question: str, seconds: float) -> None:
        """It was left without an answer just now."""
        self._unanswered[question] = self._monotonic() + seconds

    async def acquire(self, *, is_write: bool) -> None:
        """Wait for one request's worth. Cancelling takes nothing. Raises `ChatwootUnavailable` when
        the wait would be too long.
        """
        give_up_at = self._monotonic() + self._max_wait_seconds
        while (wait := self.seconds_until_free(is_write=is_write)) > 0:
            if self._monotonic() + wait > give_up_at:
                raise ChatwootUnavailable(
                    "Too many requests to Chatwoot are waiting; try again in a moment"
                )
            await asyncio.sleep(wait)
        self._tokens -= 1

    def seconds_until_free(self, *, is_write: bool) -> float:
        """0 if a request may go now."""
        now = self._monotonic()
        self._tokens = min(self._size, self._tokens + (now - self._counted_at) * self._rate)
        self._counted_at = now
        needed = 1.0 if is_write else min(1.0 + self._size * READS_LEAVE_SHARE, self._size)
        return max(self._closed_until - now, (needed - self._tokens) / self._rate, 0.0)

    def on_refused(self) -> None:
        """Chatwoot answered 429: nobody asks for a while."""
        self._tokens = 0.0
        self._counted_at = self._monotonic()
        self._closed_until = self._counted_at + self._pause_seconds


class SlowBudget(RequestBudget):
    """Another budget's, and of that so many an hour: for what has time. Made for one walk."""

    def __init__(
        self,
        shared: RequestBudget,
        per_hour: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(monotonic=monotonic)
        self._shared = shared
        self._pause = 3_600.0 / per_hour
        self._next_at = monotonic()

    async def acquire(self, *, is_write: bool) -> None:
        """Wait for the next turn, then for the shared budget."""
        turn_at = max(self._next_at, self._monotonic())
        self._next_at = turn_at + self._pause
        await asyncio.sleep(turn_at - self._monotonic())
        await self._shared.acquire(is_write=is_write)

    def check_open(self, question: str) -> None:
        """Asks the shared budget: a question is closed for all clients of an address."""
        self._shared.check_open(question)

    def close(self, question: str, seconds: float) -> None:
        """Closes the question in the shared budget, for so many seconds."""
        self._shared.close(question, seconds)

    def on_refused(self) -> None:
        """Makes all clients of the address pause."""
        self._shared.on_refused()


class RequestBudgets:
    """The budgets of all addresses; one object for the process."""

    def __init__(self, *, per_minute: float = CHATWOOT_REQUESTS_PER_MINUTE * DEFAULT_SHARE) -> None:
        self._per_minute = per_minute
        self._budgets: dict[str, RequestBudget] = {}

    def of(self, base_url: str) -> RequestBudget:
        """The budget of an address, made when it is first asked for."""
        key = base_url.rstrip("/").lower()
        if key not in self._budgets:
            self._budgets[key] = RequestBudget(per_minute=self._per_minute)
        return self._budgets[key]
