"""What is gone in Chatwoot, and what somebody changed there, with two processes on one database and
bus: noticed once, said by both.
"""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from server.db.migrations import upgrade
from server.lab.chatwoot_sim import ChatwootSim
from tests.integration.integration_admin import registered
from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni
from tests.kit.redis import Redis
from tests.kit.servers import QUICK

WATCHES = {"INTEGRATION_WATCH_SECONDS": "1", "WEBHOOK_REPAIR": "true"}


class Pair:
    """A company, and the process beside the one that it speaks to."""

    def __init__(self, company: Company, second: Omni) -> None:
        self.company = company
        self.second = second


@pytest.fixture
async def pair(
    tmp_path: Path, shared_mariadb: MariaDB, shared_redis: Redis, sim: ChatwootSim
) -> AsyncIterator[Pair]:
    url = shared_mariadb.create_database()
    upgrade(url)
    first = Omni(tmp_path, database_url=url, broadcast_url=shared_redis.url, env=QUICK | WATCHES)
    second = first.another()
    with ExitStack() as stack:
        for server in (first, second):
            server.start()
            stack.callback(server.kill9)
        async with Company(first, chatwoot=sim) as company:
            await registered(company)
            yield Pair(company, second)


async def _conversations(company: Company, sim: ChatwootSim, *names: str) -> dict[str, Json]:
    for name in names:
        sim.customer_says(name, "Hello")

    async def all_here() -> dict[str, Json] | None:
        found = {one["externalUserName"]: one for one in await company.conversations()}
        return found if found.keys() == set(names) else None

    return await eventually(all_here, 30)


async def test_what_is_gone_is_marked_once_and_heard_at_both(pair: Pair, sim: ChatwootSim) -> None:
    """One event each, at the same place; and when the process that looked dies, the other one goes
    on looking.
    """
    company = pair.company
    found = await _conversations(company, sim, "Goes", "Goes later", "Stays")
    async with company.socket() as here, company.socket(2, url=pair.second.ws_url) as there:
        sim.delete_conversation(found["Goes"]["chatwootConversationId"])
        for agent in (here, there):
            event = await agent.wait_for(lambda e: e.data["conversation"]["goneAt"] is not None, 30)
            assert event.data["conversation"]["id"] == found["Goes"]["id"]
    company.omni.kill9()
    async with company.socket(2, url=pair.second.ws_url) as there:
        sim.delete_conversation(found["Goes later"]["chatwootConversationId"])
        await there.wait_for(lambda e: e.data["conversation"]["goneAt"] is not None, 30)
    async with pair.second.client(company.token()) as http:
        rows = (await http.get("/api/conversations")).json()
    states = {row["externalUserName"]: (row["status"], bool(row["goneAt"])) for row in rows}
    assert states == {
        "Goes": ("Closed", True),
        "Goes later": ("Closed", True),
        "Stays": ("Open", False),
    }
    sql = "SELECT body FROM omni_inbox_events WHERE company_id = :c AND body LIKE :gone"
    events = await company.rows(sql, c=company.id, gone='%"goneAt":"%')
    assert len(events) == 2


async def test_a_webhook_that_somebody_deleted_is_back_once_and_its_problem_is_said_by_both(
    pair: Pair, sim: ChatwootSim
) -> None:
    """Put right by whichever process looked; what cannot be put right stands in the lists of
    both.
    """
    company = pair.company
    sim.hooks.clear()
    assert await eventually(lambda: len(sim.hooks) == 1, 30)
    sim.account.status = "suspended"

    async def is_said(server: Omni) -> bool:
        async with server.client(company.token(9, role="admin")) as http:
            [own] = [
                one
                for one in (await http.get("/api/integrations")).json()
                if one["id"] == company.integration_id
            ]
            assert "suspended" in (own["problem"] or "")
            assert "suspended" in (await http.get("/readyz")).text
        return True

    for server in (company.omni, pair.second):
        assert await eventually(lambda: is_said(server), 30)  # noqa: B023 - awaited at once
    assert len(sim.hooks) == 1
