"""Whose name an agent's replies and acts go out under: the agent's own, where they have connected
an access token of their own, else the integration's.

A refusal of an own token says nothing of the integration. Chatwoot refuses before it does anything,
so what was refused may go out under the integration's name, where an administrator has chosen so.
"""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

import msgspec

from server import log
from server.chatwoot import ChatwootClient, ChatwootRefused
from server.core.chatwoot.inbox_proof import NOT_ACCEPTED
from server.core.chatwoot.own_token_owner import REFUSING, refusal_of
from server.core.chatwoot.payload_fields import MAX_NAME_CHARACTERS, as_dict, as_text
from server.core.identifiers import parse_id
from server.db.access import integration_rows, own_token_rows
from server.db.access.agent_rows import Agent
from server.db.access.integration_record import Integration
from server.db.access.own_token_rows import OwnToken
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.errors import OwnTokenRefused, Unavailable
from server.integrations.directory import Directory
from server.problems import Problem, Text, encode, english

ClientOf = Callable[[Integration], ChatwootClient]
T = TypeVar("T")
MAX_PROBLEM_CHARACTERS = 500
# what Chatwoot says of the token, its owner, their account or the inbox
_STOPPING = ("token.", "account.", "inbox.")
_REFUSED_TOKEN, _REFUSED_OWNER = "token.refused_because", "account.owner_refused"
_logger = log.get(__name__)


class Sender(msgspec.Struct, frozen=True, rename="camel"):
    """Under which name an agent's replies of one integration go out. `refused`: the agent's own
    token is refused, and nothing goes out; `fallback`: it is refused, and they go out under the
    integration's; `stopped`: Chatwoot refuses the integration's, and nothing goes out.
    """

    integration_id: int
    state: Literal["own", "integration", "refused", "fallback", "stopped"]
    name: str


class OwnTokens:
    """Acts in Chatwoot under the right name, and keeps which own tokens are refused."""

    def __init__(self, database: Database, vault: Vault, directory: Directory) -> None:
        self._database = database
        self._vault = vault
        self._directory = directory

    async def run(
        self,
        agent_id: int | None,
        integration: Integration,
        client_of: ClientOf,
        act: Callable[[ChatwootClient], Awaitable[T]],
    ) -> T:
        """Run `act` with a client that has the agent's own token, where there is one. A falsy
        result means that Chatwoot was not asked.

        Raises OwnTokenRefused where it is refused and the integration's is not to be used: then
        nothing was done. Raises DatabaseUnavailable before anything is done, and what `act` raises.
        """
        own = None if agent_id is None else await self._read(agent_id, integration.id)
        if own is None:
            return await self._run_plain(integration, client_of, act)
        why = own.problem_at(integration)
        if why is None:
            client = client_of(msgspec.structs.replace(integration, access_token=own.access_token))
            try:
                done = await act(client)
            except ChatwootRefused as error:
                if error.chatwoot_status not in REFUSING:
                    raise
                why = refusal_of(error.chatwoot_status, error.problem, integration.base_url)
            else:
                name = _name_in(done, own)
                if done and (own.refused_us is not None or name != own.name):
                    await self._accepted(msgspec.structs.replace(own, name=name))
                return done
        await self._refused(own, why)
        if integration.refused_own_tokens == "fallback":
            return await self._run_plain(integration, client_of, act)
        raise OwnTokenRefused(Problem.of("own_token.nothing_done", why=why))

    async def _run_plain(
        self,
        integration: Integration,
        client_of: ClientOf,
        act: Callable[[ChatwootClient], Awaitable[T]],
    ) -> T:
        """Under the integration's name. That it is refused is kept at once, so that everybody is
        told with the first reply that does not go out; the watch takes it back.
        """
        try:
            done = await act(client_of(integration))
        except ChatwootRefused as error:
            if error.chatwoot_status in REFUSING and integration.chatwoot_problem is None:
                await self._keep_problem(integration, _problem_of(error))
            raise
        if done and _code_of(integration) in (_REFUSED_TOKEN, _REFUSED_OWNER):
            await self._keep_problem(integration, None)
        return done

    async def _keep_problem(self, integration: Integration, problem: Problem | None) -> None:
        values = {"chatwoot_problem": encode(problem, MAX_PROBLEM_CHARACTERS)}
        with contextlib.suppress(Unavailable):
            await self._database.transaction(
                lambda c: integration_rows.write_integration(c, self._vault, integration.id, values)
            )
            await self._directory.refresh()
        said = english(problem) if problem else "put right"
        _logger.warning("integration", integration_id=integration.id, problem=said)

    async def _read(self, agent_id: int, integration_id: int) -> OwnToken | None:
        return await self._database.read(
            lambda c: own_token_rows.read_own_token(c, self._vault, agent_id, integration_id)
        )

    async def _accepted(self, own: OwnToken) -> None:
        """What Chatwoot has done stays done, whether this can be written or not."""
        now_us = self._database.clock.now_us()
        with contextlib.suppress(Unavailable):
            await self._database.transaction(lambda c: own_token_rows.mark_checked(c, own, now_us))

    async def _refused(self, own: OwnToken, why: Text) -> None:
        if own.refused_us is not None and own.refusal == why:
            return
        now_us = self._database.clock.now_us()
        with contextlib.suppress(Unavailable):
            await self._database.transaction(
                lambda c: own_token_rows.mark_refused(c, own, why, now_us)
            )

    async def senders(self, agent: Agent) -> list[Sender]:
        """For each active integration of the agent's company. Raises DatabaseUnavailable."""
        tokens = await self._database.read(
            lambda c: own_token_rows.read_own_tokens(c, self._vault, agent.id)
        )
        own = {one.integration_id: one for one in tokens}
        return [
            _sender(one, own.get(one.id))
            for one in self._directory.integrations.values()
            if one.company_id == agent.company_id and one.is_active
        ]


def _name_in(done: object, own: OwnToken) -> str:
    """Return the owner's name as what Chatwoot has done shows it: a message's sender is told with
    it. As it was, where nothing is told.
    """
    sender = as_dict(done.get("sender")) if isinstance(done, dict) else {}
    is_owner = sender.get("type") == "user" and parse_id(sender.get("id")) == own.user_id
    return (is_owner and as_text(sender.get("name"), MAX_NAME_CHARACTERS)) or own.name


def _sender(integration: Integration, own: OwnToken | None) -> Sender:
    name = integration.inbox_name or str(integration.inbox_id or integration.account_id or "")
    if own is not None and own.refused_us is None and own.problem_at(integration) is None:
        return Sender(integration.id, "own", own.name)
    if _is_stopped(integration):
        return Sender(integration.id, "stopped", name)
    if own is None:
        return Sender(integration.id, "integration", name)
    if integration.refused_own_tokens == "fallback":
        return Sender(integration.id, "fallback", name)
    return Sender(integration.id, "refused", own.name)


def _problem_of(error: ChatwootRefused) -> Problem:
    if NOT_ACCEPTED in error.message:
        return Problem.of("token.refused_because", why=error.problem)
    return Problem.of("account.owner_refused", why=error.problem)


def _code_of(integration: Integration) -> str:
    problem = integration.chatwoot_problem
    return problem.code if isinstance(problem, Problem) else ""


def _is_stopped(integration: Integration) -> bool:
    """Whether what is wrong keeps replies back; what is wrong with a webhook does not."""
    return _code_of(integration).startswith(_STOPPING)
