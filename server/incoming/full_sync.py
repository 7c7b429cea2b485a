"""Syncs: fetches what an integration has in Chatwoot, whole, through the same projection as
webhooks; or compares without writing.

It can be run again at any time: what is there already is recognised by its ids and only counted.
How nothing hides between two answers is `chatwoot/conversation_listing.py` and
`chatwoot/message_windows.py`; nothing is ever deleted because a list did not have it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import msgspec

from server import log
from server.chatwoot import (
    ChatwootClient,
    ChatwootError,
    ChatwootRefused,
    Listing,
)
from server.core.chatwoot.conversation_payloads import parse_conversation
from server.db.access.integration_record import Integration
from server.db.engine.database import Database
from server.db.state import history
from server.errors import NotFound, OmniError, PayloadError
from server.incoming.conversation_sync import ConversationSync
from server.incoming.full_sync_leases import LeaseLost, SyncLeases
from server.incoming.ingest import Ingester
from server.incoming.sync_outcome import SyncOutcome
from server.integrations.directory import Directory
from server.problems import Problem
from server.tasks import spawn

_logger = log.get(__name__)
_MAX_FAILURES = 3
_GONE = 404

Json = dict[str, Any]
ClientOf = Callable[[Integration], ChatwootClient]
OnProgress = Callable[["SyncOutcome"], None]


class _Run(msgspec.Struct):
    """The parameters of one sync. `since_us`: what was verified since then is left out; None:
    what an interrupted sync has fetched.
    """

    client: ChatwootClient
    integration: Integration
    outcome: SyncOutcome
    on_progress: OnProgress
    writes: bool
    since_us: int | None
    asked_us: int = 0  # by our clock; no answer it gets is older

    @property
    def is_own(self) -> bool:
        """Whether the sync was asked for; else it is the slow comparison."""
        return self.since_us is None


class FullSync:
    """Fetches whole integrations for the REST endpoint, the command and the jobs."""

    def __init__(
        self, database: Database, directory: Directory, ingester: Ingester, client_of: ClientOf
    ) -> None:
        self._database = database
        self._directory = directory
        self.conversations = ConversationSync(database, ingester)
        self._client_of = client_of
        self._running: dict[int, asyncio.Future[SyncOutcome]] = {}  # by integration
        self._leases = SyncLeases(database)
        # numbers that no conversation of an integration has
        self._absent: defaultdict[int, set[int]] = defaultdict(set)

    async def sync_company(self, company_id: int, integration_id: int | None) -> list[SyncOutcome]:
        """Syncs all active integrations of a company, or the one asked for. Raises NotFound for
        another company's.

        The polling pages of the CRM have a button for it, so every agent may: whoever asks while a
        sync runs gets that one's outcome, and twenty who press it at once are one sync at Chatwoot.
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
            raise NotFound(Problem.of("integration.unknown", id=integration_id))
        return [await self._shared(integration) for integration in chosen]

    async def _shared(self, integration: Integration) -> SyncOutcome:
        """The outcome of the sync that runs in this process, or a new one. Cancelling the wait is
        safe: the sync goes on for the others.
        """
        outcome = self._running.get(integration.id)
        if outcome is None:
            outcome = self._running[integration.id] = asyncio.get_running_loop().create_future()
            spawn(self._run_for(integration, outcome), f"sync-{integration.id}")
        return await asyncio.shield(outcome)

    async def _run_for(
        self, integration: Integration, outcome: "asyncio.Future[SyncOutcome]"
    ) -> None:
        try:
            outcome.set_result(await self.run(integration))
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait for the outcome
            outcome.set_exception(error)
        finally:
            del self._running[integration.id]
            if not outcome.done():
                outcome.cancel()

    async def run(
        self,
        integration: Integration,
        on_progress: OnProgress = lambda outcome: None,
        *,
        writes: bool = True,
        client: ChatwootClient | None = None,
        since_us: int | None = None,
    ) -> SyncOutcome:
        """Fetches everything the integration has, or what the sync of another process finds that is
        under way. What goes wrong stands in `errors`; what was done stays done. Without `writes` it
        is only compared. `since_us`: what was verified since then is left out, slowly and beside
        the syncs that people ask for; else what an interrupted sync has fetched.
        """
        outcome = SyncOutcome(integration.id)
        if integration.problem or not integration.base_url or integration.account_id is None:
            outcome.fail(integration.problem or "The integration has no base URL or no account id")
            return outcome
        asked = _Run(
            client or self._client_of(integration),
            integration,
            outcome,
            on_progress,
            writes,
            since_us,
        )
        if not writes or since_us is not None:
            return await self._run_logged(asked)

        async def fetch() -> str:
            return msgspec.json.encode(await self._run_logged(asked)).decode()

        try:
            found = await self._leases.run(integration.id, fetch, lambda: on_progress(outcome))
            return msgspec.json.decode(found, type=SyncOutcome)
        except OmniError as error:
            outcome.fail(error.problem)
        except LeaseLost:
            outcome.fail("This process stood still, and another one goes on with the sync")
        return outcome

    async def _run_logged(self, run: _Run) -> SyncOutcome:
        outcome = run.outcome
        try:
            await self._fetch_all(run)
        except OmniError as error:
            outcome.fail(error.problem)
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

    async def _fetch_all(self, run: _Run) -> None:
        """Fetches every conversation that an interrupted sync has not fetched since it began."""
        integration, outcome = run.integration, run.outcome
        began_us, done = run.since_us or self._database.clock.now_us(), set[int]()
        if run.writes:
            began_us, done = await self._resume(integration, outcome, began_us, is_own=run.is_own)
        run.asked_us = self._database.clock.now_us()
        listing = Listing(run.client, integration.inbox_id, self._absent[integration.id])
        async for item in listing.rows():
            outcome.total = listing.count
            if item.get("id") in done:
                continue
            await self._fetch(run, item)
            outcome.walked += 1
            run.on_progress(outcome)
        outcome.total = outcome.comparison.conversations_there = len(
            listing.found - self._absent[integration.id]
        )
        here = await self._database.read(
            lambda c: history.read_present(c, integration.id, sorted(listing.found))
        )
        outcome.comparison.conversations_here = len(here - self._absent[integration.id])
        if listing.problem:
            outcome.fail(listing.problem)
        if run.writes:
            is_whole = not outcome.errors and not outcome.comparison.messages_missing
            verified_us = began_us if is_whole else None
            await self._database.transaction(
                lambda c: history.end_sync(c, integration.id, verified_us, is_own=run.is_own)
            )

    async def _resume(
        self, integration: Integration, outcome: SyncOutcome, now_us: int, *, is_own: bool
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

    async def _fetch(self, run: _Run, item: Json) -> None:
        """Fetches one conversation; one that Chatwoot cannot show does not hide those behind it.
        Raises what would meet them as well.
        """
        outcome = run.outcome
        try:
            with outcome.sparing(item):
                state = parse_conversation(item, asked_us=run.asked_us)
                await self.conversations.sync(
                    run.client, run.integration, state, outcome, writes=run.writes
                )
        except ChatwootRefused as error:
            if error.chatwoot_status == _GONE:  # deleted since it was listed
                self._absent[run.integration.id].add(item["id"])
                return
            outcome.fail(f"conversation {item.get('id')}: {error.message}")
        except (ChatwootError, PayloadError) as error:
            outcome.fail(f"conversation {item.get('id')}: {error.message}")
            outcome.failures += 1
            if isinstance(error, ChatwootError) and outcome.failures >= _MAX_FAILURES:
                raise
        else:
            outcome.failures = 0
