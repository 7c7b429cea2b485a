"""The companies of a run: added to the server's own database before it, and removed with all their
rows after it.

Integrations and tokens are the operator's to give, so the harness runs with the server's settings
(DATABASE_URL, JWT_SECRET, SECRET_KEY) and uses them as `omni-inbox integration add` and `omni-inbox
token` do. Its companies have numbers that no CRM gives; no row of another company is read or
written.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from server.core.state.cursors import Stream
from server.core.times import wall_now_us
from server.db.access import erase, integration_rows
from server.db.access.vault import Vault
from server.db.engine.database import Connection, Database
from server.db.state import eventlog
from server.settings import Settings

T = TypeVar("T")
_FIRST, _EACH = 1_000_000_000, 1_000_000
_ROWS_AT_ONCE = 2_000
_INTEGRATIONS_AT_ONCE = 200


class LoadTenants:
    """Companies `first` to `first + count - 1`. The tables must be there."""

    def __init__(self, settings: Settings, count: int) -> None:
        self._settings = settings
        self.count = count
        self.first = _FIRST + secrets.randbelow(1_000) * _EACH

    @property
    def companies(self) -> range:
        """Their numbers."""
        return range(self.first, self.first + self.count)

    def prepare(
        self, chatwoot_url: str, access_token: str, inboxes: Sequence[tuple[int, int, str]]
    ) -> None:
        """Add one integration for each company; `inboxes`: its (account, inbox, webhook secret)."""
        vault, now_us = Vault(self._settings.secret_key), wall_now_us()

        async def add(
            connection: Connection, part: Iterable[tuple[int, tuple[int, int, str]]]
        ) -> None:
            for company_id, (account_id, inbox_id, secret) in part:
                values = {
                    "company_id": company_id,
                    "account_id": account_id,
                    "inbox_id": inbox_id,
                    "base_url": chatwoot_url,
                    "access_token": access_token,
                    "webhook_secret": secret,
                    "webhook_mode": "local",
                    "proved_us": now_us,
                }
                await integration_rows.add_integration(connection, vault, values, now_us)

        async def run(database: Database) -> None:
            pairs = list(zip(self.companies, inboxes, strict=True))
            for at in range(0, len(pairs), _INTEGRATIONS_AT_ONCE):
                part = pairs[at : at + _INTEGRATIONS_AT_ONCE]
                await database.transaction(lambda connection, part=part: add(connection, part))  # type: ignore[misc]

        self._with_database(run)

    def streams(self) -> dict[int, tuple[str, int]]:
        """By company that has events: (epoch, head)."""

        async def run(database: Database) -> dict[int, tuple[str, int]]:
            found: dict[int, Stream] = {}
            for at in range(0, self.count, _ROWS_AT_ONCE):
                part = list(self.companies[at : at + _ROWS_AT_ONCE])
                found |= await database.read(
                    lambda connection, part=part: eventlog.read_streams(connection, part)  # type: ignore[misc]
                )
            return {company_id: (stream.epoch, stream.head) for company_id, stream in found.items()}

        return self._with_database(run)

    def clear(self) -> None:
        """Remove everything of these companies. Can be run again."""

        first, last = self.companies[0], self.companies[-1]

        async def run(database: Database) -> None:
            while await database.transaction(
                lambda c: erase.erase_companies(c, first, last, _ROWS_AT_ONCE)
            ):
                pass

        self._with_database(run)

    def _with_database(self, call: Callable[[Database], Awaitable[T]]) -> T:
        async def run() -> T:
            async with Database.from_settings(self._settings) as database:
                return await call(database)

        return asyncio.run(run())
