"""Reply windows from Chatwoot to the agent: told with every event, and the same in a snapshot."""

import asyncio
import datetime as dt

import pytest

from server.lab.chatwoot_sim import ChatwootSim
from tests.kit.company import Company
from tests.kit.webhook import WEBHOOK_PATH


def _later(iso: str, hours: int) -> str:
    moment = dt.datetime.fromisoformat(iso) + dt.timedelta(hours=hours)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("channel", "hours"),
    [("Channel::Whatsapp", 24), ("Channel::FacebookPage", 24), ("Channel::Tiktok", 48)],
)
async def test_the_window_moves_with_the_customer_s_last_message(
    shop: Company, sim: ChatwootSim, channel: str, hours: int
) -> None:
    """And not with a reply; a socket is told what a snapshot says."""
    sim.inbox.channel = channel
    sim.add_webhook(shop.omni.base_url + WEBHOOK_PATH, secret="")
    async with shop.socket() as agent:
        said = sim.customer_says("Rahima", "one")
        there = said.conversation
        whole = await shop.conversation_with(1, display_id=there.display_id)
        wrote = whole["messages"][-1]["createdAt"]
        assert (whole["replyUntil"], whole["replyWindow"], whole["replyClosedReason"]) == (
            _later(wrote, hours),
            "open",
            None,
        )
        sim.agent_says(there, "an answer")
        assert (await shop.conversation_with(2, display_id=there.display_id))[
            "replyUntil"
        ] == _later(wrote, hours)
        sim.customer_says(there.contact, "two", conversation=there)
        whole = await shop.conversation_with(3, display_id=there.display_id)
        newest = max(
            message["createdAt"]
            for message in whole["messages"]
            if message["senderType"] == "customer"
        )
        assert whole["replyUntil"] == _later(newest, hours)
        await agent.wait_for_seq(whole["seq"])
        assert agent.model.conversations[whole["id"]]["replyUntil"] == whole["replyUntil"]


async def test_chatwoot_s_no_closes_the_window(shop: Company, sim: ChatwootSim) -> None:
    """Its clock has passed the window when it tells of a label; the agent hears that a reply is
    refused, and why.
    """
    sim.inbox.channel = "Channel::Whatsapp"
    sim.add_webhook(shop.omni.base_url + WEBHOOK_PATH, secret="")
    there = sim.customer_says("Rahima", "hello").conversation
    await shop.conversation_with(1, display_id=there.display_id)
    async with shop.socket() as agent:
        await asyncio.sleep(1.1)  # a no of the customer's own second may be the older word
        with sim.time_shifted(25 * 3600):
            sim.set_labels(there, ["late"])
        told = await agent.wait_for(lambda event: event.data["conversation"]["labels"] == ["late"])
    assert told.data["conversation"]["canReply"] is False
    assert (
        told.data["conversation"]["replyWindow"],
        told.data["conversation"]["replyClosedReason"],
    ) == ("closed", "expired")


async def test_a_channel_without_a_window_has_none(shop: Company, sim: ChatwootSim) -> None:
    """The web widget is open for ever."""
    sim.add_webhook(shop.omni.base_url + WEBHOOK_PATH, secret="")
    there = sim.customer_says("Rahima", "hello").conversation
    whole = await shop.conversation_with(1, display_id=there.display_id)
    assert (whole["replyUntil"], whole["replyWindow"], whole["replyClosedReason"]) == (
        None,
        None,
        None,
    )
