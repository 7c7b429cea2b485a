"""Sends replies: claims what is due, attempts it, and stores what came of it.

Leases and due times are by the database's clock; what this process has under way it knows by
itself.
"""

import asyncio
import contextlib
from collections.abc import Callable

from server import log, metrics
from server.core.state.delivery import STORED_PRIVATE, STORED_PUBLIC
from server.core.times import SECOND
from server.core.wire.event_frames import EventBatch
from server.db.engine.database import Connection, Database
from server.db.state import outbox
from server.db.state.gone_marks import mark_gone
from server.db.state.outbox import Claim, Outgoing
from server.errors import DatabaseUnavailable, NotFound, Unavailable
from server.integrations.directory import Directory
from server.integrations.own_tokens import OwnTokens
from server.message_observer import MessageObserver
from server.outgoing.backlogs import Backlogs
from server.outgoing.reply_attempts import GONE, ClientOf, ReplyAttempts
from server.outgoing.reply_edits import ReplyEdits
from server.outgoing.reply_files import ReplyFiles

_logger = log.get(__name__)
_MAX_AT_ONCE = 64
_POLL_INTERVAL_SECONDS = 1.0
# Chatwoot gives a request up 15 s after it has begun with it (rack-timeout): a reply that it does
# not list by then will not come any more
CERTAIN_SECONDS = 20.0
LONGEST_SECONDS = 120.0  # an attempt with files, by the default settings
# more than any lease or due time of any process, whose settings may be others
_FURTHEST_SECONDS = 300.0


class ReplySender:
    """Sends what is due (service `run`)."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        publish: Callable[[EventBatch], None],
        client_of: ClientOf,
        own_tokens: OwnTokens,
        files: ReplyFiles,
        *,
        patience_seconds: float,
        certain_seconds: float = CERTAIN_SECONDS,
        longest_seconds: float = LONGEST_SECONDS,
        observer: MessageObserver | None = None,
    ) -> None:
        """`patience_seconds`: how long a reply is tried; `longest_seconds`: how long an attempt can
        take at most.
        """
        self._database = database
        self._directory = directory
        self._files = files
        self._certain_seconds = certain_seconds
        self._furthest_us = int(
            max(_FURTHEST_SECONDS, 2 * (longest_seconds + certain_seconds)) * SECOND
        )
        self._wake = asyncio.Event()
        self._edits = ReplyEdits(database, publish, self.wake)
        # replies this process has under way -> Chatwoot's address
        self._under_way: dict[int, str] = {}
        self._backlogs = Backlogs()
        self._attempts = ReplyAttempts(
            database,
            directory,
            client_of,
            own_tokens,
            files,
            self._backlogs,
            patience_seconds=patience_seconds,
            certain_seconds=certain_seconds,
            observer=observer or MessageObserver(),
        )

    def wake(self) -> None:
        """A reply may be due: claim now, and not at the next poll."""
        self._wake.set()

    async def run(self) -> None:
        """Send what is due, as soon as it is there; a Chatwoot that is slow holds back its own
        replies, not those of others.
        """
        self._under_way.clear()
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                while claimed := await self._claim():
                    for outgoing in claimed:
                        address = self._address(outgoing)
                        self._under_way[outgoing.message.id] = address
                        self._backlogs.begin(address)
                        group.create_task(self._run_attempt(outgoing, address))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_INTERVAL_SECONDS):
                        await self._wake.wait()

    async def _claim(self) -> list[Outgoing]:
        limit = _MAX_AT_ONCE - len(self._under_way)
        integrations = self._directory.integrations.values()
        if limit <= 0:
            return []
        rooms = {one.base_url: self._backlogs.room(one.base_url) for one in integrations}
        full = [one.id for one in integrations if rooms[one.base_url] <= 0]
        under_way, addresses = list(self._under_way), {one.id: one.base_url for one in integrations}
        lease_us = int(self._certain_seconds * SECOND)

        async def claim(connection: Connection) -> list[Outgoing]:
            now_us = await self._database.clock.read(connection)
            wanted = Claim(
                now_us, lease_us, self._furthest_us, limit, under_way, full, addresses, rooms
            )
            return await outbox.claim_replies(connection, wanted)

        try:
            return await self._database.transaction(claim)
        except DatabaseUnavailable:
            return []

    def _address(self, outgoing: Outgoing) -> str:
        integration = self._directory.integrations.get(outgoing.integration_id or 0)
        return integration.base_url if integration is not None else ""

    async def _run_attempt(self, outgoing: Outgoing, address: str) -> None:
        try:
            await self.attempt(outgoing)
        finally:
            del self._under_way[outgoing.message.id]
            self._backlogs.end(address)
            self._wake.set()

    async def attempt(self, outgoing: Outgoing) -> None:
        """One attempt; whatever happens is written down, or left to the lease when even that cannot
        be done.
        """
        message = outgoing.message
        try:
            settle = await self._attempts.outcome(outgoing)
        except Exception:
            _logger.exception("reply attempt failed", message_id=message.id)
            settle = self._attempts.retry_later(message, is_unknown=True)
        try:
            settled = await self._edits.change(
                outgoing.company_id, message.conversation_id, message.id, settle
            )
            if settled.delivery_error is not None and settled.delivery_error.code in (
                STORED_PUBLIC,
                STORED_PRIVATE,
            ):
                metrics.replies.labels("mistaken").inc()
                _logger.error(
                    "reply stored as the other kind",
                    message_id=message.id,
                    code=settled.delivery_error.code,
                )
            if message.attachments and settled.chatwoot_message_id is not None:
                await self._files.drop(message.id)
            if settled.delivery_error is not None and settled.delivery_error.code == GONE:
                await self._mark_gone(outgoing)
        except (Unavailable, NotFound):
            _logger.warning("reply outcome not written, the lease decides", message_id=message.id)
        # in one reply's data: it must not end the attempts of all others, which may be at Chatwoot
        # this very moment
        except Exception:
            _logger.exception("reply outcome not written, the lease decides", message_id=message.id)

    async def _mark_gone(self, outgoing: Outgoing) -> None:
        integration = self._directory.of_company(outgoing.company_id, outgoing.integration_id)
        if integration is not None and outgoing.display_id is not None:
            await mark_gone(self._edits.editor, integration, outgoing.display_id)
            self._wake.set()
