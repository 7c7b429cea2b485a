"""A reply reaches the customer once, whatever Chatwoot, the network or our own death do in
between.
"""

import asyncio
from collections import Counter

import httpx

from server.lab.chatwoot_sim import ChatwootSim, serving
from tests.faults.cluster import ACCOUNT, COMPANY, INBOX, Cluster, clustered
from tests.faults.crowd import crowd, crowd_of, fetch_snapshot
from tests.faults.figures import sized, told
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.webhook import WEBHOOK_PATH

_AT_ONCE = 4
_ROUNDS = int(sized(5, 25))
# Chatwoot is given a second to answer, and is certain to be done with a request after two
_QUICK = {"CHATWOOT_TIMEOUT_SECONDS": "1", "REPLY_CERTAIN_SECONDS": "2"}


async def test_replies_arrive_once(cluster: Cluster) -> None:
    """Row 39: timeout after Chatwoot accepted with our kill -9 in between, response lost, 502 after
    the commit, webhook never, webhook twice: 20 replies, 20 messages at the customer, one bubble
    each.
    """
    sim = ChatwootSim(account_id=ACCOUNT, inbox_id=INBOX)
    async with clustered(cluster), serving(sim) as address:
        await cluster.prepare(address, sim.admin.access_token)
        server = cluster.add_server(env=_QUICK)
        sim.add_webhook(server.base_url + WEBHOOK_PATH, secret="")
        await cluster.start(server)
        numbers = await _conversations(server, sim)
        async with crowd(crowd_of([server], 2)) as agents:
            for number in range(_ROUNDS):
                await _round(server, sim, numbers, number)
            wanted = [f"reply {number}" for number in range(_AT_ONCE * _ROUNDS)]
            await eventually(lambda: _are_sent(server, wanted), limit=sized(25, 120))
            await eventually(lambda: all(agent.is_live for agent in agents))
            await eventually(lambda: set(wanted) <= set(agents[0].texts))
            for agent in agents:
                assert not agent.violations, agent.violations[:5]
        at_customer = Counter(
            message.content
            for message in sim.messages.values()
            if (message.content or "").startswith("reply")
        )
        assert at_customer == dict.fromkeys(wanted, 1), at_customer
        assert cluster.stored() == {
            **dict.fromkeys(wanted, 1),
            **{f"hello {n}": 1 for n in range(_AT_ONCE)},
        }
        cluster.check_log()
        told("39", written=len(wanted), at_customer=at_customer.total())


async def _conversations(server: Omni, sim: ChatwootSim) -> list[int]:
    for number in range(_AT_ONCE):
        sim.customer_says(f"Customer {number}", f"hello {number}")
    await sim.webhooks.flushed()

    async def known() -> list[int]:
        model = await fetch_snapshot(server)
        return sorted(model.conversations) if len(model.messages) == _AT_ONCE else []

    return await eventually(known)


async def _round(server: Omni, sim: ChatwootSim, numbers: list[int], number: int) -> None:
    """Write a reply in each conversation while one kind of misfortune holds."""
    sim.switches.reset()
    match number:
        case 2:
            sim.switches.set(lose_next=_AT_ONCE, drop_rate=1.0)
        case 3:
            sim.switches.set(
                fail_next=_AT_ONCE,
                fail_status=502,
                fail_after_commit=True,
                fail_writes_only=True,
                drop_rate=1.0,
            )
        case 4:
            sim.switches.set(lose_next=_AT_ONCE, duplicate="new_id", delay_seconds=1.0)
        case _:  # accepted, then silence; and we die before it ends
            sim.switches.set(hang_next=_AT_ONCE, hang_seconds=5.0, drop_rate=float(number % 2))
    texts = [f"reply {_AT_ONCE * number + n}" for n in range(_AT_ONCE)]
    async with server.client(server.token(COMPANY)) as http:
        for conversation_id, text in zip(numbers, texts, strict=True):
            await _write(http, conversation_id, text)
    # behind what is still being found out
    await eventually(lambda: {m.content for m in sim.messages.values()} >= set(texts), limit=15)
    if number not in (2, 3, 4):
        await asyncio.to_thread(server.kill9)
        await asyncio.to_thread(server.start)


async def _write(
    http: httpx.AsyncClient, conversation_id: int, text: str, *, key: str | None = None, **more: int
) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    answer = await http.post(
        f"/api/conversations/{conversation_id}/reply",
        json={"content": text, **more},
        headers=headers,
    )
    assert key or more or answer.status_code == 201, answer.text
    return answer


async def _are_sent(server: Omni, texts: list[str]) -> bool:
    model = await fetch_snapshot(server)
    states = Counter(
        message["deliveryState"]
        for message in model.messages.values()
        if message["content"] in texts
    )
    assert (
        sum(states[state] for state in ("sent", "delivered", "read"))
        == states.total()
        == len(texts)
    ), states
    return True


async def test_two_write_at_once(cluster: Cluster) -> None:
    """Row 40: the guard answers 409 with what came in between; a double click is one message; a key
    with another text is 422.
    """
    sim = ChatwootSim(account_id=ACCOUNT, inbox_id=INBOX)
    async with clustered(cluster), serving(sim) as address:
        await cluster.prepare(address, sim.admin.access_token)
        servers = [cluster.add_server(env=_QUICK), cluster.add_server(env=_QUICK)]
        sim.add_webhook(servers[0].base_url + WEBHOOK_PATH, secret="")
        await cluster.start(*servers)
        conversation_id = (await _conversations(servers[0], sim))[0]
        seen = next(
            m["id"]
            for m in (await fetch_snapshot(servers[0])).messages.values()
            if m["conversationId"] == conversation_id
        )
        async with (
            servers[0].client(servers[0].token(COMPANY, "a")) as one,
            servers[1].client(servers[1].token(COMPANY, "b")) as two,
        ):
            async with asyncio.TaskGroup() as group:
                both = [
                    group.create_task(
                        _write(
                            http, conversation_id, f"from {http.base_url}", lastSeenMessageId=seen
                        )
                    )
                    for http in (one, two)
                ]
            answers = {task.result().status_code: task.result() for task in both}
            assert set(answers) == {201, 409}
            assert [message["content"] for message in answers[409].json()["messages"]] == [
                answers[201].json()["content"]
            ]
            async with asyncio.TaskGroup() as group:
                clicks = [
                    group.create_task(_write(one, conversation_id, "clicked twice", key="click-1"))
                    for _ in range(2)
                ]
            assert sorted(task.result().status_code for task in clicks) == [200, 201]
            assert len({task.result().json()["id"] for task in clicks}) == 1
            assert (
                await _write(one, conversation_id, "another text", key="click-1")
            ).status_code == 422
        wanted = [answers[201].json()["content"], "clicked twice"]
        await eventually(lambda: _are_sent(servers[0], wanted))
        at_customer = Counter(
            message.content for message in sim.messages.values() if message.message_type == 1
        )
        assert at_customer == dict.fromkeys(wanted, 1)
