"""All integrations at one moment, by the numbers and the keys that deliveries carry. Pure."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator

from server.db.access.integration_record import FOUNDER, GRANDFATHERED, Integration
from server.errors import (
    PayloadError,
)
from server.problems import Problem


class IntegrationIndex:
    """Made anew with each refresh of the directory, and never changed."""

    def __init__(self, found: Iterable[Integration], *, require_signature: bool) -> None:
        self._require_signature = require_signature
        # proved ones first, and of those the one that was proved first: who comes later takes
        # nothing from who was here before
        found = sorted(found, key=lambda one: (not one.is_proved, one.proved_us, one.id))
        self.integrations = {integration.id: integration for integration in found}
        self.by_account: defaultdict[int | None, list[Integration]] = defaultdict(list)
        self.by_inbox: defaultdict[int | None, list[Integration]] = defaultdict(list)
        for integration in found:
            self.by_account[integration.account_id].append(integration)
            self.by_inbox[integration.inbox_id].append(integration)
        self.by_key = {
            hashed_key(one.webhook_key): one for one in reversed(found) if one.webhook_key
        }

    def candidates(self, account_id: int | None, inbox_id: int | None) -> list[Integration]:
        """Proved ones whose numbers fit. One that is not proved is none: else a claim that costs
        nothing would block its owner.
        """
        if inbox_id is None:
            return (
                [one for one in self.by_account.get(account_id, ()) if one.is_proved]
                if account_id is not None
                else []
            )
        if account_id is None:
            return [one for one in self.by_inbox.get(inbox_id, ()) if one.is_proved]
        pool = [one for one in self.by_account.get(account_id, ()) if one.is_proved]
        exact = [integration for integration in pool if integration.inbox_id == inbox_id]
        # within a company the inbox goes before the whole account; one company's inbox hides no
        # other company's account
        companies = {integration.company_id for integration in exact}
        return exact + [
            one for one in pool if one.inbox_id is None and one.company_id not in companies
        ]

    def pool(self, account_id: int | None, inbox_id: int | None) -> list[Integration]:
        """Those with this account number, or inbox number where no account is known."""
        return (
            self.by_inbox.get(inbox_id, [])
            if account_id is None
            else self.by_account.get(account_id, [])
        )

    def unsigned(self, candidates: Iterable[Integration]) -> list[Integration]:
        """Those that accept what is not signed, at the plain address."""
        if self._require_signature:
            return []
        found = [one for one in candidates if one.unsigned == "accepted" and not one.has_secret]
        # who received before there were proofs goes on: a neighbour's proof of the same numbers
        # elsewhere stops nothing
        return [one for one in found if 0 < one.proved_us <= FOUNDER] or found

    def grandfathered(self, candidates: Iterable[Integration]) -> list[Integration]:
        """Those that accept a signature which nobody can judge: older than proofs, their secret not
        fetched yet (`proofs`), and of the one company that has the account's number here.
        """
        found = self._without_known_secret(candidates)
        return found if len(self._owners(found)) == 1 else []

    def is_undecided(self, candidates: Iterable[Integration]) -> bool:
        """Whether one that is older than proofs may have signed, but as well another company in an
        account of that number.

        Then it is given to neither, and refused to neither: it is kept until the secret is known.
        """
        return len(self._owners(self._without_known_secret(candidates))) > 1

    def _without_known_secret(self, candidates: Iterable[Integration]) -> list[Integration]:
        return [one for one in self.unsigned(candidates) if one.proved_us == GRANDFATHERED]

    def _owners(self, found: Iterable[Integration]) -> set[int]:
        accounts = {one.account_id for one in found}
        return {
            one.company_id
            for account in accounts
            for one in self.by_account[account]
            if one.is_proved
        }

    def addressed(self, verified: Integration, inbox_id: int | None, where: Problem) -> Integration:
        """The company's integration of that inbox, at the same Chatwoot as the one whose secret or
        key it is.
        """
        if inbox_id is None or verified.inbox_id == inbox_id:
            return verified
        own = [
            one
            for one in self.by_account.get(verified.account_id, ())
            if (one.company_id, one.base_url) == (verified.company_id, verified.base_url)
        ]
        fitting = [one for one in own if one.inbox_id == inbox_id] or [
            one for one in own if one.inbox_id is None
        ]
        if not fitting:
            raise PayloadError(
                Problem.of("payload.no_integration", where=where),
                outcome="ignored",
                is_routing=True,
            )
        return next((one for one in fitting if one.is_active and one.is_webhook_active), fitting[0])


def secrets_by_turns(
    pool: list[Integration], inbox_id: int | None, now_us: int
) -> Iterator[tuple[Integration, str]]:
    """Each company's first secret, then each one's second, and so on; those of integrations without
    a proof last.
    """
    if len(pool) == 1:
        yield from ((pool[0], secret) for secret in pool[0].secrets_at(now_us))
        return
    ordered = sorted(pool, key=lambda one: one.inbox_id != inbox_id)
    for is_proved in (True, False):
        companies: dict[int, dict[str, Integration]] = defaultdict(dict)
        for integration in ordered:
            if integration.is_proved == is_proved:
                for secret in integration.secrets_at(now_us):
                    companies[integration.company_id].setdefault(secret, integration)
        waiting = [iter(own.items()) for own in companies.values()]
        while waiting:
            following = []
            for own in waiting:
                if (found := next(own, None)) is not None:
                    yield found[1], found[0]
                    following.append(own)
            waiting = following


def hashed_key(key: str | None) -> str:
    """As it is kept: the journal must not hold what opens the address."""
    return hashlib.sha256((key or "").encode("utf-8", "replace")).hexdigest()
