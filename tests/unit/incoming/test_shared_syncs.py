"""A sync that many ask for at once is one walk at Chatwoot."""

import asyncio
from pathlib import Path
from typing import Any

from server.chatwoot import ConversationPage
from server.db.access.integration_record import Integration
from server.db.engine.database import Database
from server.incoming.full_sync import FullSync
from server.incoming.sync_outcome import SyncOutcome
from tests.unit.databases import fresh_sqlite

INTEGRATION = Integration(
    id=1,
    company_id=1,
    account_id=3,
    inbox_id=12,
    base_url="http://127.0.0.1:9",
    access_token="t",
    is_active=True,
    is_webhook_active=True,
    webhook_secret=None,
    previous_webhook_secret=None,
)


class Chatwoot:
    """An empty one, which answers when it is told to."""

    def __init__(self) -> None:
        self.walks = 0
        self.may_answer = asyncio.Event()

    async def list_conversations(self, page: int, **_fields: Any) -> ConversationPage:
        self.walks += page == 1
        await self.may_answer.wait()
        return ConversationPage([], 0)


async def test_twenty_who_ask_at_once_are_one_walk(tmp_path: Path) -> None:
    """Each gets its outcome, also where one of them has gone; whoever asks after it is over gets a
    new one.
    """
    async with Database(fresh_sqlite(tmp_path / "sync.db")) as database:
        chatwoot = Chatwoot()
        directory: Any = None
        sync = FullSync(database, directory, directory, lambda _integration: chatwoot)  # type: ignore[arg-type,return-value]
        asking: list[asyncio.Future[SyncOutcome]] = []
        async with asyncio.TaskGroup() as group:
            asking += [group.create_task(sync._shared(INTEGRATION)) for _ in range(20)]
            await asyncio.sleep(0)
            asking[0].cancel()
            chatwoot.may_answer.set()
        outcomes = {id(one.result()) for one in asking[1:]}
        assert (chatwoot.walks, len(outcomes)) == (1, 1)
        await sync._shared(INTEGRATION)
        assert chatwoot.walks == 2
