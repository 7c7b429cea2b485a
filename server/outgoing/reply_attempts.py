"""One attempt to send a reply: ask where its outcome is unknown, send, and judge the answer.

Chatwoot takes the same POST twice as two messages. So each reply carries a marker (its client id);
an attempt whose outcome is unknown (no answer, our own death) is looked up by that marker, and sent
again only when Chatwoot can no longer be working on it (`reply_look_ups.py`).

A message that Chatwoot has and its channel refused goes the same way, by Chatwoot's own retry. It
is looked at before each request: only one that has failed there is sent again.
"""

import contextlib
import time
from collections.abc import Callable

from server import metrics
from server.chatwoot import (
    ChatwootClient,
    ChatwootError,
    ChatwootOutcomeUnknown,
    ChatwootRefused,
    ChatwootUnexpected,
)
from server.core.backoff import doubled, jittered
from server.core.chatwoot.inbox_proof import NOT_ACCEPTED
from server.core.chatwoot.message_payloads import is_deleted
from server.core.state.delivery import is_part
from server.core.state.entities import Json, Message, ReplyRequest
from server.core.state.refusals import REFUSED
from server.core.state.reply_outcomes import (
    RETRYING,
    Settle,
    failed,
    not_yet,
    put_off,
    sent,
    sent_again,
    still_unknown,
    unchanged,
)
from server.core.times import SECOND
from server.db.access.integration_record import Integration
from server.db.engine.database import Connection, Database
from server.db.state import outbox
from server.db.state.outbox import Outgoing
from server.errors import DatabaseUnavailable, NoChatwootIntegration, OwnTokenRefused
from server.integrations.directory import Directory
from server.integrations.own_tokens import OwnTokens
from server.message_observer import MessageObserver
from server.outgoing.backlogs import Backlogs
from server.outgoing.reply_files import ReplyFiles
from server.outgoing.reply_look_ups import LookUps
from server.outgoing.sending_integration import sending_integration

_INITIAL_BACKOFF_SECONDS = 1.0
_MAX_BACKOFF_SECONDS = 15.0  # what a short outage costs after its end
_SHOWN_ATTEMPTS = 2  # so many without success, and people see that it is tried again
_RENEWAL_SECONDS = 5.0  # a lease that took longer to renew is renewed once more

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

_MESSAGE_GONE = "The message no longer exists in Chatwoot"
_NO_RETRY = "This Chatwoot cannot send a message again; write the reply anew"
_NOT_FOUND = 404
_FILES_GONE: Json = {}
_NOT_THERE: Json = {}

ClientOf = Callable[[Integration], ChatwootClient]


class ReplyAttempts:
    """Makes attempts; what becomes of the reply is returned, and stored by the caller."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        client_of: ClientOf,
        own_tokens: OwnTokens,
        files: ReplyFiles,
        backlogs: Backlogs,
        *,
        patience_seconds: float,
        certain_seconds: float,
        observer: MessageObserver,
    ) -> None:
        """`patience_seconds`: how long a reply is tried; `certain_seconds`: how long Chatwoot can
        be working on a request after its first answer.
        """
        self._database = database
        self._directory = directory
        self._client_of = client_of
        self._own_tokens = own_tokens
        self._files = files
        self._backlogs = backlogs
        self._observer = observer
        self._patience_us = int(patience_seconds * SECOND)
        self._certain_seconds = certain_seconds
        self._look_ups = LookUps(database, directory, certain_seconds)

    async def outcome(self, outgoing: Outgoing) -> Settle:
        """Ask where needed, send, and say what becomes of the reply. It is sent under the name of
        the agent who wrote it, where they have connected a token of their own; all questions go
        with the integration's.
        """
        message = outgoing.message
        if message.chatwoot_message_id is None and message.attachments and self._files.is_full:
            # else it would wait in a place that replies of others need
            return not_yet(message, self._database.clock.now_us())
        integration = await self._sure_integration(outgoing)
        if not isinstance(integration, Integration):
            return integration
        client, display_id = self._client_of(integration), outgoing.display_id or 0
        is_unknown = message.is_outcome_unknown
        try:
            if self._asks_first(integration, message):
                settle = await self._before_sending(client, integration, display_id, message)
                if settle is not None:
                    return settle
                is_unknown = False
            began_us = self._database.clock.now_us()
            answer = await self._own_tokens.run(
                message.agent_id,
                integration,
                self._client_of,
                lambda sender: self._send(sender, display_id, message),
            )
        except (ChatwootRefused, OwnTokenRefused) as error:
            metrics.replies.labels("refused").inc()
            self._backlogs.on_answer(integration.base_url)
            return _refused(message, error, is_unknown=is_unknown)
        except ChatwootOutcomeUnknown:
            metrics.replies.labels("unknown").inc()
            return await self._after_unknown(client, integration, display_id, message)
        # every question to the database comes before the request: nothing new was sent
        except DatabaseUnavailable:
            return not_yet(message, self._database.clock.now_us())
        except (ChatwootError, ChatwootUnexpected) as error:
            metrics.replies.labels("unavailable").inc()
            self._backlogs.on_silence(integration.base_url)
            return self.retry_later(
                message,
                is_unknown=message.is_outcome_unknown,
                answered_us=message.answered_us,
                error=error,
            )
        if answer is not None and message.chatwoot_message_id is not None:
            return await self._answered_again(answer, client, integration, outgoing, began_us)
        return await self._answered(answer, client, integration, outgoing)

    def _asks_first(self, integration: Integration, message: Message) -> bool:
        return (
            message.is_outcome_unknown
            or message.chatwoot_message_id is not None
            or self._backlogs.is_silent(integration.base_url)
        )

    async def _answered_again(
        self,
        answer: Json,
        client: ChatwootClient,
        integration: Integration,
        outgoing: Outgoing,
        began_us: int,
    ) -> Settle:
        message = outgoing.message
        self._backlogs.on_answer(integration.base_url)
        if answer is _NOT_THERE:
            return await self._retry_not_found(client, outgoing.display_id or 0, message)
        metrics.replies.labels("sent_again").inc()
        return sent_again(message, answer, self._database.clock.now_us(), began_us)

    async def _retry_not_found(
        self, client: ChatwootClient, display_id: int, message: Message
    ) -> Settle:
        """A path that Chatwoot does not know is as little found as a message: so look for that."""
        try:
            found = await self._found_there(client, display_id, message)
        except (ChatwootError, ChatwootUnexpected):
            return self.retry_later(message, is_unknown=message.is_outcome_unknown)
        return found or failed(message, "no_retry", _NO_RETRY)

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
            return self.retry_later(message, is_unknown=True)
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
        found = await self._found_there(client, display_id, message)
        self._backlogs.on_answer(integration.base_url)
        if found is not None:
            metrics.replies.labels("found").inc()
            return found
        if not message.is_outcome_unknown:
            return None
        answered_us = message.answered_us or self._database.clock.now_us()
        wait_us = await self._look_ups.wait_us(integration, answered_us)
        return (
            still_unknown(message, self._database.clock.now_us() + wait_us, answered_us)
            if wait_us
            else None
        )

    async def _found_there(
        self, client: ChatwootClient, display_id: int, message: Message
    ) -> Settle | None:
        """What is found of it at Chatwoot; None: it is still to be sent. Raises ChatwootError."""
        if message.chatwoot_message_id is None:
            found = await self._look_ups.find(client, display_id, message)
            return None if found is None else sent(found)
        stored = await self._look_ups.read_stored(client, display_id, message.chatwoot_message_id)
        # of a deleted one the customer would get the words that stand for it
        if stored is None or is_deleted(stored):
            return failed(message, "message_gone", _MESSAGE_GONE)
        if stored.get("status") == "failed":
            return None
        return sent_again(message, stored, self._database.clock.now_us())

    async def _send_again(
        self, client: ChatwootClient, display_id: int, message: Message
    ) -> Json | None:
        """As `_send`, of a message that Chatwoot has."""
        await client.wait_turn()
        if not await self._renew_lease(message, client.longest_seconds()):
            return None
        try:
            return await client.retry_message(display_id, message.chatwoot_message_id or 0)
        except ChatwootRefused as error:
            if error.chatwoot_status != _NOT_FOUND:
                raise
            return _NOT_THERE  # the conversation was there a moment ago

    async def _send(self, client: ChatwootClient, display_id: int, message: Message) -> Json | None:
        """Chatwoot's answer; None when the lease was lost, `_FILES_GONE` when there is nothing to
        send any more.
        """
        if message.chatwoot_message_id is not None:
            return await self._send_again(client, display_id, message)
        async with self._files.of(message) as files:
            if files is None:
                return _FILES_GONE
            await client.wait_turn()
            if not await self._renew_lease(message, client.longest_seconds(has_files=bool(files))):
                return None
            parts = [(file.line.name, file.content, file.line.content_type) for file in files]
            client_id, request = message.client_id or "", message.request or ReplyRequest()
            with self._observer.sending_reply(client_id, len(parts)):
                return await client.send_message(
                    display_id,
                    message.content,
                    client_id=client_id,
                    private=message.is_private,
                    files=parts,
                    quoted=request.quoted,
                    copies={"cc": request.cc, "bcc": request.bcc},
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
            found = await self._found_there(client, display_id, message)
        except ChatwootError:
            self._backlogs.on_silence(integration.base_url)
            return self.retry_later(message, is_unknown=True)
        self._backlogs.on_answer(integration.base_url)
        if found is not None:
            return found
        answered_us = self._database.clock.now_us()
        return self.retry_later(message, is_unknown=True, answered_us=answered_us)

    def retry_later(
        self,
        message: Message,
        *,
        is_unknown: bool,
        answered_us: int | None = None,
        error: ChatwootError | None = None,
    ) -> Settle:
        """What becomes of a reply that was not sent, or whose outcome is unknown."""
        attempts, now_us = message.delivery_attempts + 1, self._database.clock.now_us()
        backoff = jittered(doubled(_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS, attempts), 0.25)
        # a reply was told when it was written, or sent again by a person
        if now_us - message.observed_us >= self._patience_us:
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
        reason = RETRYING if attempts >= _SHOWN_ATTEMPTS else None
        return put_off(
            message,
            now_us + int(backoff * SECOND),
            is_unknown=is_unknown,
            answered_us=answered_us,
            error=reason,
        )

    async def _sure_integration(self, outgoing: Outgoing) -> Integration | Settle:
        """The integration, or what becomes of a reply without one. Integrations are read anew
        before a reply fails, as that is final: another process may have added or switched on this
        one a moment ago.
        """
        message = outgoing.message
        place = outgoing.company_id, outgoing.integration_id, outgoing.display_id
        try:
            with contextlib.suppress(NoChatwootIntegration):
                return sending_integration(self._directory, *place)
            await self._directory.refresh()
            return sending_integration(self._directory, *place)
        except NoChatwootIntegration as error:
            return failed(
                message, "no_integration", error.message, is_unknown=message.is_outcome_unknown
            )
        except DatabaseUnavailable:
            return not_yet(message, self._database.clock.now_us())


def _refused(
    message: Message, error: ChatwootRefused | OwnTokenRefused, *, is_unknown: bool
) -> Settle:
    """`is_unknown`: the question about an earlier attempt was refused, which may have reached
    Chatwoot; sent again by a person, the reply is searched first. Questions never go with an own
    token: of one that is refused nothing is unknown.
    """
    if isinstance(error, OwnTokenRefused):
        return failed(message, "own_token_refused", error.message)
    sentence = f"{REFUSED}: {error.message}"
    # the account, or what the token's owner may do
    if error.chatwoot_status == 401 and NOT_ACCEPTED not in error.message:
        return failed(message, "chatwoot_denied", sentence, is_unknown=is_unknown)
    sentence = _SENTENCES.get(error.chatwoot_status, sentence)
    return failed(message, f"chatwoot_{error.chatwoot_status}", sentence, is_unknown=is_unknown)
