"""Two server processes on one MariaDB and one Redis serve the same company as one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from tests.kit.company import Company
from tests.kit.eventually import eventually, scaled
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni
from tests.kit.redis import Redis
from tests.kit.socket_client import AgentSocket

MESSAGES, CONVERSATIONS, AT_ONCE = 2_000, 40, 16


@pytest.fixture
async def pair(mariadb: MariaDB, redis_server: Redis, tmp_path: Path) -> AsyncIterator[tuple[Omni, Omni]]:
    """Two running processes."""
    first = Omni(tmp_path, database_url=mariadb.create_database(), broadcast_url=redis_server.url)
    first.prepare()
    second = first.another()
    try:
        await asyncio.to_thread(first.start)
        await asyncio.to_thread(second.start)
        yield first, second
    finally:
        first.kill9()
        second.kill9()


async def _post_all(company: Company, servers: tuple[Omni, Omni]) -> None:
    """Every message once, half of them to each process, many at a time."""
    numbers = iter(range(1, MESSAGES + 1))

    async def post(client: httpx.AsyncClient) -> None:
        for number in numbers:
            payload = company.message(number, conversation_id=1 + number % CONVERSATIONS)
            answer = await client.post("/api/webhooks/chatwoot", json=payload)
            assert answer.status_code == 200, answer.text

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        for n in range(AT_ONCE):
            client = await stack.enter_async_context(servers[n % 2].client(timeout=scaled(30)))
            group.create_task(post(client))


async def _all_seen(agent: AgentSocket) -> None:
    await agent.wait_until(lambda: _message_count(agent) == MESSAGES, limit=scaled(60))


def _message_count(agent: AgentSocket) -> int:
    return sum(event.kind == "message.created" for event in agent.events)


async def test_many_writers_leave_one_order(pair: tuple[Omni, Omni]) -> None:
    """2,000 webhooks to two processes: 2,000 messages, and every seq once and in order at a socket of each."""
    async with Company(pair[0]) as company, company.socket(1) as one, company.socket(2, url=pair[1].ws_url) as other:
        start = one.seq
        await _post_all(company, pair)
        await _all_seen(one)
        await _all_seen(other)
        rows = await company.rows("SELECT COUNT(*), COUNT(DISTINCT chatwoot_message_id) FROM social_messages")
        assert tuple(rows[0]) == (MESSAGES, MESSAGES)
        head = (await company.rows("SELECT head FROM inbox_streams WHERE company_id = :c", c=company.id))[0][0]
        for agent in (one, other):
            assert [event.seq for event in agent.events] == list(range(start + 1, head + 1))
        assert [event.data for event in one.events] == [event.data for event in other.events]


async def test_an_act_at_one_process_is_seen_at_the_other(pair: tuple[Omni, Omni]) -> None:
    """A read mark made through one process reaches a socket of the other, and the other's list says the same."""
    async with Company(pair[0]) as company:
        await company.post(company.message(1))
        whole = await company.conversation_with(1)
        async with company.socket(1, url=pair[1].ws_url) as agent:
            answer = await company.http.post(f"/api/conversations/{whole['id']}/read", json={"messageId": whole["messages"][0]["id"]})
            assert answer.json()["unreadCount"] == 0
            await agent.wait_for(lambda event: event.kind == "conversation.read")

        async def is_read() -> bool:
            async with pair[1].client(company.token()) as client:
                return bool((await client.get("/api/conversations")).json()[0]["unreadCount"] == 0)

        await eventually(is_read)
