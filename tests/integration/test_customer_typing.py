"""A customer sees that an agent types a reply, where the channel shows it; a note they never see
coming.
"""

import asyncio

import pytest

from tests.integration.talk import Talk
from tests.kit.eventually import eventually, scaled

TYPING = ("conversation_typing_on", "conversation_typing_off")


async def test_a_reply_that_is_typed_is_shown_until_it_stops(talk: Talk) -> None:
    """Said once, however often the page repeats it; ended by the agent, or by silence."""
    number = talk.there.display_id
    async with talk.company.socket() as agent:
        for _ in range(3):
            await agent.send("typing", conversationId=talk.id, on=True, toCustomer=True)
        await eventually(lambda: talk.sim.typing_shown == [(number, True)])
        await agent.send("typing", conversationId=talk.id, on=False, toCustomer=True)
        await eventually(lambda: talk.sim.typing_shown == [(number, True), (number, False)])
        await agent.send("typing", conversationId=talk.id, on=True, toCustomer=True)
        await eventually(lambda: talk.sim.typing_shown[2:] == [(number, True), (number, False)], 30)


@pytest.mark.parametrize("fields", [{}, {"toCustomer": False}], ids=["older page", "note"])
async def test_a_note_is_never_shown(talk: Talk, fields: dict[str, bool]) -> None:
    """Nor what a page types that does not say which it is; an agent who goes over to a note has
    stopped.
    """
    number = talk.there.display_id
    async with talk.company.socket() as agent:
        await agent.send("typing", conversationId=talk.id, on=True, **fields)
        await agent.send("typing", conversationId=talk.id, on=True, toCustomer=True)
        await eventually(lambda: talk.sim.typing_shown == [(number, True)])
        await agent.send("typing", conversationId=talk.id, on=True, **fields)
        await eventually(lambda: talk.sim.typing_shown == [(number, True), (number, False)])


async def test_a_channel_that_shows_nothing_is_spared(talk: Talk) -> None:
    """And nobody's reply waits for a Chatwoot that refuses it."""
    talk.sim.switches.set(fail_matching="toggle_typing_status")
    async with talk.company.socket() as agent:
        await agent.send("typing", conversationId=talk.id, on=True, toCustomer=True)
        await talk.reply("Of course")
        await talk.ended("sent")
    talk.sim.switches.set(fail_matching="")
    talk.sim.inbox.channel = "Channel::Sms"
    said = talk.sim.customer_says("Karim", "Hello")
    here = await talk.company.conversation_with(1, display_id=said.conversation.display_id)
    async with talk.company.socket() as agent:
        await agent.send("typing", conversationId=here["id"], on=True, toCustomer=True)
        await asyncio.sleep(scaled(1.0))  # nothing tells that nothing came
    assert said.conversation.display_id not in [number for number, _ in talk.sim.typing_shown]


async def test_what_is_typed_here_does_not_come_back(talk: Talk) -> None:
    """Chatwoot tells it as typing of the token's owner; a colleague in Chatwoot is still shown."""
    talk.sim.hooks[0].subscriptions = (*talk.sim.hooks[0].subscriptions, *TYPING)

    async def is_known() -> bool:
        [(owner,)] = await talk.company.rows(
            "SELECT omni_token_user_id FROM integrations WHERE id = :id",
            id=talk.company.integration_id,
        )
        assert owner == talk.sim.admin.id
        return True

    await eventually(is_known, 30)
    await talk.company.tell_server()
    async with talk.company.socket() as agent:
        await agent.wait_for_frame("presence")
        await agent.send("typing", conversationId=talk.id, on=True, toCustomer=True)
        await eventually(lambda: len(talk.sim.typing_shown) == 1)
        await talk.sim.webhooks.flushed()
        colleague = talk.sim.add_user("Bo Agent", account=talk.sim.account)
        talk.sim.typing(talk.there, colleague, on=True)
        assert (await agent.wait_for_frame("typing"))["name"] == "Bo Agent"
