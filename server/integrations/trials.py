"""Trying an integration before it is kept: Chatwoot is asked with the very address, token and
numbers, and nothing that is wrong is stored.

What is wrong is said in the order in which one would put it right: the address (its name, its port,
its certificate, whether it is a Chatwoot at all), the access token, its owner's role, the account,
the inbox. A Chatwoot that is away says nothing of the rest.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from server.chatwoot import (
    ChatwootClient,
    ChatwootError,
    ChatwootRefused,
    ChatwootUnavailable,
    ChatwootUnexpected,
)
from server.core.chatwoot.conversation_payloads import parse_conversation
from server.core.chatwoot.inbox_proof import NOT_ACCEPTED
from server.core.checks import integration_checks
from server.core.checks.integration_checks import Finding
from server.db.access.integration_record import Integration
from server.errors import ChatwootAway, Unprocessable
from server.integrations.file_trials import FileTrial
from server.problems import Problem, Text

ClientOf = Callable[[Integration], ChatwootClient]
Json = dict[str, Any]
_GONE = 404


class Place(msgspec.Struct, frozen=True):
    """What Chatwoot shows to an access token: its owner, the accounts they administer, and the
    inboxes of one of them.
    """

    owner: str
    accounts: tuple[tuple[int, str], ...]
    account_id: int
    inboxes: tuple[tuple[int, str, str], ...]  # number, name, channel
    # what became of one of its files; None where there was none to try
    files: Finding | None = None


class Trial:
    """Asks Chatwoot and stores nothing. A trial takes two calls, or as long as Chatwoot's
    timeouts.
    """

    def __init__(self, client_of: ClientOf, files: FileTrial) -> None:
        self._client_of = client_of
        self._files = files

    async def inspect(self, integration: Integration, *, tries_files: bool = False) -> Place:
        """What there is to choose from; without an account number the first account whose
        administrator the token's owner is. A file that does not open is no reason to refuse the
        rest, and is told besides.

        Raises ChatwootAway, Unprocessable.
        """
        client = self._client_of(integration)
        profile = await self._asked(integration, client.profile())
        accounts = [
            one
            for one in profile.get("accounts") or []
            if isinstance(one, dict) and isinstance(one.get("id"), int)
        ]
        administered = [one for one in accounts if one.get("role") == "administrator"]
        account_id = integration.account_id or next(
            (one["id"] for one in (*administered, *accounts)), 0
        )
        _check(integration_checks.judge_account(profile, account_id))
        own = msgspec.structs.replace(integration, account_id=account_id)
        inboxes = await self._asked(own, self._client_of(own).list_inboxes())
        return Place(
            owner=str(profile.get("name") or ""),
            accounts=tuple((one["id"], str(one.get("name") or one["id"])) for one in administered),
            account_id=account_id,
            inboxes=tuple(
                (
                    one["id"],
                    str(one.get("name") or one["id"]),
                    str(one.get("channel_type") or "").removeprefix("Channel::"),
                )
                for one in inboxes
                if isinstance(one.get("id"), int)
            ),
            files=await self._files.try_files(own, None) if tries_files else None,
        )

    async def check(self, integration: Integration, inbox_ids: Sequence[int]) -> dict[int, str]:
        """The inboxes' names. Raises ChatwootAway when Chatwoot cannot be asked now, Unprocessable
        for the first thing that is wrong.
        """
        place = await self.inspect(integration)
        names = {number: name for number, name, _ in place.inboxes}
        listed = [{"id": number, "name": name} for number, name in names.items()]
        for inbox_id in inbox_ids:
            _check(integration_checks.judge_inbox(listed, place.account_id, inbox_id, ""))
        return {inbox_id: names[inbox_id] for inbox_id in inbox_ids}

    async def has_conversation(
        self, integration: Integration, display_id: int, contact_id: int
    ) -> bool:
        """Whether it is the same customer's there. Raises ChatwootAway, Unprocessable."""
        try:
            found = await self._client_of(integration).get_conversation(display_id)
        except ChatwootRefused as error:
            if error.chatwoot_status == _GONE:
                return False
            raise refusal(integration, error) from None
        except ChatwootUnavailable as error:
            raise ChatwootAway(
                Problem.of("trial.cannot_be_asked", address=integration.base_url, why=error.problem)
            ) from None
        contact = parse_conversation(found).contact
        return contact is not None and contact.id == contact_id

    async def _asked(self, integration: Integration, call: Any) -> Any:
        try:
            return await call
        except ChatwootRefused as error:
            raise refusal(integration, error) from None
        except ChatwootUnexpected as error:
            raise Unprocessable(no_chatwoot(integration, error)) from None
        except ChatwootUnavailable as error:
            # something else than Chatwoot's API answers
            if (
                isinstance(error.problem, Problem)
                and error.problem.code == "chatwoot.answer_broken"
            ):
                raise Unprocessable(no_chatwoot(integration, error)) from None
            raise ChatwootAway(
                Problem.of("trial.cannot_be_asked", address=integration.base_url, why=error.problem)
            ) from None


def refusal(integration: Integration, error: ChatwootRefused) -> Unprocessable:
    """Chatwoot's own words; only `Invalid Access Token` is the token."""
    if error.chatwoot_status in (401, 403):
        if NOT_ACCEPTED in error.message:
            remedy = Problem.of("token.copy")
            return Unprocessable(
                _sentence(Problem.of("token.refused_because", why=error.problem), remedy)
            )
        return Unprocessable(
            _sentence(
                Problem.of("account.owner_refused", why=error.problem),
                Problem.of("account.look"),
            )
        )
    return Unprocessable(no_chatwoot(integration, error))


def no_chatwoot(integration: Integration, error: ChatwootError) -> Problem:
    """Says that something else than Chatwoot's API answers at the address."""
    remedy = Problem.of("chatwoot.take_address")
    return _sentence(
        Problem.of("chatwoot.not_its_api", address=integration.base_url, why=error.problem), remedy
    )


def _check(findings: Sequence[Finding]) -> None:
    for finding in findings:
        if finding.state == "failed":
            raise Unprocessable(_sentence(finding.text, finding.remedy))


def _sentence(text: Text, remedy: Text) -> Problem:
    return Problem.of("trial.not_stored_remedy", what=text, remedy=remedy)


def reason_within(problem: Text) -> Text:
    """What is wrong, of a problem that says as well that nothing was stored."""
    if isinstance(problem, Problem) and problem.code == "trial.not_stored_remedy":
        return Problem("trial.reason_and_remedy", problem.params)
    return problem
