"""Erasing a contact on request: conversations, messages, files, events, and the journal's bodies.
Clients take a snapshot again.

Chatwoot is asked first: what is still there would come back by reconcile, so it has to go there
before it can go here.
"""

from collections.abc import Callable, Sequence

import msgspec

from server.chatwoot import ChatwootClient, ChatwootError, ChatwootRefused
from server.core.chatwoot.headings import names_contact
from server.core.state.entities import Json
from server.db.access import audit_log
from server.db.access.audit_log import Actor
from server.db.access.integration_record import Integration
from server.db.engine.database import Connection, Database
from server.db.state import contacts
from server.db.state.contacts import Kept
from server.errors import ChatwootFailed, Conflict, NotFound
from server.integrations.directory import Directory
from server.problems import Problem

_JOURNAL_PAGE = 200
ClientOf = Callable[[Integration], ChatwootClient]


class Erased(msgspec.Struct, frozen=True):
    """How many rows of each kind went, or were blanked."""

    conversations: int
    messages: int
    deliveries: int

    def view(self) -> Json:
        """The counts as a dict of JSON."""
        view: Json = msgspec.to_builtins(self)
        return view


class Erasure:
    """Erases contacts of a company."""

    def __init__(self, database: Database, directory: Directory, client_of: ClientOf) -> None:
        self._database = database
        self._directory = directory
        self._client_of = client_of

    async def erase(self, actor: Actor, conversation_id: int) -> Erased:
        """The contact of a conversation. Interrupted, it can be done again. Raises NotFound,
        Conflict, ChatwootFailed.
        """
        kept = await self._database.read(
            lambda c: contacts.find_contact(c, actor.company_id, conversation_id)
        )
        if kept is None:
            raise NotFound
        integration = self._directory.of_company(actor.company_id, kept.integration_id)
        if integration is not None and integration.is_active:
            await self._check_gone(
                integration, [number for _, number in kept.conversations if number is not None]
            )
        # the journal first: after the conversations have gone nobody could tell whose deliveries
        # these were
        deliveries = await self._blank(integration, kept) if integration is not None else 0

        async def write(connection: Connection) -> Erased:
            numbers = [number for number, _ in kept.conversations]
            messages = await contacts.erase_conversations(connection, actor.company_id, numbers)
            erased = Erased(len(numbers), messages, deliveries)
            await audit_log.append_act(
                connection,
                actor,
                "contact.erase",
                f"conversation {conversation_id}",
                **erased.view(),
            )
            return erased

        return await self._database.transaction(write)

    async def _check_gone(self, integration: Integration, numbers: Sequence[int]) -> None:
        client = self._client_of(integration)
        for number in numbers:
            try:
                await client.get_conversation(number)
            except ChatwootRefused as error:
                if error.chatwoot_status == 404:
                    continue
                raise ChatwootFailed(
                    Problem.of("erasure.chatwoot_silent", why=error.problem)
                ) from None
            except ChatwootError as error:
                raise ChatwootFailed(
                    Problem.of("erasure.chatwoot_silent", why=error.problem)
                ) from None
            raise Conflict(Problem.of("erasure.still_in_chatwoot", number=number))

    async def _blank(self, integration: Integration, kept: Kept) -> int:
        """The journal, page by page, so that webhooks go on being taken meanwhile."""
        numbers, count, after = (
            {number for _, number in kept.conversations if number is not None},
            0,
            0,
        )
        while True:
            page = await self._database.read(
                # awaited at once
                lambda c: contacts.read_journal_page(c, integration.id, after, _JOURNAL_PAGE)  # noqa: B023
            )
            theirs = [
                number
                for number, body, is_own in page
                if names_contact(body, integration.account_id, kept.contact_id, numbers)
                and (is_own or self._directory.owner_of(body) == integration.company_id)
            ]
            if theirs:
                # awaited at once
                count += await self._database.transaction(
                    lambda c: contacts.blank_deliveries(c, theirs)  # noqa: B023
                )
            if len(page) < _JOURNAL_PAGE:
                return count
            after = page[-1][0]
