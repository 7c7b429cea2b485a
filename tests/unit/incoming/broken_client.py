"""Two integrations of one simulated Chatwoot, of which one cannot even be asked."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from server.chatwoot import ChatwootClient
from server.db.access.integration_record import Integration
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.incoming.ingest import Ingester
from server.integrations.directory import Directory
from server.lab.chatwoot_sim import ChatwootSim, serving
from tests.unit.databases import fresh_sqlite
from tests.unit.integration_rows import add_integration

ACCOUNT, INBOX = 3, 12


@dataclass(frozen=True)
class TwoIntegrations:
    """`client_of` raises for `broken` what nobody expects; `sound` has the simulated inbox."""

    sim: ChatwootSim
    database: Database
    directory: Directory
    ingester: Ingester
    client_of: Callable[[Integration], ChatwootClient]
    broken: int
    sound: int


@contextlib.asynccontextmanager
async def one_of_two_breaks(folder: Path) -> AsyncIterator[TwoIntegrations]:
    """A served Chatwoot and a fresh database in `folder`, with both integrations known."""
    sim = ChatwootSim(account_id=ACCOUNT, inbox_id=INBOX)
    async with (
        serving(sim),
        Database(fresh_sqlite(folder / "omni.db")) as database,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        directory = Directory(database, Vault(""), tolerance_seconds=300, require_signature=False)
        broken, sound = [
            await add_integration(database, sim, inbox_id) for inbox_id in (INBOX + 1, INBOX)
        ]
        await directory.refresh()

        def client_of(integration: Integration) -> ChatwootClient:
            if integration.id == broken:
                raise ZeroDivisionError
            return ChatwootClient(
                base_url=sim.base_url,
                account_id=ACCOUNT,
                access_token=integration.access_token,
                http=http,
            )

        ingester = Ingester(database, directory, lambda batch: None, batch=10, attempts=3)
        yield TwoIntegrations(sim, database, directory, ingester, client_of, broken, sound)
