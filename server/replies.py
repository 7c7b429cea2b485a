"""Replies: kept with their event before anything is sent, then carried to Chatwoot once.

Chatwoot takes the same POST twice as two messages. So each reply carries a marker (its client id); an attempt whose outcome is unknown
(no answer, our own death) is looked up by that marker, and sent again only when Chatwoot can no longer be working on it.
"""

import asyncio
import contextlib
import random
import re
import time
import uuid
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from server import log, metrics
from server.chatwoot import ChatwootClient, ChatwootError, ChatwootOutcomeUnknown, ChatwootRefused, ChatwootUnexpected
from server.core.delivery import STORED_PRIVATE, STORED_PUBLIC
from server.core.entities import Json, Message, message_view
from server.core.events import EventBatch
from server.core.payloads import CLIENT_ID_KEY, parse_message
from server.core.projection import Board, MessageEntry
from server.core.reply_outcomes import Settle, failed, not_yet, put_off, sent, unchanged
from server.core.times import SECOND
from server.core.uploads import FileLine
from server.db import eventlog, outbox, outgoing_files, store, threads
from server.db.accounts import Agent, Integration
from server.db.database import Connection, Database
from server.db.outbox import Outgoing
from server.directory import Directory
from server.errors import (
    BadRequest,
    Conflict,
    DatabaseUnavailable,
    IdempotencyKeyReused,
    NewerMessages,
    NoChatwootIntegration,
    NotFound,
    Unavailable,
)
from server.reply_files import Kept, ReplyFiles, Upload

_logger = log.get(__name__)
CONTENT_MOST_CHARACTERS = 150_000  # Chatwoot's own limit (message.rb)
_KEY = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_KEY_PLACE = (-1, 0)
_NEWER_MOST = 50
_AT_ONCE = 32
_SWEEP_SECONDS = 1.0
_BACKOFF_FIRST_SECONDS = 1.0
_BACKOFF_MOST_SECONDS = 60.0
# Chatwoot gives a request up after 15 s (rack-timeout): from then on a reply that is not in its list will not come any more
CERTAIN_SECONDS = 20.0
_LOOK_BACK_PAGES = 10

_SENTENCES = {
    401: "Chatwoot did not accept the access token; an administrator must renew it in the integration",
    403: "Chatwoot does not allow this access token to write; an administrator must check the integration",
    404: "The conversation no longer exists in Chatwoot",
}

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
        attempts: int,
        certain_seconds: float = CERTAIN_SECONDS,
    ) -> None:
        self._database, self._directory, self._publish, self._client_of, self._files = database, directory, publish, client_of, files
        self._attempts, self._certain_seconds = attempts, certain_seconds
        self._wake = asyncio.Event()
        self._under_way = 0

    async def submit(
        self,
        agent: Agent,
        conversation_id: int,
        content: str,
        *,
        key: str | None,
        last_seen: int | None,
        is_private: bool = False,
        uploads: Sequence[Upload] = (),
    ) -> tuple[Message, bool]:
        """Take a reply in. Returns (message, whether it is new). Raises BadRequest, NotFound, NoChatwootIntegration,
        IdempotencyKeyReused, NewerMessages; NewerMessages carries them."""
        content = _checked(content, has_files=bool(uploads))
        if key is not None and not _KEY.fullmatch(key):
            raise BadRequest("Idempotency-Key must be 1 to 64 letters, digits, dots, colons, hyphens or underscores")
        key = key or uuid.uuid4().hex
        kept = await self._files.keep(uploads) if uploads else Kept("", ())

        async def write(connection: Connection) -> tuple[Message, bool, list[EventBatch]]:
            streams = await eventlog.lock_streams(connection, [agent.company_id], store.new_epoch())
            entry = await store.entry_by_id(connection, agent.company_id, conversation_id)
            if entry is None:
                raise NotFound
            if (known := await outbox.read_reply(connection, conversation_id, key)) is not None:
                if known.content != content or known.is_private != is_private or await _differ(connection, known, kept.lines):
                    raise IdempotencyKeyReused
                return known, False, []
            self._integration(agent.company_id, entry.row.integration_id, entry.row.chatwoot_conversation_id)
            if last_seen is not None:
                await _check_seen(connection, agent, conversation_id, last_seen)
            board = Board({_KEY_PLACE: entry})
            now = _now_us()
            message = _new_reply(agent, conversation_id, content, key, now, is_private=is_private)
            message = replace(message, attachments=tuple(line.attachment for line in kept.lines))
            message_entry = board.put_message(entry, message, now, now)
            batches = await store.save_board(connection, board, streams, now)
            outgoing_files.post_lines(connection, kept.id, message_entry.row.id, kept.lines, now)
            return message_entry.row, True, batches

        message, is_new, batches = await self._database.transaction(write)
        self._announce(batches)
        return message, is_new

    async def retry(self, agent: Agent, conversation_id: int, message_id: int) -> Message:
        """Send a failed reply again. Raises NotFound, or Conflict when it has not failed."""

        def renewed(message: Message) -> Message:
            if message.delivery_state == "sending":
                return message
            if message.delivery_state != "failed" or message.client_id is None or message.chatwoot_message_id is not None:
                raise Conflict("Only a reply that did not reach Chatwoot can be sent again")
            next_us = max(_now_us(), message.next_attempt_us or 0)  # Chatwoot may still be at work on the attempt we gave up on
            return replace(message, delivery_state="sending", delivery_error=None, delivery_attempts=0, next_attempt_us=next_us)

        return await self._change(agent.company_id, conversation_id, message_id, renewed)

    async def run(self) -> None:
        """Send what is due, as soon as it is there; a Chatwoot that is slow holds back its own replies, not those of others."""
        self._under_way = 0
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                for outgoing in await self._claim(_AT_ONCE - self._under_way):
                    self._under_way += 1
                    group.create_task(self._attempt(outgoing))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_SWEEP_SECONDS):
                        await self._wake.wait()

    async def _claim(self, most: int) -> list[Outgoing]:
        lease_us = int(self._certain_seconds * SECOND)
        try:
            return await self._database.transaction(lambda c: outbox.claim_replies(c, _now_us(), lease_us, most)) if most > 0 else []
        except DatabaseUnavailable:
            return []

    async def _attempt(self, outgoing: Outgoing) -> None:
        try:
            await self._try(outgoing)
        finally:
            self._under_way -= 1
            self._wake.set()

    async def _try(self, outgoing: Outgoing) -> None:
        """One attempt; whatever happens is written down, or left to the lease when even that cannot be done."""
        message = outgoing.message
        try:
            settle = await self._outcome(outgoing)
        except Exception:
            _logger.exception("reply attempt failed", message_id=message.id)
            settle = self._later(message, is_unknown=True)
        try:
            settled = await self._change(outgoing.company_id, message.conversation_id, message.id, settle)
            if settled.delivery_error is not None and settled.delivery_error.code in (STORED_PUBLIC, STORED_PRIVATE):
                metrics.replies.labels("mistaken").inc()
                _logger.error("reply stored as the other kind", message_id=message.id, code=settled.delivery_error.code)
            if message.attachments and settled.chatwoot_message_id is not None:
                await self._files.drop(message.id)
        except (Unavailable, NotFound):
            _logger.warning("reply outcome not written, the lease decides", message_id=message.id)
        except Exception:  # in one reply's data: it must not end the attempts of all others, which may be at Chatwoot this very moment
            _logger.exception("reply outcome not written, the lease decides", message_id=message.id)

    async def _outcome(self, outgoing: Outgoing) -> Settle:
        message = outgoing.message
        if message.attachments and self._files.is_full:
            return not_yet(message, _now_us())  # else it would wait in a place that replies of others need
        try:
            integration = self._integration(outgoing.company_id, outgoing.integration_id, outgoing.display_id)
        except NoChatwootIntegration as error:
            return failed(message, "no_integration", error.message)
        client, display_id, client_id = self._client_of(integration), outgoing.display_id or 0, message.client_id or ""
        try:
            if message.is_outcome_unknown and (found := await self._look_up(client, display_id, message)) is not None:
                metrics.replies.labels("found").inc()
                return sent(found)
            async with self._files.of(message) as files:
                if files is None:
                    return failed(message, "files_gone", "The files are not kept here any more; attach them to a new reply")
                await client.wait_turn()
                if not await self._renew_lease(message, client.longest_seconds(has_files=bool(files))):
                    return unchanged  # it took so long to come here that somebody else has it now
                parts = [(file.line.name, file.content, file.line.content_type) for file in files]
                answer = await client.send_message(
                    display_id, message.content, client_id=client_id, private=message.is_private, files=parts
                )
        except ChatwootRefused as error:
            metrics.replies.labels("refused").inc()
            sentence = _SENTENCES.get(error.chatwoot_status, f"Chatwoot refused it: {error.sentence}")
            return failed(message, f"chatwoot_{error.chatwoot_status}", sentence)
        except ChatwootOutcomeUnknown:
            metrics.replies.labels("unknown").inc()
            return await self._after_unknown(client, display_id, message)
        except (ChatwootError, ChatwootUnexpected) as error:
            metrics.replies.labels("unavailable").inc()
            return self._later(message, is_unknown=message.is_outcome_unknown, error=error)
        metrics.replies.labels("sent").inc()
        metrics.reply_seconds.observe(max(0.0, (_now_us() - (message.created_us or _now_us())) / SECOND))
        return sent(answer) if isinstance(answer.get("id"), int) else self._later(message, is_unknown=True)

    async def _renew_lease(self, message: Message, attempt_seconds: float) -> bool:
        """The lease must outlast Chatwoot's work on the request, which may leave us as late as the attempt's very end."""
        until_us = _now_us() + int((attempt_seconds + self._certain_seconds) * SECOND)
        return await self._database.transaction(lambda c: outbox.renew_lease(c, message.id, message.delivery_attempts + 1, until_us))

    async def _after_unknown(self, client: ChatwootClient, display_id: int, message: Message) -> Settle:
        """Look at once; if it is not there (yet), the lease runs on and the next attempt looks first."""
        try:
            found = await self._look_up(client, display_id, message)
        except ChatwootError:
            found = None
        return sent(found) if found is not None else self._later(message, is_unknown=True)

    async def _look_up(self, client: ChatwootClient, display_id: int, message: Message) -> Json | None:
        """The message with our marker as Chatwoot has it, if it is there."""
        before: int | None = None
        for _ in range(_LOOK_BACK_PAGES):
            page = await client.list_messages(display_id, before=before)
            for item in page:
                attributes = item.get("content_attributes")
                if isinstance(attributes, dict) and attributes.get(CLIENT_ID_KEY) == message.client_id and isinstance(item.get("id"), int):
                    return item
            oldest = min((item["id"] for item in page if isinstance(item.get("id"), int)), default=None)
            if oldest is None or _is_before(page[0], message):
                return None
            before = oldest
        return None

    def _later(self, message: Message, *, is_unknown: bool, error: ChatwootError | None = None) -> Settle:
        attempts = message.delivery_attempts + 1
        backoff = min(_BACKOFF_MOST_SECONDS, _BACKOFF_FIRST_SECONDS * 2 ** (attempts - 1)) * (0.75 + random.random() / 2)  # noqa: S311
        delay = max(backoff, self._certain_seconds) if is_unknown else backoff
        next_us = _now_us() + int(delay * SECOND)
        if attempts >= self._attempts:
            sentence = (
                error.message if error else "Chatwoot did not confirm it; look in Chatwoot whether the customer has it before sending again"
            )
            return failed(message, "gave_up", sentence, next_us if is_unknown else None)

        return put_off(message, next_us, is_unknown=is_unknown)

    async def _change(self, company_id: int, conversation_id: int, message_id: int, change: Settle) -> Message:
        async def write(connection: Connection) -> tuple[Message, list[EventBatch]]:
            streams = await eventlog.lock_streams(connection, [company_id], store.new_epoch())
            entry = await store.entry_by_id(connection, company_id, conversation_id)
            message = await store.read_message(connection, company_id, conversation_id, message_id)
            if entry is None or message is None:
                raise NotFound
            board, message_entry = Board({_KEY_PLACE: entry}), MessageEntry(message)
            entry.messages.append(message_entry)
            board.set_message(entry, message_entry, change(message), _now_us(), _now_us())
            batches = await store.save_board(connection, board, streams, _now_us())
            return message_entry.row, batches

        message, batches = await self._database.transaction(write)
        self._announce(batches)
        return message

    def _integration(self, company_id: int, integration_id: int | None, display_id: int | None) -> Integration:
        integration = self._directory.of_company(company_id, integration_id)
        if integration is None or not integration.is_active or display_id is None or not integration.base_url:
            raise NoChatwootIntegration
        return integration

    def _announce(self, batches: list[EventBatch]) -> None:
        for batch in batches:
            self._publish(batch)
        self._wake.set()


def _new_reply(agent: Agent, conversation_id: int, content: str, key: str, now_us: int, *, is_private: bool) -> Message:
    return Message(
        id=0,
        conversation_id=conversation_id,
        sender_type="agent",
        content=content,
        created_us=now_us,
        told_at=now_us,
        client_id=key,
        agent_id=agent.id,
        sender_name=agent.name,
        content_type="text",
        is_private=is_private,
        delivery_state="sending",
        next_attempt_us=now_us,
    )


async def _check_seen(connection: Connection, agent: Agent, conversation_id: int, last_seen: int) -> None:
    newer = await threads.read_unseen(connection, agent.company_id, conversation_id, last_seen, _NEWER_MOST)
    others = [message for message in newer if message.agent_id != agent.id]
    if others:
        raise NewerMessages(messages=[message_view(message) for message in others])


async def _differ(connection: Connection, known: Message, lines: Sequence[FileLine]) -> bool:
    """Whether the files under a known Idempotency-Key are others: by name and content, as long as that is remembered."""
    if len(known.attachments) != len(lines):
        return True
    before = await outgoing_files.read_lines(connection, known.id) if lines else []
    return bool(before) and [(line.name, line.digest) for line in before] != [(line.name, line.digest) for line in lines]


def _checked(content: str, *, has_files: bool) -> str:
    if not content.strip() and not has_files:
        raise BadRequest("A reply needs some text")
    if len(content) > CONTENT_MOST_CHARACTERS:
        raise BadRequest(f"A reply has at most {CONTENT_MOST_CHARACTERS:,} characters; this one has {len(content):,}")
    return content


def _is_before(item: dict[str, object], message: Message) -> bool:
    """Whether a listed message is clearly older than our reply: further back there is nothing to find."""
    told = parse_message({**item, "message_type": 1})
    return told is not None and told.created_us < (message.created_us or 0) - 60 * SECOND


def _now_us() -> int:
    return int(time.time() * SECOND)
