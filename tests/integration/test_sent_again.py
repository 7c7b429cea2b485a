"""A message that Chatwoot has and its channel refused: sent again from here it reaches the channel
once more, and not twice.
"""

import asyncio

import pytest

from server.lab.chatwoot_sim.model import Message as SimMessage
from tests.integration.talk import Talk
from tests.kit.client_model import Json
from tests.kit.eventually import eventually

WINDOW = "131047: Re-engagement message"


async def refused(talk: Talk, words: str = WINDOW) -> tuple[SimMessage, str]:
    """A reply that the channel refused, as Chatwoot has it, and the address to send it again."""
    await talk.reply("Of course")
    await talk.ended("sent")
    reply = talk.there.messages[-1]
    talk.sim.mark_failed(reply, words)
    [own] = await talk.ended("failed")
    assert own["deliveryError"]["code"] == "channel_window"
    return reply, f"{talk.path}/messages/{own['id']}/retry"


@pytest.mark.parametrize("wipes", [False, True], ids=["newer", "older"])
async def test_it_is_handed_to_its_channel_once_more(talk: Talk, wipes: bool) -> None:
    """Whatever that Chatwoot does to its marks, and however often and at once it is asked for."""
    talk.sim.switches.set(retry_wipes=wipes)
    reply, path = await refused(talk)
    async with asyncio.TaskGroup() as pressed:
        tasks = [pressed.create_task(talk.company.http.post(path)) for _ in range(5)]
    statuses = [task.result().status_code for task in tasks]
    assert 200 in statuses
    assert {*statuses} <= {200, 409}
    [own] = await talk.ended("sent")
    assert own["deliveryError"] is None
    assert reply.times_sent == 2
    assert talk.sent == ["Of course"]
    assert (await talk.company.http.post(path)).status_code == 409
    talk.sim.mark_arrived(reply, "delivered")
    await talk.ended("delivered")


async def test_a_channel_that_refuses_again_is_told_again(talk: Talk) -> None:
    """With its present reason; a person may try once more."""
    reply, path = await refused(talk)
    talk.sim.switches.set(retry_error="131026: Message undeliverable")
    await talk.company.http.post(path)

    async def told() -> bool:
        [own] = await talk.own()
        assert (own["deliveryError"] or {}).get("code") == "channel_unreachable"
        return True

    await eventually(told)
    talk.sim.switches.set(retry_error="")
    await talk.company.http.post(path)
    await talk.ended("sent")
    assert reply.times_sent == 3


@pytest.mark.parametrize("wipes", [False, True], ids=["newer", "older"])
@pytest.mark.parametrize(
    "switches",
    [
        {"hang_next": 1, "hang_seconds": 0.6},
        {"lose_next": 1},
        {"fail_next": 1, "fail_status": 504, "fail_after_commit": True, "fail_writes_only": True},
        {"limit_next": 1},
        {"truncate_next": 1},
    ],
    ids=str,
)
async def test_an_answer_that_is_lost_sends_nothing_twice(
    talk: Talk, switches: dict[str, object], wipes: bool
) -> None:
    """It is looked at before it is asked for again."""
    reply, path = await refused(talk)
    talk.sim.switches.set(retry_wipes=wipes, **switches)
    assert (await talk.company.http.post(path)).status_code == 200
    await talk.ended("sent", limit=60)
    assert reply.times_sent == 2


async def test_what_arrived_meanwhile_is_not_sent_again(talk: Talk) -> None:
    """A colleague was quicker in Chatwoot, and nothing has said so here."""
    talk.sim.switches.set(retry_wipes=True)
    reply, path = await refused(talk)
    talk.sim.switches.set(drop_next=9)
    talk.sim.retry_message(reply)
    talk.sim.mark_arrived(reply, "read")
    assert (await talk.company.http.post(path)).status_code == 200
    await talk.ended("read")
    assert reply.times_sent == 2


async def test_a_colleagues_message_can_be_sent_again_and_a_note_cannot(talk: Talk) -> None:
    """Whoever wrote it; what goes to no channel has nothing to repeat."""
    theirs = talk.sim.agent_says(talk.there, "It is")
    note = talk.sim.private_note(talk.there, "Ask the store")
    talk.sim.mark_failed(theirs, WINDOW)
    talk.sim.mark_failed(note, WINDOW)

    async def failed() -> list[Json]:
        own = await talk.own()
        assert [one["deliveryState"] for one in own] == ["failed", "failed"]
        return own

    own = {one["content"]: one["id"] for one in await eventually(failed)}
    again = await talk.company.http.post(f"{talk.path}/messages/{own['It is']}/retry")
    assert again.status_code == 200
    refusal = await talk.company.http.post(f"{talk.path}/messages/{own['Ask the store']}/retry")
    assert refusal.status_code == 409
    await eventually(lambda: theirs.times_sent == 2 and note.times_sent == 1)


async def test_a_chatwoot_that_cannot_send_again_is_told_from_a_message_that_is_gone(
    talk: Talk,
) -> None:
    """It answers 404 to both; the message is there as it was."""
    reply, path = await refused(talk)
    talk.sim.switches.set(knows_retry=False)
    await talk.company.http.post(path)

    async def told() -> bool:
        [own] = await talk.own()
        assert (own["deliveryError"] or {}).get("code") == "no_retry"
        assert "write the reply anew" in own["deliveryError"]["message"]
        return True

    await eventually(told)
    assert reply.times_sent == 1
    assert (await talk.company.get(talk.path))["goneAt"] is None
    talk.sim.switches.set(knows_retry=True)
    await talk.company.http.post(path)
    await talk.ended("sent")
    assert reply.times_sent == 2


async def test_a_message_that_is_gone_says_so(talk: Talk) -> None:
    """Without taking the conversation for gone."""
    reply, path = await refused(talk)
    talk.there.messages.remove(reply)
    talk.sim.messages.pop(reply.id)
    await talk.company.http.post(path)

    async def told() -> bool:
        [own] = await talk.own()
        assert (own["deliveryError"] or {}).get("code") == "message_gone"
        return True

    await eventually(told)
    assert (await talk.company.get(talk.path))["goneAt"] is None
