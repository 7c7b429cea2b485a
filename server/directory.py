"""The integrations of all companies in memory: which one a delivery belongs to, and whether its signature is good.

Refreshed every few seconds and on change, so that a webhook is judged without a query.
"""

import asyncio
import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping

from server.core.signatures import is_signed
from server.core.times import SECOND
from server.db import accounts
from server.db.accounts import Integration
from server.db.database import Database
from server.db.vault import Vault
from server.errors import BadSignature, PayloadError, Unavailable

REFRESH_SECONDS = 3.0
SIGNATURE_HEADER = "x-chatwoot-signature"
TIMESTAMP_HEADER = "x-chatwoot-timestamp"
DELIVERY_HEADER = "x-chatwoot-delivery"


class Directory:
    """`is_loaded` is false until the database has been read once."""

    def __init__(self, database: Database, vault: Vault, *, tolerance_seconds: float, require_signature: bool) -> None:
        self._database, self._vault = database, vault
        self._tolerance_seconds, self._require_signature = tolerance_seconds, require_signature
        self._by_account: dict[int | None, list[Integration]] = {}
        self.integrations: dict[int, Integration] = {}
        self.is_loaded = False
        self.as_of_us = 0  # what was added after this moment is not known here yet

    async def run(self) -> None:
        while True:
            with contextlib.suppress(Unavailable):
                await self.refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        started_us = int(time.time() * SECOND)
        self.take(await self._database.read(lambda c: accounts.read_integrations(c, self._vault)), started_us)

    def take(self, found: Iterable[Integration], as_of_us: int = 0) -> None:
        """These are all integrations there are, as of that moment."""
        found = list(found)
        by_account: dict[int | None, list[Integration]] = defaultdict(list)
        for integration in found:
            by_account[integration.account_id].append(integration)
        self._by_account = by_account
        self.integrations = {integration.id: integration for integration in found}
        self.is_loaded, self.as_of_us = True, as_of_us

    def knows(self, account_id: int | None, inbox_id: int | None) -> bool:
        """Whether there is any integration for the address, so that a signature can be judged."""
        return bool(self._candidates(account_id, inbox_id))

    def verify(
        self, account_id: int | None, inbox_id: int | None, headers: Mapping[str, str], body: bytes, received_us: int | None = None
    ) -> int | None:
        """The integration whose secret signed this delivery, or None where no secret is set. Raises BadSignature.

        `received_us` is given when a delivery kept without a check is judged later.
        """
        candidates = self._candidates(account_id, inbox_id)
        now = time.time() if received_us is None else received_us / 1_000_000
        signature, timestamp = headers.get(SIGNATURE_HEADER), headers.get(TIMESTAMP_HEADER)
        for integration in candidates:
            for secret in integration.secrets:
                if is_signed(secret, signature, timestamp, body, now, math.inf):
                    # too old or too new is refused here: it must not go on, as if unsigned, to a company that has no secret
                    if abs(now - int(timestamp or 0)) > self._tolerance_seconds:
                        raise BadSignature
                    return integration.id
        if candidates and (self._require_signature or all(integration.secrets for integration in candidates)):
            raise BadSignature
        return None

    def find(self, account_id: int | None, inbox_id: int | None, verified_id: int | None) -> Integration:
        """The integration a delivery belongs to. Raises PayloadError(`ignored`) with the reason when there is none or it is switched off.

        An unsigned delivery never reaches an integration that has a secret.
        """
        if verified_id is not None and (verified := self.integrations.get(verified_id)) is not None:
            return _active(verified)
        where = f"account {account_id}" + ("" if inbox_id is None else f", inbox {inbox_id}")
        candidates = self._candidates(account_id, inbox_id)
        if broken := [integration for integration in candidates if integration.problem]:
            raise PayloadError(f"integration {broken[0].id}: {broken[0].problem}", is_routing=True)
        unsigned = [] if self._require_signature else [integration for integration in candidates if not integration.secrets]
        if not candidates:
            raise PayloadError(f"no integration for {where}", outcome="ignored", is_routing=True)
        if not unsigned:
            raise PayloadError("the signature does not fit the integration's secret", is_routing=True)
        # a row left behind steps aside for its own company's other one, and for no other company: its Chatwoot may still deliver
        is_one_company = len({integration.company_id for integration in unsigned}) == 1
        if is_one_company and len(active := [i for i in unsigned if i.is_active and i.is_webhook_active]) == 1:
            unsigned = active
        if len(unsigned) > 1:
            numbers = ", ".join(str(integration.id) for integration in unsigned)
            raise PayloadError(
                f"{where} fits several integrations ({numbers}); set a webhook secret to tell them apart",
                outcome="ignored",
                is_routing=True,
            )
        return _active(unsigned[0])

    def of_company(self, company_id: int, integration_id: int | None) -> Integration | None:
        integration = self.integrations.get(integration_id or 0)
        return integration if integration is not None and integration.company_id == company_id else None

    def companies_of(self, account_id: int | None, inbox_id: int | None) -> set[int]:
        """The companies whose integrations an address fits."""
        return {integration.company_id for integration in self._candidates(account_id, inbox_id)}

    def _candidates(self, account_id: int | None, inbox_id: int | None) -> list[Integration]:
        pool: Iterable[Integration] = self.integrations.values() if account_id is None else self._by_account.get(account_id, ())
        if inbox_id is None:
            return list(pool) if account_id is not None else []
        exact = [integration for integration in pool if integration.inbox_id == inbox_id]
        return exact or [integration for integration in pool if integration.inbox_id is None and account_id is not None]


def _active(integration: Integration) -> Integration:
    if not integration.is_active:
        raise PayloadError(f"integration {integration.id} is switched off (is_active)", outcome="ignored", is_routing=True)
    if not integration.is_webhook_active:
        raise PayloadError(
            f"webhooks of integration {integration.id} are switched off (is_webhook_active)", outcome="ignored", is_routing=True
        )
    return integration
