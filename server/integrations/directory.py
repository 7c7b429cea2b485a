"""The integrations of all companies in memory: which one a delivery belongs to, and whether its
signature is good.

Account and inbox numbers are no identity: every Chatwoot counts from 1, and anybody may write any
number. What tells whose a delivery is: the secret that signed it, or the key in the address it was
sent to. Refreshed every few seconds and on change, so that a webhook is judged without a query.
"""

import asyncio
import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import parse_qs

from server.core.chatwoot.headings import read_address
from server.core.chatwoot.signatures import is_signed
from server.core.times import SECOND
from server.db.access import integration_rows
from server.db.access.integration_record import Integration
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.errors import (
    BadSignature,
    DatabaseUnavailable,
    PayloadError,
    Unavailable,
)
from server.integrations.integration_index import (
    IntegrationIndex,
    hashed_key,
    secrets_by_turns,
)
from server.problems import Problem, Text

REFRESH_SECONDS = 3.0
SIGNATURE_HEADER = "x-chatwoot-signature"
TIMESTAMP_HEADER = "x-chatwoot-timestamp"
DELIVERY_HEADER = "x-chatwoot-delivery"
# none that a request can bring: kept beside its headers, so that ingest can judge by it, too
KEY_HEADER = "webhook-key-sha256"
# kept whole, and judged again once the secret is known: the reason in the journal
UNDECIDED = (
    "the signature cannot be judged before Chatwoot has shown the secret of an integration here"
)
# tried for one delivery: every self-hosted Chatwoot begins with account 1, so companies share its
# number
_MAX_SECRETS = 2_000
# more than this is not hashed in the event loop
_MAX_QUICK_SECRETS, _MAX_QUICK_BYTES = 200, 13_000_000
_MAX_HASHED_BYTES = 64_000_000  # of all tries for one delivery: each hashes the whole body


class Directory:
    """Finds the integration of each delivery in memory. `is_loaded` is false until the database
    has been read once.
    """

    def __init__(
        self, database: Database, vault: Vault, *, tolerance_seconds: float, require_signature: bool
    ) -> None:
        self._database = database
        self._vault = vault
        self._tolerance_seconds = tolerance_seconds
        self._require_signature = require_signature
        self._index = IntegrationIndex((), require_signature=require_signature)
        self.integrations: dict[int, Integration] = {}
        self.is_loaded = False
        self.as_of_us = 0  # what was added after this moment is not known here yet

    async def run(self) -> None:
        """Refreshes every few seconds, until it is cancelled."""
        while True:
            with contextlib.suppress(Unavailable):
                await self.refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Reads all integrations. Raises Unavailable; what was known stays."""
        started_us = self.now_us()
        self.replace_all(
            await self._database.read(lambda c: integration_rows.read_integrations(c, self._vault)),
            started_us,
        )

    def replace_all(self, found: Iterable[Integration], as_of_us: int = 0) -> None:
        """Replaces all integrations by these, which are all there are, as of that moment."""
        self._index = IntegrationIndex(found, require_signature=self._require_signature)
        self.integrations = self._index.integrations
        names = self._database.inbox_names  # connections have it: it stays the same dictionary
        names.clear()
        names |= {one.id: one.inbox_name for one in self.integrations.values() if one.inbox_name}
        self.is_loaded = True
        self.as_of_us = as_of_us

    def now_us(self) -> int:
        """The time by which deliveries are received and judged: the database's, as this machine's
        clock may be hours wrong.
        """
        return self._database.clock.now_us()

    def knows(self, account_id: int | None, inbox_id: int | None) -> bool:
        """Whether there is any integration for the address, so that a signature can be judged."""
        return bool(self._index.candidates(account_id, inbox_id))

    def takes_long(self, account_id: int | None, inbox_id: int | None, body_bytes: int) -> bool:
        """Whether there is so much to hash for a delivery that `verify` belongs into a thread."""
        count = 2 * len(self._index.pool(account_id, inbox_id))
        return count > _MAX_QUICK_SECRETS or count * body_bytes > _MAX_QUICK_BYTES

    def verify(
        self,
        account_id: int | None,
        inbox_id: int | None,
        headers: Mapping[str, str],
        body: bytes,
        received_us: int | None = None,
    ) -> int | None:
        """The integration whose secret signed this delivery, or whose key it was sent with. Raises
        BadSignature.

        None: nothing proves whose it is, and `find` decides by the address whether anybody may have
        it. `received_us`: when it came, by `now_us`; without it, now.
        """
        now_us = self.now_us() if received_us is None else received_us
        if SIGNATURE_HEADER in headers:
            return self._verify_signed(account_id, inbox_id, headers, body, now_us)
        if KEY_HEADER in headers:
            return self._verify_key(account_id, headers[KEY_HEADER])
        candidates = self._index.candidates(account_id, inbox_id)
        if (
            candidates
            and not self._index.unsigned(candidates)
            and not any(one.problem for one in candidates)
        ):
            raise BadSignature
        return None

    def find(
        self,
        account_id: int | None,
        inbox_id: int | None,
        verified_id: int | None,
        *,
        is_signed: bool = False,
    ) -> Integration:
        """The integration a delivery belongs to. Raises PayloadError(`ignored`) with the reason
        when there is none or it is switched off.

        `is_signed`: it carries a signature, good or not; without `verified_id` that is nobody's
        here.
        """
        where = _where(account_id, inbox_id)
        if verified_id is not None:
            verified = self.integrations.get(verified_id)
            if verified is None:  # it is nobody else's now
                raise _ignored(Problem.of("payload.integration_removed", where=where))
            return _receiving(self._index.addressed(verified, inbox_id, where))
        candidates = self._index.candidates(account_id, inbox_id)
        if not candidates:
            raise _ignored(Problem.of("payload.no_integration", where=where))
        if is_signed and self._index.is_undecided(candidates):
            raise _ignored(UNDECIDED)
        return _receiving(_only_one(self._unsigned(candidates, is_signed=is_signed), where))

    def _unsigned(self, candidates: list[Integration], *, is_signed: bool) -> list[Integration]:
        """Those of the candidates that accept what no secret here has signed. Raises PayloadError
        where there is none.
        """
        broken = [integration for integration in candidates if integration.problem]
        unsigned = (
            self._index.grandfathered(candidates) if is_signed else self._index.unsigned(candidates)
        )
        if broken and (is_signed or not unsigned):
            raise PayloadError(
                Problem.of(
                    "integration.named_problem", id=broken[0].id, why=broken[0].problem or ""
                ),
                is_routing=True,
            )
        if not unsigned:
            raise PayloadError(Problem.of("payload.bad_signature"), is_routing=True)
        return unsigned

    def of_company(self, company_id: int, integration_id: int | None) -> Integration | None:
        """An integration of the company; None: there is no such one. Raises DatabaseUnavailable
        while nothing was read yet: a process that has just started must not take its own ignorance
        for an answer.
        """
        if not self.is_loaded:
            raise DatabaseUnavailable
        integration = self.integrations.get(integration_id or 0)
        return (
            integration
            if integration is not None and integration.company_id == company_id
            else None
        )

    def siblings(self, integration_id: int) -> list[int]:
        """The company's integrations of the same Chatwoot account, this one among them."""
        own = self.integrations.get(integration_id)
        if own is None:
            return []
        place = (own.company_id, own.base_url)
        return [
            one.id
            for one in self._index.by_account.get(own.account_id, ())
            if (one.company_id, one.base_url) == place and one.is_proved
        ]

    def has_trouble(self, company_id: int) -> bool:
        """Whether an integration of the company, that should work, does not."""
        own = (
            one
            for one in self.integrations.values()
            if one.company_id == company_id and one.is_active
        )
        return any(one.problem or one.chatwoot_problem for one in own)

    def inbox_name(self, integration_id: int | None) -> str | None:
        """The name of an integration's inbox in Chatwoot; None where it is not known, or where it
        has several.
        """
        one = self.integrations.get(integration_id or 0)
        return one.inbox_name if one is not None else None

    def has_inboxes(self, company_id: int) -> bool:
        """Whether conversations of the company come from more than one inbox."""
        own = [
            one
            for one in self.integrations.values()
            if one.company_id == company_id and one.is_active
        ]
        return len(own) > 1 or any(one.inbox_id is None for one in own)

    def is_connected(self, company_id: int) -> bool:
        """Whether any inbox is connected to the company, switched off or not."""
        return any(one.company_id == company_id for one in self.integrations.values())

    def addresses_of(self, company_id: int) -> list[str]:
        """Return where mail to the company's inboxes goes."""
        own = (one for one in self.integrations.values() if one.company_id == company_id)
        found = (one.inbox_addresses.split(",") for one in own if one.inbox_addresses)
        return sorted({address for addresses in found for address in addresses})

    def companies_of(self, account_id: int | None, inbox_id: int | None) -> set[int]:
        """Whose a delivery with this address may be: for turns, and nothing else."""
        return {one.company_id for one in self._index.candidates(account_id, inbox_id)}

    def owner_of(self, body: str) -> int | None:
        """The one company that a delivery which no integration took may be shown to, and that may
        erase it; None: nobody.

        Its address fits proved integrations of that company, and of no other. It is the rule for
        all that asks for deliveries of nobody.
        """
        try:
            account_id, inbox_id = read_address(body.encode())
        except ValueError:
            return None
        companies = {
            integration.company_id for integration in self._index.candidates(account_id, inbox_id)
        }
        return companies.pop() if len(companies) == 1 else None

    def may_list(self, body: str, company_id: int) -> bool:
        """Whether a company sees that there was a delivery which no integration took: its own, or
        one that may as well be another's, of those which both let come unsigned.
        """
        if self.owner_of(body) == company_id:
            return True
        try:
            candidates = self._index.candidates(*read_address(body.encode()))
        except ValueError:
            return False
        return company_id in {one.company_id for one in self._index.unsigned(candidates)}

    def _verify_signed(
        self,
        account_id: int | None,
        inbox_id: int | None,
        headers: Mapping[str, str],
        body: bytes,
        now_us: int,
    ) -> int | None:
        signature, timestamp = headers.get(SIGNATURE_HEADER), headers.get(TIMESTAMP_HEADER)
        for integration, secret in self._secrets(account_id, inbox_id, now_us, len(body)):
            if is_signed(secret, signature, timestamp, body, 0, math.inf):
                # too old or too new is refused here: it must not go on, as if unsigned, to a
                # company that has no secret
                if abs(now_us / SECOND - int(timestamp or 0)) > self._tolerance_seconds:
                    raise BadSignature
                return integration.id
        # a Chatwoot that signs since its last update, with a secret that nobody has fetched yet
        if KEY_HEADER in headers:
            return self._verify_key(account_id, headers[KEY_HEADER])
        candidates = self._index.candidates(account_id, inbox_id)
        is_open = self._index.grandfathered(candidates) or self._index.is_undecided(candidates)
        if candidates and not is_open and not any(one.problem for one in candidates):
            raise BadSignature
        return None

    def _secrets(
        self, account_id: int | None, inbox_id: int | None, now_us: int, body_bytes: int
    ) -> Iterator[tuple[Integration, str]]:
        """All secrets of the account, whatever the inbox: an account's webhook brings every inbox.
        Those of the inbox come first.

        One without a proof is tried last: what it signed is its own, and must not go to whoever
        else has the numbers. Companies take turns, as their number of secrets is theirs to choose:
        who has hundreds must not use up the tries of who has one.
        """
        pool = self._index.pool(account_id, inbox_id)
        if len(pool) == 1 and len(own := pool[0].secrets_at(now_us)) == 1:  # nearly always
            yield pool[0], own[0]
            return
        tried, most = set[str](), min(_MAX_SECRETS, 1 + _MAX_HASHED_BYTES // max(1, body_bytes))
        for integration, secret in secrets_by_turns(pool, inbox_id, now_us):
            if secret not in tried:
                if len(tried) >= most:
                    return
                tried.add(secret)
                yield integration, secret

    def _verify_key(self, account_id: int | None, key: str) -> int:
        """Only where no secret is known: a Chatwoot that signs is held to it."""
        found = self._index.by_key.get(key)
        if (
            found is None
            or self._require_signature
            or found.unsigned == "refused"
            or found.has_secret
            or account_id not in (None, found.account_id)
        ):
            raise BadSignature
        return found.id


def key_of(query_string: bytes) -> str | None:
    """The hashed `key` of a webhook's address, where it has one."""
    if b"key=" not in query_string:
        return None
    found = parse_qs(query_string[:500].decode("latin-1"), max_num_fields=20).get("key")
    return hashed_key(found[0]) if found else None


def _where(account_id: int | None, inbox_id: int | None) -> Problem:
    account = "" if account_id is None else account_id
    if inbox_id is None:
        return Problem.of("noun.account_alone", account=account)
    return Problem.of("noun.account_inbox", account=account, inbox=inbox_id)


def _ignored(text: Text) -> PayloadError:
    return PayloadError(text, outcome="ignored", is_routing=True)


def _only_one(unsigned: list[Integration], where: Problem) -> Integration:
    """The integration that is meant. Raises PayloadError where that is not plain."""
    # a row left behind steps aside for its own company's other one, and for no other company:
    # its Chatwoot may still deliver
    is_one_company = len({integration.company_id for integration in unsigned}) == 1
    active = [one for one in unsigned if one.is_active and one.is_webhook_active]
    if is_one_company and len(active) == 1:
        return active[0]
    if len(unsigned) > 1:
        raise _ignored(Problem.of("payload.unsigned", where=where))
    return unsigned[0]


def _receiving(integration: Integration) -> Integration:
    """The integration, if it receives. Raises PayloadError."""
    number = integration.id
    if integration.problem:
        raise PayloadError(
            Problem.of("integration.named_problem", id=number, why=integration.problem),
            is_routing=True,
        )
    if not integration.is_proved:
        raise _ignored(Problem.of("payload.unproved", id=number))
    if not integration.is_active:
        raise _ignored(Problem.of("payload.integration_off", id=number))
    if not integration.is_webhook_active:
        raise _ignored(Problem.of("payload.webhooks_off", id=number))
    return integration
