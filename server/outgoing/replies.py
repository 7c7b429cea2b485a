"""Replies: kept with their event before anything is sent, then carried to Chatwoot once.

Chatwoot takes the same POST twice as two messages. So each reply carries a marker (its client id);
an attempt whose outcome is unknown (no answer, our own death) is looked up by that marker, and sent
again only when Chatwoot can no longer be working on it (`reply_look_ups.py`). Leases and due times
are by the database's clock; what this process has under way it knows by itself.
"""

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from server import log, metrics
from server.chatwoot import (
    ChatwootClient,
    ChatwootError,
    ChatwootOutcomeUnknown,
    ChatwootRefused,
    ChatwootUnexpected,
)
from server.core.chatwoot.inbox_proof import NOT_ACCEPTED
from server.core.state.delivery import STORED_PRIVATE, STORED_PUBLIC, is_part
from server.core.state.entities import Json, Message
from server.core.state.projection import WorkingSet
from server.core.state.reply_outcomes import (
    RETRYING,
    Settle,
    failed,
    not_yet,
    put_off,
    sent,
    still_unknown,
    unchanged,
)
from server.core.state.tracked import TrackedConversation, TrackedMessage
from server.core.times import SECOND
from server.core.wire.event_frames import EventBatch
from server.db.access.agent_rows import Agent
from server.db.access.integration_record import Integration
from server.db.engine.database import Connection, Database
from server.db.state import (
    outbox,
    outgoing_files,
    store,
)
from server.db.state.conversation_edits import ConversationEditor, edit_conversation
from server.db.state.gone_marks import mark_gone
from server.db.state.outbox import Claim, Outgoing
from server.errors import (
    Conflict,
    ConversationGone,
    DatabaseUnavailable,
    IdempotencyKeyReused,
    NoChatwootIntegration,
    NotFound,
    Unavailable,
)
from server.integrations.directory import Directory
from server.outgoing.backlogs import Backlogs
from server.outgoing.new_replies import (
    check_key,
    check_seen,
    checked_content,
    differs,
    fresh_key,
    new_reply,
    read_twin,
)
from server.outgoing.reply_files import Kept, ReplyFiles, Upload
from server.outgoing.reply_look_ups import LookUps

_logger = log.get(__name__)
_AT_ONCE = 64
_SWEEP_SECONDS = 1.0
_BACKOFF_FIRST_SECONDS = 1.0
_BACKOFF_MOST_SECONDS = 15.0  # what a short outage costs after its end
_TOLD_ATTEMPTS = 2  # so many without success, and people are told
# Chatwoot gives a request up 15 s after it has begun with it (rack-timeout): a reply that it does
# not list by then will not come any more
CERTAIN_SECONDS = 20.0
LONGEST_SECONDS = 120.0  # an attempt with files, by the default settings
_RENEWAL_SECONDS = 5.0  # a lease that took longer to renew is renewed once more
# more than any lease or due time of any process, whose settings may be others
_FURTHEST_SECONDS = 300.0

GONE = "chatwoot_404"
_SENTENCES = {
    401: (
        "Chatwoot did not accept the access token; an administrator must renew it in the "
        "integration"
    ),
    403: (
        "Chatwoot does not allow this access token to write; an administrator must check the "
        "integration"
    ),
    404: "The conversation no longer exists in Chatwoot",
}

_FILES_GONE: Json = {}

Publish = Callable[[EventBatch], None]
ClientOf = Callable[[Integration], ChatwootClient]


class Replies:
    """Takes replies in, and sends them (service `run`)."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        publish: Publish,
        client_of: ClientOf,
        files: ReplyFiles,
        *,
        patience_seconds: float,
        certain_seconds: float = CERTAIN_SECONDS,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> None:
        """`patience_seconds`: how long a reply is tried; `longest_seconds`: how long an attempt can
        take at most.
        """
        self._database = database
        self._directory = directory
        self._editor = ConversationEditor(database, publish)
        self._client_of = client_of
        self._files = files
        self._patience_us = int(patience_seconds * SECOND)
        self._certain_seconds = certain_seconds
        self._look_ups = LookUps(database, directory, certain_seconds)
        self._furthest_us = int(
            max(_FURTHEST_SECONDS, 2 * (longest_seconds + certain_seconds)) * SECOND
        )
        self._wake = asyncio.Event()
        # replies this process has under way -> Chatwoot's address
        self._at_work: dict[int, str] = {}
        self._backlogs = Backlogs()

    async def submit(
        self,
        agent: Agent,
        conversation_id: int,
        content: str,
        *,
        key: str | None,
        fresh_key: str | None = None,
        last_seen: int | None,
        is_private: bool = False,
        uploads: Sequence[Upload] = (),
    ) -> tuple[Message, bool]:
        """Take a reply in. Returns (message, whether it is new). Without `key` an equal one of the
        last minute is the same reply, and a new one is known by `fresh_key`. Raises BadRequest,
        NotFound, NoChatwootIntegration, IdempotencyKeyReused, NewerMessages; NewerMessages carries
        them.
        """
        content = checked_content(content, has_files=bool(uploads))
        check_key(key)
        client_id = key or fresh_key or self.fresh_key()
        kept = await self._files.keep(uploads) if uploads else Kept("", ())

        async def write(
            connection: Connection,
        ) -> tuple[tuple[Message, bool], list[EventBatch]]:
            async def change(
                working_set: WorkingSet, entry: TrackedConversation
            ) -> Message | TrackedMessage:
                if entry.row.gone_us is not None:
                    raise ConversationGone
                if (
                    known := await outbox.read_reply(connection, conversation_id, client_id)
                ) is not None:
                    if known.is_private != is_private or await differs(
                        connection, known, content, kept.lines
                    ):
                        raise IdempotencyKeyReused
                    return known
                now = await self._database.clock.read(connection)
                if key is None:
                    twin = await read_twin(
                        connection,
                        agent,
                        conversation_id,
                        content,
                        kept.lines,
                        now,
                        is_private=is_private,
                    )
                    if twin is not None:
                        return twin
                self._integration(
                    agent.company_id, entry.row.integration_id, entry.row.chatwoot_conversation_id
                )
                if last_seen is not None:
                    await check_seen(connection, agent, conversation_id, last_seen)
                message = new_reply(
                    agent, conversation_id, content, client_id, now, is_private=is_private
                )
                message = replace(
                    message, attachments=tuple(line.attachment for line in kept.lines)
                )
                return working_set.put_message(entry, message, now, now)

            now_us = self._editor.now_us()
            found, batches = await edit_conversation(
                connection, agent.company_id, conversation_id, change, now_us
            )
            if isinstance(found, Message):  # it was taken in before
                return (found, False), batches
            outgoing_files.pipeline_lines(connection, kept.id, found.row.id, kept.lines, now_us)
            return (found.row, True), batches

        message, is_new = await self._editor.run(write)
        self._wake.set()
        return message, is_new

    def fresh_key(self) -> str:
        """A name for a reply whose client gave it none. It begins with its time, so that the ones
        of the last minute are found.
        """
        return fresh_key(self._database.clock.now_us(), uuid.uuid4().hex)

    async def retry(self, agent: Agent, conversation_id: int, message_id: int) -> Message:
        """Send a failed reply again. Raises NotFound, or Conflict when it has not failed."""

        def renewed(message: Message) -> Message:
            if message.delivery_state == "sending":
                return message
            if (
                message.delivery_state != "failed"
                or message.client_id is None
                or message.chatwoot_message_id is not None
            ):
                raise Conflict("Only a reply that did not reach Chatwoot can be sent again")
            # Chatwoot may still be at work on the attempt we gave up on
            now_us = self._database.clock.now_us()
            begun = replace(
                message,
                delivery_state="sending",
                delivery_error=None,
                delivery_attempts=0,
                told_at=now_us,
            )
            return replace(begun, next_attempt_us=max(now_us, message.next_attempt_us or 0))

        return await self._change(agent.company_id, conversation_id, message_id, renewed)

    async def run(self) -> None:
        """Send what is due, as soon as it is there; a Chatwoot that is slow holds back its own
        replies, not those of others.
        """
        self._at_work.clear()
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                while claimed := await self._claim():
                    for outgoing in claimed:
                        address = self._address(outgoing)
                        self._at_work[outgoing.message.id] = address
                        self._backlogs.begin(address)
                        group.create_task(self._attempt(outgoing, address))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_SWEEP_SECONDS):
                        await self._wake.wait()

    async def _claim(self) -> list[Outgoing]:
        limit, integrations = _AT_ONCE - len(self._at_work), self._directory.integrations.values()
        if limit <= 0:
            return []
        rooms = {one.base_url: self._backlogs.room(one.base_url) for one in integrations}
        full = [one.id for one in integrations if rooms[one.base_url] <= 0]
        at_work, addresses = list(self._at_work), {one.id: one.base_url for one in integrations}
        lease_us = int(self._certain_seconds * SECOND)

        async def claim(connection: Connection) -> list[Outgoing]:
            now_us = await self._database.clock.read(connection)
            wanted = Claim(
                now_us, lease_us, self._furthest_us, limit, at_work, full, addresses, rooms
            )
            return await outbox.claim_replies(connection, wanted)

        try:
            return await self._database.transaction(claim)
        except DatabaseUnavailable:
            return []

    def _address(self, outgoing: Outgoing) -> str:
        integration = self._directory.integrations.get(outgoing.integration_id or 0)
        return integration.base_url if integration is not None else ""

    async def _attempt(self, outgoing: Outgoing, address: str) -> None:
        try:
            await self._try(outgoing)
        finally:
            del self._at_work[outgoing.message.id]
            self._backlogs.end(address)
            self._wake.set()

    async def _try(self, outgoing: Outgoing) -> None:
        """One attempt; whatever happens is written down, or left to the lease when even that cannot
        be done.
        """
        message = outgoing.message
        try:
            settle = await self._outcome(outgoing)
        except Exception:
            _logger.exception("reply attempt failed", message_id=message.id)
            settle = self._later(message, is_unknown=True)
        try:
            settled = await self._change(
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
            await mark_gone(self._editor, integration, outgoing.display_id)
            self._wake.set()

    async def _outcome(self, outgoing: Outgoing) -> Settle:
        message = outgoing.message
        if message.attachments and self._files.is_full:
            # else it would wait in a place that replies of others need
            return not_yet(message, self._database.clock.now_us())
        integration = await self._sure_integration(outgoing)
        if not isinstance(integration, Integration):
            return integration
        client, display_id = self._client_of(integration), outgoing.display_id or 0
        try:
            if message.is_outcome_unknown or self._backlogs.is_silent(integration.base_url):
                settle = await self._before_sending(client, integration, display_id, message)
                if settle is not None:
                    return settle
            answer = await self._send(client, display_id, message)
        except ChatwootRefused as error:
            metrics.replies.labels("refused").inc()
            self._backlogs.on_answer(integration.base_url)
            # the account, or what the token's owner may do
            if error.chatwoot_status == 401 and NOT_ACCEPTED not in error.sentence:
                return failed(message, "chatwoot_denied", f"Chatwoot refused it: {error.sentence}")
            sentence = _SENTENCES.get(
                error.chatwoot_status, f"Chatwoot refused it: {error.sentence}"
            )
            return failed(message, f"chatwoot_{error.chatwoot_status}", sentence)
        except ChatwootOutcomeUnknown:
            metrics.replies.labels("unknown").inc()
            return await self._after_unknown(client, integration, display_id, message)
        # every question to the database comes before the request: nothing new was sent
        except DatabaseUnavailable:
            return not_yet(message, self._database.clock.now_us())
        except (ChatwootError, ChatwootUnexpected) as error:
            metrics.replies.labels("unavailable").inc()
            self._backlogs.on_silence(integration.base_url)
            return self._later(
                message,
                is_unknown=message.is_outcome_unknown,
                answered_us=message.answered_us,
                error=error,
            )
        return await self._answered(answer, client, integration, outgoing)

    async def _answered(
        self,
        answer: Json | None,
        client: ChatwootClient,
        integration: Integration,
        outgoing: Outgoing,
    ) -> Settle:
        message, is_unknown = outgoing.message, outgoing.message.is_outcome_unknown
        if answer is None:
            return unchanged  # it took so long to come here that somebody else has it now
        if answer is _FILES_GONE:
            return failed(
                message,
                "files_gone",
                "The files are not kept here any more; attach them to a new reply",
                is_unknown=is_unknown,
            )
        metrics.replies.labels("sent").inc()
        self._backlogs.on_answer(integration.base_url)
        now_us = self._database.clock.now_us()
        metrics.reply_seconds.observe(max(0.0, (now_us - (message.created_us or now_us)) / SECOND))
        if not isinstance(answer.get("id"), int):
            return self._later(message, is_unknown=True)
        # Chatwoot has made several messages of it, and answers with another
        if is_part(message, answer.get("content", message.content)):
            return await self._after_unknown(client, integration, outgoing.display_id or 0, message)
        return sent(answer)

    async def _before_sending(
        self, client: ChatwootClient, integration: Integration, display_id: int, message: Message
    ) -> Settle | None:
        """Ask before writing: about an attempt whose outcome is unknown, and a Chatwoot that did
        not answer last. None: it may be sent.
        """
        found = await self._look_ups.find(client, display_id, message)
        self._backlogs.on_answer(integration.base_url)
        if found is not None:
            metrics.replies.labels("found").inc()
            return sent(found)
        if not message.is_outcome_unknown:
            return None
        answered_us = message.answered_us or self._database.clock.now_us()
        wait_us = await self._look_ups.wait_us(integration, answered_us)
        return (
            still_unknown(message, self._database.clock.now_us() + wait_us, answered_us)
            if wait_us
            else None
        )

    async def _send(self, client: ChatwootClient, display_id: int, message: Message) -> Json | None:
        """Chatwoot's answer; None when the lease was lost, `_FILES_GONE` when there is nothing to
        send any more.
        """
        async with self._files.of(message) as files:
            if files is None:
                return _FILES_GONE
            await client.wait_turn()
            if not await self._renew_lease(message, client.longest_seconds(has_files=bool(files))):
                return None
            parts = [(file.line.name, file.content, file.line.content_type) for file in files]
            return await client.send_message(
                display_id,
                message.content,
                client_id=message.client_id or "",
                private=message.is_private,
                files=parts,
            )

    async def _renew_lease(self, message: Message, attempt_seconds: float) -> bool:
        """The lease must outlast Chatwoot's work on the request, which may leave us as late as the
        attempt's very end.
        """
        lease_us = int((attempt_seconds + self._certain_seconds + _RENEWAL_SECONDS) * SECOND)

        async def renew(connection: Connection) -> bool:
            until_us = await self._database.clock.read(connection) + lease_us
            return await outbox.renew_lease(
                connection, message.id, message.delivery_attempts + 1, until_us
            )

        while True:
            began = time.monotonic()
            if not await self._database.transaction(renew):
                return False
            if time.monotonic() - began < _RENEWAL_SECONDS:
                return True

    async def _after_unknown(
        self, client: ChatwootClient, integration: Integration, display_id: int, message: Message
    ) -> Settle:
        """Look at once. If it is not there (yet), its certain time begins with this answer; without
        an answer, with the next one.
        """
        try:
            found = await self._look_ups.find(client, display_id, message)
        except ChatwootError:
            self._backlogs.on_silence(integration.base_url)
            return self._later(message, is_unknown=True)
        self._backlogs.on_answer(integration.base_url)
        return (
            sent(found)
            if found is not None
            else self._later(message, is_unknown=True, answered_us=self._database.clock.now_us())
        )

    def _later(
        self,
        message: Message,
        *,
        is_unknown: bool,
        answered_us: int | None = None,
        error: ChatwootError | None = None,
    ) -> Settle:
        attempts, now_us = message.delivery_attempts + 1, self._database.clock.now_us()
        backoff = min(_BACKOFF_MOST_SECONDS, _BACKOFF_FIRST_SECONDS * 2 ** min(attempts - 1, 10))
        backoff *= 0.75 + random.random() / 2  # noqa: S311
        # a reply was told when it was written, or sent again by a person
        if now_us - message.told_at >= self._patience_us:
            sentence = (
                error.message
                if error
                else (
                    "Chatwoot did not confirm it; look in Chatwoot whether the customer has it "
                    "before sending again"
                )
            )
            again_us = (
                now_us + int(max(backoff, self._certain_seconds) * SECOND) if is_unknown else None
            )
            return failed(message, "gave_up", sentence, again_us, is_unknown=is_unknown)
        told = RETRYING if attempts >= _TOLD_ATTEMPTS else None
        return put_off(
            message,
            now_us + int(backoff * SECOND),
            is_unknown=is_unknown,
            answered_us=answered_us,
            error=told,
        )

    async def _change(
        self, company_id: int, conversation_id: int, message_id: int, change: Settle
    ) -> Message:
        async def write(connection: Connection) -> tuple[Message, list[EventBatch]]:
            now_us = self._editor.now_us()

            async def set_message(
                working_set: WorkingSet, entry: TrackedConversation
            ) -> TrackedMessage:
                message = await store.read_message(
                    connection, company_id, conversation_id, message_id
                )
                if message is None:
                    raise NotFound
                tracked_message = TrackedMessage(message)
                entry.messages.append(tracked_message)
                working_set.set_message(entry, tracked_message, change(message), now_us, now_us)
                return tracked_message

            found, batches = await edit_conversation(
                connection, company_id, conversation_id, set_message, now_us
            )
            return found.row, batches

        message = await self._editor.run(write)
        self._wake.set()
        return message

    async def _sure_integration(self, outgoing: Outgoing) -> Integration | Settle:
        """The integration, or what becomes of a reply without one. Integrations are read anew
        before a reply fails, as that is final: another process may have added or switched on this
        one a moment ago.
        """
        message, place = (
            outgoing.message,
            (outgoing.company_id, outgoing.integration_id, outgoing.display_id),
        )
        try:
            with contextlib.suppress(NoChatwootIntegration):
                return self._integration(*place)
            await self._directory.refresh()
            return self._integration(*place)
        except NoChatwootIntegration as error:
            return failed(
                message, "no_integration", error.message, is_unknown=message.is_outcome_unknown
            )
        except DatabaseUnavailable:
            return not_yet(message, self._database.clock.now_us())

    def _integration(
        self, company_id: int, integration_id: int | None, display_id: int | None
    ) -> Integration:
        integration = self._directory.of_company(company_id, integration_id)
        if (
            integration is None
            or not integration.is_active
            or display_id is None
            or not integration.base_url
        ):
            raise NoChatwootIntegration
        return integration
