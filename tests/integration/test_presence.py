"""Who is here, looks at what, and types: over sockets, over two processes, and what a customer's
typing becomes.
"""

from collections.abc import AsyncIterator, Iterator

import pytest

from server.lab.chatwoot_sim import ChatwootSim
from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni
from tests.kit.redis import Redis
from tests.kit.servers import Servers
from tests.kit.socket_client import AgentSocket
from tests.kit.webhook import WEBHOOK_PATH


@pytest.fixture
async def company(socket_server: Omni) -> AsyncIterator[Company]:
    """A fresh company on each of the three servers."""
    async with Company(socket_server) as company:
        yield company


@pytest.fixture
async def pair(servers: Servers, mariadb: MariaDB, redis_server: Redis) -> AsyncIterator[Company]:
    """A fresh company on the shared production server, which the second process serves as well."""
    async with Company(servers.get("production", mariadb, redis_server)) as company:
        yield company


@pytest.fixture
def second_process(servers: Servers, mariadb: MariaDB, redis_server: Redis) -> Iterator[Omni]:
    """Another server beside the shared one; a test may end it."""
    second = servers.get("production", mariadb, redis_server).another()
    second.start()
    yield second
    second.kill9()


def colleagues(socket: AgentSocket) -> dict[str, tuple[int | None, bool]]:
    """What this client holds, by name, from the frames alone."""
    held: dict[int, Json] = {}
    for frame in socket.frames_of("presence"):
        held = {} if frame["whole"] else held
        held |= {one["id"]: one for one in frame["agents"]}
        for agent_id in frame["gone"]:
            held.pop(agent_id, None)
    return {one["name"]: (one["viewing"], one["typing"]) for one in held.values()}


async def sees(socket: AgentSocket, expected: dict[str, tuple[int | None, bool]]) -> None:
    await socket.wait_until(lambda: colleagues(socket) == expected, limit=10)
    assert socket.frames_of("presence")[-1]["online"] == len(expected)


async def test_colleagues_see_each_other_come_look_type_and_go(company: Company) -> None:
    """Over the socket, with a conversation that is theirs."""
    await company.post(company.message(1))
    here = (await company.conversation_with(1))["id"]
    async with company.socket("asha") as asha:
        await sees(asha, {"asha": (None, False)})
        async with company.socket("tomas") as tomas:
            await tomas.send("viewing", conversationId=here)
            await sees(asha, {"asha": (None, False), "tomas": (here, False)})
            await tomas.send("typing", conversationId=here, on=True)
            await sees(asha, {"asha": (None, False), "tomas": (here, True)})
            await tomas.send("typing", conversationId=here, on=False)
            await sees(tomas, {"asha": (None, False), "tomas": (here, False)})
            listed = await company.get("/api/agents")
            assert {one["name"]: one["isOnline"] for one in listed} == {
                "1": False,
                "asha": True,
                "tomas": True,
            }
            assert [set(one) for one in listed] == [{"id", "name", "isOnline"}] * 3
        await sees(asha, {"asha": (None, False)})
        assert len([frame for frame in asha.frames_of("presence") if frame["whole"]]) == 1


async def test_nothing_is_seen_of_another_company(company: Company) -> None:
    """Not its agents; and who says to look at its conversation is not shown to do so."""
    await company.post(company.message(1))
    own = (await company.conversation_with(1))["id"]
    async with Company(company.omni) as other:
        await other.post(other.message(1))
        foreign = (await other.conversation_with(1))["id"]
        async with (
            company.socket("asha") as asha,
            company.socket("tomas") as tomas,
            other.socket("eve") as eve,
        ):
            await tomas.send("viewing", conversationId=foreign)
            await tomas.send("typing", conversationId=foreign, on=True)
            await eve.send("viewing", conversationId=own)
            await tomas.send("viewing", conversationId=own)
            await sees(asha, {"asha": (None, False), "tomas": (own, False)})
            await sees(eve, {"eve": (None, False)})
            assert not any(
                one["viewing"] == foreign
                for frame in asha.frames_of("presence")
                for one in frame["agents"]
            )
        assert all(one["name"] in ("1", "eve") for one in await other.get("/api/agents"))


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"viewing"}',
        '{"type":"viewing","conversationId":"7"}',
        '{"type":"typing","conversationId":7}',
        '{"type":"typing","on":true}',
    ],
)
async def test_a_field_of_the_wrong_type_ends_the_socket(company: Company, frame: str) -> None:
    """4001, as for every other message."""
    async with company.socket() as agent:
        await agent.send_raw(frame)
        assert await agent.wait_closed() == 4001


async def test_numbers_nobody_has_are_ignored(company: Company) -> None:
    """Below zero, and beyond what a database holds."""
    async with company.socket("asha") as asha:
        for number in (-1, 0, 2**62, 2**63, 2**70):
            await asha.send_raw(f'{{"type":"viewing","conversationId":{number}}}')
        await asha.send("pong", id=1, cursor=None)
        await sees(asha, {"asha": (None, False)})
        assert asha.is_open


async def test_two_processes_know_of_each_other_s_agents(
    pair: Company, second_process: Omni
) -> None:
    """Also who was there before; and an agent with a tab in each is one."""
    await pair.post(pair.message(1))
    here = (await pair.conversation_with(1))["id"]
    async with pair.socket("asha") as asha:
        await asha.send("viewing", conversationId=here)
        async with (
            pair.socket("tomas", url=second_process.ws_url) as tomas,
            pair.socket("asha", url=second_process.ws_url),
        ):
            everyone: dict[str, tuple[int | None, bool]] = {
                "asha": (here, False),
                "tomas": (None, False),
            }
            await sees(tomas, everyone)
            await sees(asha, everyone)
            await tomas.send("typing", conversationId=here, on=True)
            await sees(asha, everyone | {"tomas": (here, True)})
            async with second_process.client(pair.token("third")) as third:

                async def are_here() -> bool:
                    listed = (await third.get("/api/agents")).json()
                    return {one["name"] for one in listed if one["isOnline"]} == {"asha", "tomas"}

                await eventually(are_here)
        await sees(asha, {"asha": (here, False)})


async def test_a_customer_s_typing_reaches_both_processes_and_no_table(
    pair: Company, second_process: Omni, sim: ChatwootSim
) -> None:
    """The webhooks are `done` in the journal; the head of the event log does not move. An agent's
    in Chatwoot has their name.
    """
    async with Company(pair.omni, chatwoot=sim) as shop:
        sim.add_webhook(
            shop.omni.base_url + WEBHOOK_PATH,
            secret="",
            subscriptions=["message_created", "conversation_typing_on", "conversation_typing_off"],
        )
        said = sim.customer_says("Rahima", "Hello")
        here = (await shop.conversation_with(1, display_id=said.conversation.display_id))["id"]
        head = await shop.head()
        async with shop.socket(1) as near, shop.socket(2, url=second_process.ws_url) as far:
            await near.wait_for_frame("presence")
            await far.wait_for_frame("presence")
            for on in (True, False):
                sim.typing(said.conversation, said.conversation.contact, on=on)
                await sim.webhooks.flushed()
                expected = {"type": "typing", "conversationId": here, "who": "customer", "on": on}
                assert await near.wait_for_frame("typing", known=int(not on)) == expected
                assert await far.wait_for_frame("typing", known=int(not on)) == expected
            colleague = sim.add_user("Bo Agent", account=sim.account)
            sim.typing(said.conversation, colleague, on=True)
            await sim.webhooks.flushed()
            expected = {
                "type": "typing",
                "conversationId": here,
                "who": "agent",
                "name": colleague.name,
                "on": True,
            }
            assert await near.wait_for_frame("typing", known=2) == expected
            assert await far.wait_for_frame("typing", known=2) == expected

            async def are_dealt_with() -> bool:
                rows = await shop.rows(
                    "SELECT state, COUNT(*) FROM omni_webhook_deliveries WHERE body LIKE :typing "
                    "AND body LIKE :account GROUP BY state",
                    typing="%conversation_typing_o%",
                    account=f'%"id":{shop.account_id},%',
                )
                return {row[0]: row[1] for row in rows} == {"done": 3}

            await eventually(are_dealt_with)
            assert len(near.frames_of("typing")) == len(far.frames_of("typing")) == 3
        assert await shop.head() == head
