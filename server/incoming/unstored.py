"""What Chatwoot has and the database refuses: the one way in which several things are stored, so
that one of them ends nothing.

Whoever stores many gives them here. They go together; where that fails they are halved, until the
one to blame is alone: it is left out, remembered with the reason, said in `/readyz` and asked for
again by itself (`unstored_retries`). The others are stored.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from server import log
from server.core.backoff import doubled
from server.errors import DatabaseUnavailable, OmniError
from server.problems import Problem, Text

T = TypeVar("T")

_logger = log.get(__name__)
_MAX_KEPT = 500  # of all integrations; what is beyond is met again by the comparison of history
_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 5.0, 600.0


class Place(NamedTuple):
    """The address of a thing in Chatwoot; without a message it is the conversation itself."""

    integration_id: int
    conversation: int
    message: int | None = None

    def __str__(self) -> str:
        if self.message is None:
            return f"conversation {self.conversation}"
        return f"message {self.message} of conversation {self.conversation}"


class _Entry:
    __slots__ = ("due", "reason", "tries")

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.tries = 0
        self.put_off()

    def put_off(self) -> None:
        """Sets when it is tried again: later with each try."""
        self.tries += 1
        self.due = time.monotonic() + doubled(
            _INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS, self.tries
        )


class Unstored:
    """Of this process. A restart forgets it, and what asks Chatwoot meets it again."""

    def __init__(self) -> None:
        self._entries: dict[Place, _Entry] = {}

    async def store_each(
        self,
        things: Sequence[T],
        place_of: Callable[[T], Place],
        store: Callable[[Sequence[T]], Awaitable[None]],
    ) -> list[tuple[T, str]]:
        """Store all of them but those that cannot be; returns these, with the reason. Raises
        DatabaseUnavailable.
        """
        try:
            await store(things)
        except (DatabaseUnavailable, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the others must not pay for it
            if len(things) > 1:
                middle = len(things) // 2
                first = await self.store_each(things[:middle], place_of, store)
                return first + await self.store_each(things[middle:], place_of, store)
            return [(things[0], self._remember(place_of(things[0]), error))] if things else []
        self.forget(place_of(one) for one in things)
        return []

    def forget(self, places: Iterable[Place]) -> None:
        """They are stored now, or there are none such any more."""
        if self._entries:
            for place in places:
                self._entries.pop(place, None)

    def problems(self) -> list[Problem]:
        """One for each integration."""
        by_integration: dict[int, list[Place]] = {}
        for place in self._entries:
            by_integration.setdefault(place.integration_id, []).append(place)
        return [
            Problem.of(
                "integration.named_problem",
                id=number,
                why=_unstored(str(places[0]), len(places) - 1, self._entries[places[0]].reason),
            )
            for number, places in by_integration.items()
        ]

    def take_due(self) -> tuple[int, int] | None:
        """(integration, conversation) of what is to be asked for again now; it is due later then,
        after a longer pause.
        """
        now = time.monotonic()
        due = next((place for place, entry in self._entries.items() if entry.due <= now), None)
        if due is None:
            return None
        for place, entry in self._entries.items():
            if place[:2] == due[:2]:
                entry.put_off()
        return due[:2]

    def forget_conversation(self, integration_id: int, conversation: int) -> None:
        """Drops the entries of a conversation that is gone, or whose integration is."""
        self._entries = {
            place: one
            for place, one in self._entries.items()
            if place[:2] != (integration_id, conversation)
        }

    def _remember(self, place: Place, error: Exception) -> str:
        reason = (
            error.message if isinstance(error, OmniError) else f"{type(error).__name__}: {error}"
        )
        known = self._entries.get(place)
        if known is None:
            is_ours = isinstance(error, OmniError)
            _logger.error(
                "cannot be stored",
                integration_id=place.integration_id,
                what=str(place),
                reason=reason,
                exc_info=None if is_ours else error,
            )
            if len(self._entries) < _MAX_KEPT:
                self._entries[place] = _Entry(reason)
        else:
            known.reason = reason
        return reason


def _unstored(what: str, more: int, reason: Text) -> Problem:
    if more:
        return Problem.of("unstored.with_others", what=what, more=more, reason=reason)
    return Problem.of("unstored.one", what=what, reason=reason)
