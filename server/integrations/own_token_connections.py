"""Agents connect their own access tokens of Chatwoot: each is checked there before it is kept, and
can be checked anew and removed. A token leaves only towards its Chatwoot.

One token is good for all inboxes of its account, so it is kept for each of the company's
integrations of that account whose inbox its owner sees.
"""

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import msgspec

from server.chatwoot import (
    ChatwootClient,
    ChatwootError,
    ChatwootRefused,
    ChatwootUnavailable,
)
from server.core.chatwoot.own_token_owner import (
    REFUSING,
    Owner,
    judge_owner,
    refusal_of,
    sees_inbox,
)
from server.core.state.entities import Json
from server.core.token_buckets import Buckets
from server.db.access import audit_log, own_token_rows
from server.db.access.audit_log import Actor
from server.db.access.integration_record import Integration
from server.db.access.own_token_rows import OwnToken
from server.db.access.vault import Vault
from server.db.engine.database import Connection, Database
from server.errors import (
    ChatwootAway,
    NotFound,
    TooManyRequests,
    Unprocessable,
)
from server.integrations.directory import Directory
from server.integrations.rules import checked_secret
from server.integrations.trials import no_chatwoot
from server.problems import Problem, Text

ClientOf = Callable[[Integration], ChatwootClient]
T = TypeVar("T")
_TRIES = (1 / 30, 10.0)  # of one agent, a second and burst: nobody guesses tokens through us


class OwnConnection(msgspec.Struct, frozen=True):
    """An integration of an agent's company, and the agent's own token for it."""

    integration: Integration
    own: OwnToken | None

    @property
    def refusal(self) -> Text | None:
        """Why the token is not used, where there is one and it is not."""
        if self.own is None:
            return None
        problem = self.own.problem_at(self.integration)
        return problem or (self.own.refusal if self.own.refused_us is not None else None)


class OwnTokenConnections:
    """Connects, checks and removes own tokens. Every act leaves a line in the audit log."""

    def __init__(
        self, database: Database, vault: Vault, directory: Directory, client_of: ClientOf
    ) -> None:
        """`client_of` makes clients for a person who waits."""
        self._database = database
        self._vault = vault
        self._directory = directory
        self._client_of = client_of
        self._tries = Buckets(*_TRIES)

    async def list_own(self, company_id: int, agent_id: int) -> list[OwnConnection]:
        """The company's active integrations, with the agent's token for each."""
        tokens = await self._database.read(
            lambda c: own_token_rows.read_own_tokens(c, self._vault, agent_id)
        )
        own = {one.integration_id: one for one in tokens}
        return [
            OwnConnection(one, own.get(one.id))
            for one in self._directory.integrations.values()
            if one.company_id == company_id and one.is_active
        ]

    async def list_company(self, company_id: int) -> dict[int, list[OwnConnection]]:
        """By agent, the tokens that a company's agents have connected."""
        tokens = await self._database.read(
            lambda c: own_token_rows.read_company_tokens(c, self._vault, company_id)
        )
        found: dict[int, list[OwnConnection]] = {}
        for own in tokens:
            integration = self._directory.of_company(company_id, own.integration_id)
            if integration is not None:
                found.setdefault(own.agent_id, []).append(OwnConnection(integration, own))
        return found

    async def connect(self, actor: Actor, integration_id: int, text: str) -> None:
        """Keep the agent's token, once Chatwoot has said whose it is. Raises NotFound, BadRequest,
        TooManyRequests, ChatwootAway; Unprocessable for a token that is not one to reply with.
        """
        agent_id = self._count_try(actor)
        integration = await self._integration(actor.company_id, integration_id)
        token = checked_secret(text, Problem.of("noun.access_token"))
        owner, inboxes = await self._asked(integration, self._ask_owner(integration, token))
        if not sees_inbox(inboxes, integration.inbox_id):
            raise Unprocessable(_not_kept(_no_inbox(integration)))
        now_us = self._database.clock.now_us()

        async def write(connection: Connection) -> None:
            for one in self._same_account(integration):
                if not sees_inbox(inboxes, one.inbox_id):
                    continue
                own = _own_token(agent_id, one, token, owner, now_us)
                kept = await own_token_rows.put_own_token(connection, self._vault, own)
                if not kept and one.id == integration.id:
                    raise NotFound(Problem.of("integration.unknown", id=integration_id))
            await audit_log.append_act(
                connection,
                actor,
                "own-token.connect",
                f"integration {integration_id}",
                user=owner.name,
            )

        await self._database.transaction(write)

    async def check(self, actor: Actor, integration_id: int) -> None:
        """Ask Chatwoot anew whose the token is, and those of the same person in the other
        integrations of its account; each has its own verdict. Raises NotFound where there is none,
        TooManyRequests, ChatwootAway, Unprocessable.
        """
        agent_id = self._count_try(actor)
        await self._integration(actor.company_id, integration_id)
        verdicts = await self._judge(
            actor.company_id, await self._same_person(agent_id, integration_id)
        )
        now_us = self._database.clock.now_us()

        async def write(connection: Connection) -> None:
            for one, verdict in verdicts:
                if isinstance(verdict, Owner):
                    named = msgspec.structs.replace(one, name=verdict.name, email=verdict.email)
                    await own_token_rows.mark_checked(connection, named, now_us)
                else:
                    await own_token_rows.mark_refused(connection, one, verdict, now_us)

        await self._database.transaction(write)

    async def _judge(
        self, company_id: int, tokens: Iterable[OwnToken]
    ) -> list[tuple[OwnToken, Owner | Text]]:
        """Whose each token is, or why it is not used for its integration. Chatwoot is asked once
        for each token at each address; nothing is said of an integration that is gone.
        """
        answers: dict[tuple[str, str], tuple[Owner, list[Json]] | Problem] = {}
        verdicts: list[tuple[OwnToken, Owner | Text]] = []
        for one in tokens:
            place = self._directory.of_company(company_id, one.integration_id)
            if place is None:
                continue
            if (problem := one.problem_at(place)) is not None:
                verdicts.append((one, problem))
                continue
            key = place.base_url, one.access_token
            if key not in answers:
                answers[key] = await self._answer_to(place, one.access_token)
            verdicts.append((one, _verdict(answers[key], place)))
        return verdicts

    async def _answer_to(
        self, place: Integration, token: str
    ) -> tuple[Owner, list[Json]] | Problem:
        """As `_ask_owner`, or why Chatwoot refuses the token."""
        try:
            return await self._asked(place, self._ask_owner(place, token))
        except _RefusedToken as error:
            return error.why

    async def remove(self, actor: Actor, integration_id: int) -> None:
        """Forget the agent's token for the integration and the others of its account. Raises
        NotFound where there is none.
        """
        agent_id = actor.agent_id or 0
        numbers = [one.integration_id for one in await self._same_person(agent_id, integration_id)]

        async def write(connection: Connection) -> None:
            await own_token_rows.delete_own_tokens(connection, agent_id, numbers)
            await audit_log.append_act(
                connection, actor, "own-token.remove", f"integration {integration_id}"
            )

        await self._database.transaction(write)

    async def remove_of(self, actor: Actor, agent_id: int) -> None:
        """Forget all tokens of an agent of the administrator's company. Raises NotFound where there
        are none.
        """

        async def write(connection: Connection) -> None:
            tokens = await own_token_rows.read_own_tokens(connection, self._vault, agent_id)
            numbers = [one.integration_id for one in tokens if one.company_id == actor.company_id]
            if not await own_token_rows.delete_own_tokens(connection, agent_id, numbers):
                raise NotFound(Problem.of("own_token.none"))
            await audit_log.append_act(connection, actor, "own-token.remove", f"agent {agent_id}")

        await self._database.transaction(write)

    def _count_try(self, actor: Actor) -> int:
        if wait := self._tries.wait(actor.agent_id, time.monotonic()):
            raise TooManyRequests(Problem.of("limit.tries", seconds=int(wait) + 1))
        return actor.agent_id or 0

    async def _integration(self, company_id: int, integration_id: int) -> Integration:
        """Another process may have added it a moment ago."""
        found = self._directory.of_company(company_id, integration_id)
        if found is None:
            await self._directory.refresh()
            found = self._directory.of_company(company_id, integration_id)
        if found is None or not found.is_active or not found.base_url:
            raise NotFound(Problem.of("integration.unknown", id=integration_id))
        return found

    def _same_account(self, integration: Integration) -> list[Integration]:
        numbers = {integration.id, *self._directory.siblings(integration.id)}
        return [
            one for number in sorted(numbers) if (one := self._directory.integrations.get(number))
        ]

    async def _same_person(self, agent_id: int, integration_id: int) -> list[OwnToken]:
        """The agent's tokens of one person in one account, also where they differ. Raises
        NotFound.
        """
        tokens = await self._database.read(
            lambda c: own_token_rows.read_own_tokens(c, self._vault, agent_id)
        )
        own = next((one for one in tokens if one.integration_id == integration_id), None)
        if own is None:
            raise NotFound(Problem.of("own_token.none"))
        return [one for one in tokens if _place(one) == _place(own)]

    async def _ask_owner(self, integration: Integration, token: str) -> tuple[Owner, list[Json]]:
        """Whose it is, and the inboxes they see."""
        own = msgspec.structs.replace(integration, access_token=token)
        client = self._client_of(own)
        owner = judge_owner(await client.profile(), integration.account_id)
        if isinstance(owner, Problem):
            raise _RefusedToken(owner)
        return owner, await client.list_inboxes()

    async def _asked(self, integration: Integration, call: Awaitable[T]) -> T:
        try:
            return await call
        except ChatwootRefused as error:
            if error.chatwoot_status not in REFUSING:
                raise Unprocessable(no_chatwoot(integration, error)) from None
            why = refusal_of(error.chatwoot_status, error.problem, integration.base_url)
            raise _RefusedToken(why) from None
        except ChatwootUnavailable as error:
            raise ChatwootAway(
                Problem.of("trial.cannot_be_asked", address=integration.base_url, why=error.problem)
            ) from None
        except ChatwootError as error:
            raise Unprocessable(no_chatwoot(integration, error)) from None


class _RefusedToken(Unprocessable):
    """Chatwoot refuses the token, or its owner is not one to reply: `why`."""

    def __init__(self, why: Problem) -> None:
        super().__init__(_not_kept(why))
        self.why = why


def _verdict(answer: tuple[Owner, list[Json]] | Problem, place: Integration) -> Owner | Text:
    if isinstance(answer, Problem):
        return answer
    owner, inboxes = answer
    return owner if sees_inbox(inboxes, place.inbox_id) else _no_inbox(place)


def _not_kept(why: Problem) -> Problem:
    return Problem.of("token.not_kept", why=why)


def _no_inbox(integration: Integration) -> Problem:
    inbox = integration.inbox_name or str(integration.inbox_id)
    return Problem.of("own_token.no_inbox", inbox=inbox)


def _place(own: OwnToken) -> tuple[str, int, int]:
    return own.base_url, own.account_id, own.user_id


def _own_token(
    agent_id: int, integration: Integration, token: str, owner: Owner, now_us: int
) -> OwnToken:
    return OwnToken(
        agent_id=agent_id,
        integration_id=integration.id,
        company_id=integration.company_id,
        base_url=integration.base_url,
        account_id=integration.account_id or 0,
        user_id=owner.user_id,
        name=owner.name,
        email=owner.email,
        connected_us=now_us,
        checked_us=now_us,
        access_token=token,
    )
