"""A reply that was not sent can be discarded: its row reminds nobody of it any more, and everybody
sees who did it.
"""

import httpx

from tests.integration.talk import Talk
from tests.kit.client_model import Json

WINDOW = "131047: Re-engagement message"


async def discard(talk: Talk, message: Json, agent_id: int = 2) -> httpx.Response:
    async with talk.company.client(agent_id) as http:
        return await http.post(f"{talk.path}/messages/{message['id']}/discard")


async def refused(talk: Talk, text: str) -> Json:
    """A reply that Chatwoot refuses."""
    talk.sim.switches.set(fail_matching="/messages", fail_status=422, fail_writes_only=True)
    count = len(await talk.own())
    await talk.reply(text)
    own = await talk.ended("failed", count=count + 1)
    talk.sim.switches.reset()
    return own[-1]


async def unsent(talk: Talk) -> int | None:
    """The reply that was not sent, as the conversation tells it; lists and counts say the same."""
    mark = (await talk.company.get(talk.path))["unsentReply"]
    counts = await talk.company.get("/api/conversations/unread")
    listed = await talk.company.conversations(unsent="true")
    assert counts["unsent"] == len(listed) == (mark is not None)
    return None if mark is None else int(mark["messageId"])


async def test_another_agent_discards_it_and_can_send_it_all_the_same(talk: Talk) -> None:
    """The event names who did; sent again it is a reply like any other."""
    failed = await refused(talk, "It is")
    assert await unsent(talk) == failed["id"]
    async with talk.company.socket() as agent:
        answer = await discard(talk, failed)
        assert answer.status_code == 200
        await agent.wait_for_seq(await talk.company.head())
        [told] = [one.data for one in agent.events if one.kind == "message.updated"]
    by = told["message"]["deliveryError"]["discarded"]
    assert by["agentId"] == await talk.company.agent_number(2)
    assert by["name"]
    assert told["message"] == answer.json()
    assert told["message"]["deliveryState"] == "failed"
    assert told["conversation"]["unsentReply"] is None
    assert await unsent(talk) is None
    async with talk.company.client(1) as http:
        assert (await discard(talk, failed, 1)).json()["deliveryError"]["discarded"] == by
        await http.post(f"{talk.path}/messages/{failed['id']}/retry")
    [sent] = await talk.ended("sent")
    assert sent["deliveryError"] is None
    assert talk.sent == ["It is"]
    assert (await discard(talk, sent)).status_code == 409


async def test_the_one_before_it_is_named_then(talk: Talk) -> None:
    """Of two that were not sent the newest stands in the row."""
    first, second = await refused(talk, "It is"), await refused(talk, "Is it?")
    assert await unsent(talk) == second["id"]
    await discard(talk, second)
    assert await unsent(talk) == first["id"]
    await discard(talk, first)
    assert await unsent(talk) is None


async def test_the_same_refusal_told_again_reminds_nobody(talk: Talk) -> None:
    """Chatwoot tells a refusal of the channel with each look at the message."""
    await talk.reply("It is")
    await talk.ended("sent")
    reply = talk.there.messages[-1]
    talk.sim.mark_failed(reply, WINDOW)
    [failed] = await talk.ended("failed")
    await discard(talk, failed)
    talk.sim.mark_failed(reply, WINDOW)
    await talk.sim.webhooks.flushed()
    wish = {"integrationId": talk.company.integration_id}
    assert (await talk.company.http.post("/api/chatwoot/sync", json=wish)).status_code == 200
    assert await unsent(talk) is None
    [own] = await talk.own()
    assert own["deliveryError"]["code"] == "channel_window"
    assert own["deliveryError"]["discarded"]["agentId"] == await talk.company.agent_number(2)
