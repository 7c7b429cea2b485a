"""Tells Chatwoot that an agent types a reply, so that the customer sees it where the channel can
show it. Nothing waits for it and nothing is tried again: what comes late is not worth telling.
"""

import asyncio
import time
from collections.abc import Callable

import msgspec

from server import log
from server.chatwoot import ChatwootClient, ChatwootError
from server.chatwoot.background_calls import Paced
from server.core.bounded_dict import BoundedDict
from server.db.access.integration_record import Integration
from server.db.engine.database import Database
from server.db.state import read_state
from server.errors import Unavailable
from server.integrations.directory import Directory
from server.tasks import spawn

ClientOf = Callable[[Integration], ChatwootClient]
# Chatwoot passes typing on to its web chat and to the callback of an API inbox
# (action_cable_listener.rb, webhook_listener.rb), and to no other channel
REACHED = ("Channel::WebWidget", "Channel::Api")
TYPING_SECONDS = 6.0  # without another word an agent has stopped
_AGAIN_SECONDS = 20.0  # the web chat forgets it after 30 s
_STALE_SECONDS = 5.0
_TICK_SECONDS = 1.0
_MAX_WAITING = 500
_MAX_LOOK_UPS = 100  # at once
_logger = log.get(__name__)


class _Wish(msgspec.Struct, frozen=True):
    """What Chatwoot is to be told, and since when; by `time.monotonic`."""

    company_id: int
    place: read_state.Place
    is_typing: bool
    since: float


class CustomerTyping:
    """Knows which conversations agents of this process answer right now; service `run`."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        client_of: ClientOf,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._directory = directory
        self._client_of = client_of
        self._monotonic = monotonic
        # (company, conversation) -> agent -> until when they type
        self._typists: dict[tuple[int, int], dict[int, float]] = {}
        self._said_at: BoundedDict[tuple[int, int], float] = BoundedDict(_MAX_WAITING)
        self._look_ups = 0
        self._work: Paced[int, _Wish] = Paced(
            self._send, gather_seconds=0.1, max_waiting=_MAX_WAITING
        )

    async def run(self) -> None:
        """Tell Chatwoot, and end once a second what was not said again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._work.run())
            while True:
                await asyncio.sleep(_TICK_SECONDS)
                self.tick()

    def say(self, company_id: int, conversation_id: int, agent_id: int, *, on: bool) -> None:
        """Record that an agent types a public reply, or no longer does."""
        key, now = (company_id, conversation_id), self._monotonic()
        if on:
            self._typists.setdefault(key, {})[agent_id] = now + TYPING_SECONDS
            if now - self._said_at.get(key, -_AGAIN_SECONDS) >= _AGAIN_SECONDS:
                self._said_at[key] = now
                self._look_up(key, now, is_typing=True)
        elif self._typists.get(key, {}).pop(agent_id, None) is not None:
            self._end(key, now)

    def tick(self) -> None:
        """End what was not said again."""
        now = self._monotonic()
        for key, typists in list(self._typists.items()):
            for agent_id in [one for one, until in typists.items() if until <= now]:
                del typists[agent_id]
            self._end(key, now)

    def _end(self, key: tuple[int, int], now: float) -> None:
        if not self._typists.get(key):
            self._typists.pop(key, None)
            if self._said_at.pop(key, None) is not None:
                self._look_up(key, now, is_typing=False)

    def _look_up(self, key: tuple[int, int], now: float, *, is_typing: bool) -> None:
        if self._look_ups < _MAX_LOOK_UPS:
            self._look_ups += 1
            spawn(self._submit(key, now, is_typing=is_typing), f"typing-in-{key[1]}")

    async def _submit(self, key: tuple[int, int], since: float, *, is_typing: bool) -> None:
        company_id, conversation_id = key
        try:
            place = await self._database.read(lambda c: read_state.read_place(c, *key))
        except Unavailable:
            return
        finally:
            self._look_ups -= 1
        # the look-up of what came later may have been quicker
        is_over = is_typing != (key in self._said_at)
        if is_over or place is None or place.channel not in REACHED:
            return
        integration = self._directory.of_company(company_id, place.integration_id)
        if integration is not None and integration.is_active and integration.base_url:
            wish = _Wish(company_id, place, is_typing, since)
            self._work.submit(integration.base_url, conversation_id, wish)

    async def _send(self, conversation_id: int, wish: _Wish) -> None:
        place = wish.place
        integration = self._directory.of_company(wish.company_id, place.integration_id)
        is_late = self._monotonic() - wish.since > _STALE_SECONDS
        if integration is None or (wish.is_typing and is_late):
            return
        try:
            await self._client_of(integration).toggle_typing(place.display_id, on=wish.is_typing)
        except ChatwootError as error:
            _logger.debug("typing not told to Chatwoot", reason=error.message)
