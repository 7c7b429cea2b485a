"""Two processes on one MariaDB and one Redis: every event once and in order, wherever it was
written and wherever it is read.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni
from tests.kit.redis import Redis
from tests.kit.servers import Servers
from tests.kit.webhook import delivery_of

COUNT = 2_000
SENDERS = 12  # for each process
pytestmark = pytest.mark.xdist_group("two processes")  # they share the second one


@pytest.fixture
async def company(
    servers: Servers, mariadb: MariaDB, redis_server: Redis
) -> AsyncIterator[Company]:
    """A fresh company on the shared server."""
    async with Company(servers.get("production", mariadb, redis_server)) as company:
        yield company


async def test_two_thousand_webhooks_to_both_processes(
    company: Company, second_process: Omni
) -> None:
    """2,000 messages; sockets on both processes and a poller see every seq from 1 to the head once
    and in order.
    """
    numbers = itertools.count(1)
    async with (
        company.socket() as here,
        company.socket(2, url=second_process.ws_url) as there,
        second_process.client(company.token(3)) as poller,
        second_process.client(company.token()) as second_client,
    ):
        await _knows(second_client, company)
        is_over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            polling = group.create_task(_poll(poller, here.cursor or "", is_over))
            async with asyncio.TaskGroup() as senders:
                for client in (company.http, second_client) * SENDERS:
                    senders.create_task(_send(company, client, numbers))
            await here.wait_until(
                lambda: sum(e.kind == "message.created" for e in here.events) == COUNT, limit=60
            )
            head = await company.head()
            await here.wait_for_seq(head)
            await there.wait_for_seq(head)
            is_over.set()
        expected = list(range(1, head + 1))
        assert [event.seq for event in here.events] == expected
        assert [event.seq for event in there.events] == expected
        assert polling.result() == expected
        assert here.model == there.model
    counted = await company.rows(
        "SELECT COUNT(*), COUNT(DISTINCT m.omni_chatwoot_message_id) FROM social_messages m "
        "JOIN social_conversations c ON c.id = m.conversation_id WHERE c.company_id = :company",
        company=company.id,
    )
    assert tuple(counted[0]) == (COUNT, COUNT)
    snapshot = {row["id"]: row["seq"] for row in await company.conversations()}
    assert {number: row["seq"] for number, row in here.model.conversations.items()} == snapshot


async def test_a_client_that_changes_its_process_is_not_ahead(
    company: Company, second_process: Omni, redis_server: Redis
) -> None:
    """With the bus silent, the second process has not heard of what the first has shown: it looks
    before it speaks of a reset.
    """
    async with (
        company.socket() as agent,
        second_process.client(company.token()) as poller,
        company.socket(url=second_process.ws_url),
    ):
        redis_server.freeze()
        try:
            for number in range(1, 6):
                known = agent.seq
                await company.post(company.message(number))
                await agent.wait_until(lambda seq=known: agent.seq > seq)  # type: ignore[misc]
                told = (
                    await poller.get("/api/events", params={"cursor": agent.cursor or ""})
                ).json()
                assert "reset" not in told
                async with company.socket(cursor=agent.cursor, url=second_process.ws_url) as moved:
                    assert moved.welcome["mode"] != "reset"
        finally:
            redis_server.thaw()


async def test_agents_acts_at_both_processes_at_once(
    company: Company, second_process: Omni
) -> None:
    """Read marks and webhooks of one company, written by both: one order for all."""
    await company.post_all([company.message(n) for n in range(1, 31)])
    whole = await company.conversation_with(30)
    async with (
        company.socket() as here,
        company.socket(url=second_process.ws_url) as there,
        asyncio.TaskGroup() as group,
    ):
        for place, message in enumerate(whole["messages"]):
            server = (company.omni, second_process)[place % 2]
            group.create_task(_mark(server, company, place + 100, whole["id"], message["id"]))
            group.create_task(company.post(company.message(1000 + place)))
        await here.wait_until(lambda: len(here.events) == 60, limit=20)
        await there.wait_until(lambda: len(there.events) == 60, limit=20)
        assert [(e.seq, e.kind) for e in here.events] == [(e.seq, e.kind) for e in there.events]


async def test_a_changed_integration_is_known_to_the_other_process(
    company: Company, second_process: Omni
) -> None:
    """Switched off at one: the other ignores its webhooks within seconds."""
    async with second_process.client(company.token()) as client:
        await _knows(client, company)
        await company.change_integration(is_webhook_active=False)

        async def is_ignored() -> bool:
            delivery = delivery_of(company.message(5))
            assert (await delivery.post(client)).status_code == 200
            return (await company.outcome(delivery)).state == "ignored"

        await eventually(is_ignored, limit=10)


async def _knows(client: httpx.AsyncClient, company: Company) -> None:
    """The second process has read the integrations since this company's was added."""
    answer = await client.post("/api/chatwoot/sync", json={"integrationId": 2**53})
    assert answer.status_code == 404, answer.text


async def _send(company: Company, client: httpx.AsyncClient, numbers: Iterator[int]) -> None:
    for number in numbers:
        if number > COUNT:
            return
        answer = await delivery_of(company.message(number, conversation_id=number % 40 + 1)).post(
            client
        )
        assert answer.status_code == 200, answer.text


async def _poll(client: httpx.AsyncClient, cursor: str, is_over: asyncio.Event) -> list[int]:
    """Every seq that a poller of `GET /api/events` gets."""
    seen: list[int] = []
    while True:
        was_over = is_over.is_set()
        answer = (await client.get("/api/events", params={"cursor": cursor, "limit": 100})).json()
        assert "reset" not in answer
        seen += [event["seq"] for event in answer["events"]]
        cursor = answer["cursor"]
        if was_over and not answer["events"]:
            return seen


async def _mark(
    server: Omni, company: Company, agent_id: int, conversation_id: int, message_id: int
) -> None:
    async with server.client(company.token(agent_id)) as client:
        answer = await client.post(
            f"/api/conversations/{conversation_id}/read", json={"messageId": message_id}
        )
        assert answer.status_code == 200, answer.text
