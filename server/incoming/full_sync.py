"""Sync: fetch what an integration has in Chatwoot, whole, through the same projection as webhooks;
or compare without writing.

It can be run again at any time: what is there already is recognised by its ids and only counted.
How nothing hides between two answers is `chatwoot/listing.py` and `chatwoot/paging.py`; nothing is
ever deleted because a list did not have it.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from server import log
from server.chatwoot import (
    ChatwootClient,
    ChatwootError,
    ChatwootRefused,
    Listing,
    message_windows,
)
from server.core.chatwoot.changes import Change, ConversationState
from server.core.chatwoot.payloads import parse_conversation, parse_message
from server.core.state.projection import Result, Source
from server.db.access.accounts import Integration
from server.db.engine.database import Database
from server.db.state import history
from server.errors import NotFound, OmniError, PayloadError
from server.incoming.full_sync_leases import LeaseLost, SoleWalks
from server.incoming.ingest import Ingester, Told, place_of
from server.integrations.directory import Directory
from server.tasks import spawn

_logger = log.get(__name__)
_AT_ONCE = 100  # messages in one transaction: their company's stream is locked for it
_ERRORS_MOST = 20
_DIFFERENCES_MOST = 100
_FAILURES_MOST = 3
_GONE = 404

Json = dict[str, Any]
ClientOf = Callable[[Integration], ChatwootClient]
OnProgress = Callable[["Outcome"], None]


class Difference(msgspec.Struct, frozen=True):
    """A conversation whose messages are not all here."""

    conversation: int
    there: int
    here: int
    missing: int


class Comparison(msgspec.Struct):
    """What Chatwoot has, and what of it is here. `there` without activity lines, which are not kept
    here.
    """

    conversations_there: int = 0
    conversations_here: int = 0
    messages_there: int = 0
    messages_here: int = 0
    messages_missing: int = 0
    differences: list[Difference] = msgspec.field(default_factory=list)

    def view(self) -> Json:
        there, here = self.conversations_there, self.conversations_here
        return {
            "conversations": {"there": there, "here": here, "missing": max(0, there - here)},
            "messages": {
                "there": self.messages_there,
                "here": self.messages_here,
                "missing": self.messages_missing,
            },
            "differences": [msgspec.to_builtins(one) for one in self.differences],
        }

    @property
    def is_incomplete(self) -> bool:
        return self.conversations_here < self.conversations_there or self.messages_missing > 0

    def note(self, number: int, there: set[int], here: set[int]) -> None:
        missing = len(there - here)
        self.messages_there += len(there)
        self.messages_here += len(there & here)
        self.messages_missing += missing
        if missing and len(self.differences) < _DIFFERENCES_MOST:
            self.differences.append(Difference(number, len(there), len(there & here), missing))


class Outcome(msgspec.Struct):
    """What a sync found, so far or in the end."""

    integration_id: int
    total: int | None = None  # conversations there are in Chatwoot, once it has said so
    walked: int = 0  # conversations, those of an interrupted walk before it included
    walked_before: int = 0  # by that
    is_resumed: bool = False
    conversations_created: int = 0
    conversations_updated: int = 0
    messages_created: int = 0
    messages_updated: int = 0
    messages_skipped: int = 0
    comparison: Comparison = msgspec.field(default_factory=Comparison)
    errors: list[str] = msgspec.field(default_factory=list)
    error_count: int = 0  # `errors` has the first ones
    failures: int = 0  # conversations in a row that Chatwoot could not show

    def view(self) -> Json:
        return {
            "integrationId": self.integration_id,
            "conversations": {
                "created": self.conversations_created,
                "updated": self.conversations_updated,
            },
            "messages": {"created": self.messages_created, "skipped": self.messages_skipped},
            "comparison": self.comparison.view(),
            "errors": self.errors,
        }

    def count(self, told: Told) -> None:
        self.conversations_created += told.conversation is Result.CREATED
        self.conversations_updated += told.conversation is Result.UPDATED
        if told.change.message is not None:
            self.messages_created += told.message is Result.CREATED
            self.messages_updated += told.message is Result.UPDATED
            self.messages_skipped += told.message is not Result.CREATED

    @contextlib.contextmanager
    def sparing(self, item: Json) -> Iterator[None]:
        """What nobody thought of in one conversation must not end the walk through all others: it
        stands in `errors`, and in the log.
        """
        try:
            yield
        except OmniError:
            raise
        except Exception as error:
            _logger.exception(
                "conversation cannot be read",
                integration_id=self.integration_id,
                conversation=item.get("id"),
            )
            self.fail(f"conversation {item.get('id')}: {type(error).__name__}")

    def fail(self, sentence: str) -> None:
        self.error_count += 1
        if len(self.errors) < _ERRORS_MOST:
            self.errors.append(sentence)


class _Walk(msgspec.Struct):
    """What one walk was asked to do. `since_us`: what was verified since then is left out; None:
    what an interrupted sync has fetched.
    """

    client: ChatwootClient
    integration: Integration
    outcome: Outcome
    on_progress: OnProgress
    writes: bool
    since_us: int | None
    asked_us: int = 0  # by our clock; no answer it gets is older

    @property
    def is_own(self) -> bool:
        """A sync that somebody asked for, not the slow comparison."""
        return self.since_us is None


class Sync:
    """Walks for the REST endpoint and the command."""

    def __init__(
        self, database: Database, directory: Directory, ingester: Ingester, client_of: ClientOf
    ) -> None:
        self._database = database
        self._directory = directory
        self._ingester = ingester
        self._client_of = client_of
        self._under_way: dict[int, asyncio.Future[Outcome]] = {}  # by integration
        self._sole = SoleWalks(database)
        # numbers that no conversation of an integration has
        self._absent: defaultdict[int, set[int]] = defaultdict(set)

    async def company(self, company_id: int, integration_id: int | None) -> list[Outcome]:
        """All active integrations of a company, or the one asked for. Raises NotFound for another
        company's.

        The polling pages of the CRM have a button for it, so every agent may: whoever asks while a
        walk is under way gets that one's outcome, and twenty who press it at once are one walk at
        Chatwoot.
        """
        await self._directory.refresh()
        own = [
            integration
            for integration in self._directory.integrations.values()
            if integration.company_id == company_id
        ]
        chosen = [
            i for i in own if (i.is_active if integration_id is None else i.id == integration_id)
        ]
        if integration_id is not None and not chosen:
            raise NotFound(f"There is no Chatwoot integration {integration_id}")
        return [await self._shared(integration) for integration in chosen]

    async def _shared(self, integration: Integration) -> Outcome:
        """The walk that is under way in this process, or a new one. Cancelling the wait is safe:
        the walk goes on for the others.
        """
        outcome = self._under_way.get(integration.id)
        if outcome is None:
            outcome = self._under_way[integration.id] = asyncio.get_running_loop().create_future()
            spawn(self._walk_for(integration, outcome), f"sync-{integration.id}")
        return await asyncio.shield(outcome)

    async def _walk_for(self, integration: Integration, outcome: "asyncio.Future[Outcome]") -> None:
        try:
            outcome.set_result(await self.walk(integration))
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait for the outcome
            outcome.set_exception(error)
        finally:
            del self._under_way[integration.id]
            if not outcome.done():
                outcome.cancel()

    async def walk(
        self,
        integration: Integration,
        on_progress: OnProgress = lambda outcome: None,
        *,
        writes: bool = True,
        client: ChatwootClient | None = None,
        since_us: int | None = None,
    ) -> Outcome:
        """Everything the integration has, or what the sync of another process finds that is under
        way. What goes wrong stands in `errors`; what was done stays done. Without `writes` it is
        only compared. `since_us`: what was verified since then is left out, slowly and beside the
        syncs that people ask for; else what an interrupted sync has fetched.
        """
        outcome = Outcome(integration.id)
        if integration.problem or not integration.base_url or integration.account_id is None:
            outcome.fail(integration.problem or "The integration has no base URL or no account id")
            return outcome
        asked = _Walk(
            client or self._client_of(integration),
            integration,
            outcome,
            on_progress,
            writes,
            since_us,
        )
        if not writes or since_us is not None:
            return await self._walked(asked)

        async def walk() -> str:
            return msgspec.json.encode(await self._walked(asked)).decode()

        try:
            found = await self._sole.run(integration.id, walk, lambda: on_progress(outcome))
        except OmniError as error:
            outcome.fail(error.message)
            return outcome
        except LeaseLost:
            outcome.fail("This process stood still, and another one goes on with the sync")
            return outcome
        return msgspec.json.decode(found, type=Outcome)

    async def _walked(self, walk: _Walk) -> Outcome:
        outcome = walk.outcome
        try:
            await self._all(walk)
        except OmniError as error:
            outcome.fail(error.message)
        counts = {
            key: value
            for key, value in outcome.view().items()
            if key not in ("errors", "comparison")
        }
        _logger.info(
            "sync ended",
            **counts,
            missing=outcome.comparison.messages_missing,
            errors=len(outcome.errors),
        )
        return outcome

    async def _all(self, walk: _Walk) -> None:
        """Every conversation but those that an interrupted sync has fetched since it began."""
        integration, outcome = walk.integration, walk.outcome
        began_us, done = walk.since_us or self._database.clock.now_us(), set[int]()
        if walk.writes:
            began_us, done = await self._resume(integration, outcome, began_us, is_own=walk.is_own)
        walk.asked_us = self._database.clock.now_us()
        listing = Listing(walk.client, integration.inbox_id, self._absent[integration.id])
        async for item in listing.rows():
            outcome.total = listing.count
            if item.get("id") in done:
                continue
            await self._conversation(walk, item)
            outcome.walked += 1
            walk.on_progress(outcome)
        outcome.total = outcome.comparison.conversations_there = len(
            listing.found - self._absent[integration.id]
        )
        here = await self._database.read(
            lambda c: history.read_present(c, integration.id, sorted(listing.found))
        )
        outcome.comparison.conversations_here = len(here - self._absent[integration.id])
        if listing.problem:
            outcome.fail(listing.problem)
        if walk.writes:
            is_whole = not outcome.errors and not outcome.comparison.messages_missing
            verified_us = began_us if is_whole else None
            await self._database.transaction(
                lambda c: history.end_sync(c, integration.id, verified_us, is_own=walk.is_own)
            )

    async def _resume(
        self, integration: Integration, outcome: Outcome, now_us: int, *, is_own: bool
    ) -> tuple[int, set[int]]:
        began_us = now_us
        if is_own:
            began_us = await self._database.transaction(
                lambda c: history.begin_sync(c, integration.id, now_us)
            )
            if began_us == now_us:
                return began_us, set()
        done, messages = await self._database.read(
            lambda c: history.read_verified(c, integration.id, began_us)
        )
        outcome.is_resumed = True
        outcome.walked = outcome.walked_before = len(done)
        outcome.comparison.messages_there += messages
        outcome.comparison.messages_here += messages
        return began_us, done

    async def _conversation(self, walk: _Walk, item: Json) -> None:
        """One that Chatwoot cannot show does not hide those behind it. Raises what would meet them
        as well.
        """
        outcome = walk.outcome
        try:
            with outcome.sparing(item):
                state = parse_conversation(item, asked_us=walk.asked_us)
                await self.take_conversation(
                    walk.client, walk.integration, state, outcome, writes=walk.writes
                )
        except ChatwootRefused as error:
            if error.chatwoot_status == _GONE:  # deleted since it was listed
                self._absent[walk.integration.id].add(item["id"])
                return
            outcome.fail(f"conversation {item.get('id')}: {error.message}")
        except (ChatwootError, PayloadError) as error:
            outcome.fail(f"conversation {item.get('id')}: {error.message}")
            outcome.failures += 1
            if isinstance(error, ChatwootError) and outcome.failures >= _FAILURES_MOST:
                raise
        else:
            outcome.failures = 0

    async def take_conversation(
        self,
        client: ChatwootClient,
        integration: Integration,
        state: ConversationState,
        outcome: Outcome,
        *,
        writes: bool = True,
    ) -> None:
        """One conversation with all of its messages."""
        if writes:
            await self._apply(
                integration, [Change(None, None, state, None, state.version_us)], outcome
            )
        there, number = set[int](), state.display_id
        asked_us = started_us = self._database.clock.now_us()
        async for rows in message_windows(client, number):
            changes = message_changes(state, rows, asked_us, outcome)
            there.update(
                change.message.message_id
                for change in changes
                if change.message and change.message.message_id
            )
            for begin in range(0, len(changes) if writes else 0, _AT_ONCE):
                await self._apply(integration, changes[begin : begin + _AT_ONCE], outcome)
            asked_us = self._database.clock.now_us()
        here = await self._database.read(
            lambda c: history.read_message_numbers(c, integration.id, number)
        )
        outcome.comparison.note(number, there, here)
        if writes and there <= here:
            await self._database.transaction(
                lambda c: history.mark_verified(c, integration.id, number, started_us)
            )

    async def _apply(
        self, integration: Integration, changes: Sequence[Change], outcome: Outcome
    ) -> None:
        source, now_us = (
            Source(integration.id, integration.company_id),
            self._database.clock.now_us(),
        )
        told = [Told(source, change, now_us) for change in changes]
        if told:
            await self._ingester.apply(told)
        for one in told:
            outcome.count(one)
            if one.problem:
                outcome.fail(f"{place_of(one)} cannot be stored: {one.problem}")


def message_changes(
    state: ConversationState, messages: Sequence[Json], asked_us: int, outcome: Outcome
) -> list[Change]:
    """A list of messages as changes; activity lines are left out, broken ones are noted. `state`
    was read before the list: its version is the least these messages have.
    """
    changes = []
    for item in messages:
        try:
            message = parse_message(item, asked_us=asked_us, version_us=state.version_us)
        except PayloadError as error:
            outcome.fail(
                f"conversation {state.display_id}, message {item.get('id')}: {error.message}"
            )
            continue
        if message is not None:
            changes.append(Change(None, None, state, message, message.created_us))
    return changes
