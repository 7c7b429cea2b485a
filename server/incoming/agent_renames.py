"""A new name of an agent or a team for the conversations and messages that were stored with the old
one.

Chatwoot tells such a rename by no event; it shows in what is told next. Which of two names is the
newer one no payload says: so Chatwoot is asked, once for the account, and its answer decides.
"""

import asyncio
import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence, Set

from msgspec.structs import replace

from server import log
from server.chatwoot import ChatwootClient, ChatwootError, ChatwootRefused
from server.chatwoot.background_calls import Paced, TryLater
from server.core.chatwoot.agent_names import (
    AGENT,
    TEAM,
    CurrentNames,
    KnownNames,
    Rename,
    with_names,
)
from server.core.chatwoot.payload_fields import MAX_NAME_CHARACTERS, as_text
from server.core.identifiers import parse_id
from server.core.state.entities import Json, Message
from server.core.state.projection import WorkingSet
from server.core.state.tracked import TrackedConversation, TrackedMessage
from server.core.wire.event_frames import EventBatch
from server.db.access import own_token_rows
from server.db.access.integration_record import Integration
from server.db.engine.database import Connection, Database
from server.db.state import agent_names
from server.db.state.conversation_edits import ConversationEditor, edit_conversation
from server.errors import NotFound, Unavailable
from server.integrations.directory import Directory

_BATCH = 200
_MAX_WAITING = 1_000
_MAX_FORMER = 1_000  # names of an account, each of at most 255 characters
_PAUSE_SECONDS = 5.0  # between questions to a Chatwoot: any delivery may tell another name
_MAX_REST_SECONDS = 1.0
_logger = log.get(__name__)


class AgentRenames:
    """Renames agents and teams in stored conversations, and agents in their messages. Each
    conversation that shows one has its event.
    """

    def __init__(
        self,
        database: Database,
        directory: Directory,
        client_of: Callable[[Integration], ChatwootClient],
        publish: Callable[[EventBatch], None],
    ) -> None:
        self.known = KnownNames()
        self._database = database
        self._directory = directory
        self._client_of = client_of
        self._editor = ConversationEditor(database, publish)
        # the first integration of an account -> (kind, number, name that it had)
        self._former: dict[int, set[tuple[str, int, str]]] = defaultdict(set)
        self._work: Paced[int, Integration] = Paced(
            self._ask,
            gather_seconds=0.2,
            pause_seconds=_PAUSE_SECONDS,
            max_waiting=_MAX_WAITING,
        )
        self.run = self._work.run

    def on_renamed(self, renames: Sequence[Rename]) -> None:
        """Something is called otherwise than it was."""
        for one in renames:
            integration = self._directory.integrations.get(one.integration_id)
            siblings = self._directory.siblings(one.integration_id)
            if integration is None or not siblings:
                continue
            first = min(siblings)
            if len(self._former[first]) < _MAX_FORMER:
                names = one.former, one.name
                self._former[first] |= {(one.kind, one.number, name) for name in names}
            self._work.submit(integration.base_url, first, integration)

    async def _ask(self, first: int, integration: Integration) -> None:
        # before the question: of what is told during it the answer may know nothing
        former = self._former.pop(first, set())
        try:
            await self._rename_all(first, integration, former)
        except ChatwootRefused as error:
            _logger.info("names not asked for", integration_id=first, reason=error.message)
        except (ChatwootError, Unavailable) as error:
            self._former[first] |= former
            raise TryLater from error

    async def _rename_all(
        self, first: int, integration: Integration, former: Set[tuple[str, int, str]]
    ) -> None:
        client, asked_us = self._client_of(integration), self._database.clock.now_us()
        agents = _names(await client.list_agents())
        teams = _names(await client.list_teams())
        siblings = self._directory.siblings(first)
        for number in siblings:
            self.known.keep(number, AGENT, agents, asked_us)
            self.known.keep(number, TEAM, teams, asked_us)
        names = _current_names(former, agents, teams)
        if not names.numbered:
            return
        await self._rename_owners(integration, siblings, names)
        for number in siblings:
            after: int | None = 0
            while after is not None:
                after = await self._rename(integration.company_id, number, names, after)

    async def _rename_owners(
        self, integration: Integration, siblings: Sequence[int], names: CurrentNames
    ) -> None:
        """Agents are told under which name their replies go out."""
        owners = {key[1]: name for key, name in names.numbered.items() if key[0] == AGENT}
        account = integration.base_url, integration.account_id
        if owners:
            await self._database.transaction(
                lambda c: own_token_rows.rename_owners(c, siblings, account, owners)
            )

    async def _rename(
        self, company_id: int, integration_id: int, names: CurrentNames, after: int
    ) -> int | None:
        """One batch. Returns the conversation to go on from, None at the end."""
        async with _rest_after():
            found, last = await self._database.read(
                lambda c: agent_names.find_other_names(c, integration_id, names, after, _BATCH)
            )
        for conversation_id in found:
            async with _rest_after():
                with contextlib.suppress(NotFound):  # erased meanwhile
                    await self._rename_one(company_id, conversation_id, names)
        return last

    async def _rename_one(self, company_id: int, conversation_id: int, names: CurrentNames) -> None:
        async def write(connection: Connection) -> tuple[None, list[EventBatch]]:
            now_us = self._editor.now_us()

            async def change(working_set: WorkingSet, entry: TrackedConversation) -> None:
                messages = await agent_names.read_of_agents(
                    connection, conversation_id, names.senders
                )
                for message in messages:
                    known = TrackedMessage(message)
                    entry.messages.append(known)
                    renamed = _with_sender(message, names.senders)
                    working_set.set_message(entry, known, renamed, now_us, now_us)
                row = with_names(entry.row, names)
                working_set.set_conversation(entry, row, now_us, now_us)

            return await edit_conversation(connection, company_id, conversation_id, change, now_us)

        await self._editor.run(write)


@contextlib.asynccontextmanager
async def _rest_after() -> AsyncIterator[None]:
    """Leave the database, and the company's stream, to others for as long as the work took."""
    began = time.monotonic()
    yield
    await asyncio.sleep(min(time.monotonic() - began, _MAX_REST_SECONDS))


def _with_sender(message: Message, former: Mapping[str, str]) -> Message:
    """A bot, or a rule, may be called as an agent was."""
    is_by_person = message.details is None or message.details.sender_kind is None
    name = former.get(message.sender_name or "") if is_by_person else None
    return message if name is None else replace(message, sender_name=name)


def _current_names(
    former: Set[tuple[str, int, str]], agents: Mapping[int, str], teams: Mapping[int, str]
) -> CurrentNames:
    """Of those that had another name. Where agents were called the same, whose the messages are
    nobody could say.
    """
    present = {AGENT: agents, TEAM: teams}
    numbered = {
        key: present[key[0]][key[1]]
        for key in former
        if present[key[0]].get(key[1], key[2]) != key[2]
    }
    of_agents = [key for key in numbered if key[0] == AGENT]
    shared = Counter([*agents.values(), *(name for _, _, name in of_agents)])
    senders = {key[2]: numbered[key] for key in of_agents if shared[key[2]] == 1}
    return CurrentNames(numbered, senders)


def _names(rows: Sequence[Json]) -> dict[int, str]:
    return {
        number: name
        for row in rows
        if (number := parse_id(row.get("id"))) is not None
        and (name := as_text(row.get("name"), MAX_NAME_CHARACTERS)) is not None
    }
