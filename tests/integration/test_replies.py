"""Replies against the simulated Chatwoot: what is accepted reaches the customer once, as
the kind it was written as.
"""

import asyncio

import pytest

from server.lab.chatwoot_sim.model import OUTGOING
from tests.integration.talk import Talk
from tests.kit.eventually import eventually


async def test_a_reply_reaches_chatwoot_once(talk: Talk) -> None:
    """201 at once, `sending` and then `sent` as events, one bubble whatever webhook comes back."""
    async with talk.company.socket() as agent:
        answer = await talk.reply("Yes, two of them", key="tab-1:17")
        assert answer.status_code == 201
        message = answer.json()
        assert (message["senderType"], message["content"], message["clientId"]) == (
            "agent",
            "Yes, two of them",
            "tab-1:17",
        )
        assert message["deliveryState"] in ("sending", "sent")
        (own,) = await talk.ended("sent")
        await agent.wait_for(
            lambda e: e.kind == "message.updated" and e.data["message"]["deliveryState"] == "sent"
        )
    assert talk.sent == ["Yes, two of them"]
    assert own["chatwootMessageId"] == talk.there.messages[-1].id
    assert (own["id"], own["agentId"]) == (message["id"], agent.welcome["agent"]["id"])
    assert sum(event.kind == "message.created" for event in agent.events) == 1


async def test_the_webhook_that_comes_before_the_response_makes_no_second_message(
    talk: Talk,
) -> None:
    """Chatwoot answers late; its webhook was quicker."""
    talk.sim.switches.set(hang_next=1, hang_seconds=0.6)
    await talk.reply("early bird")
    await talk.ended("sent")
    assert talk.sent == ["early bird"]


async def test_the_webhook_that_comes_after_the_response_makes_no_second_message(
    talk: Talk,
) -> None:
    """A busy Sidekiq, and every delivery twice."""
    talk.sim.switches.set(delay_seconds=0.3, duplicate="new_id")
    await talk.reply("late bird")
    await talk.ended("sent")
    assert talk.sent == ["late bird"]


async def test_the_same_key_and_text_again_is_the_same_message(talk: Talk) -> None:
    """200 instead of 201; also five at once, as a double click makes them."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(talk.reply("once", key="k.1")) for _ in range(5)]
    answers = [task.result() for task in tasks]
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    await talk.ended("sent")
    assert (await talk.reply("once", key="k.1")).status_code == 200
    assert talk.sent == ["once"]


async def test_the_same_key_with_another_text_is_refused(talk: Talk) -> None:
    """422: a key belongs to one reply."""
    assert (await talk.reply("first", key="k")).status_code == 201
    answer = await talk.reply("second", key="k")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    await talk.ended("sent")
    assert talk.sent == ["first"]


@pytest.mark.parametrize("key", ["with space", "x" * 65, "ключ", "a/b"])
async def test_a_key_that_cannot_be_is_refused(talk: Talk, key: str) -> None:
    """400, and nothing is sent."""
    headers = {b"Idempotency-Key": key.encode()}
    answer = await talk.company.http.post(
        f"{talk.path}/reply", json={"content": "x"}, headers=headers
    )
    assert answer.status_code == 400
    assert talk.sent == []


async def test_newer_messages_stop_a_reply(talk: Talk) -> None:
    """409 with what the agent has not seen; sent once they have."""
    seen = (await talk.company.thread(talk.id))[-1]["id"]
    talk.sim.agent_says(talk.there, "A colleague answers in Chatwoot")
    talk.sim.customer_says(talk.there.contact, "Thank you!", conversation=talk.there)
    whole = await talk.company.conversation_with(3, display_id=talk.there.display_id)
    answer = await talk.reply("the same", lastSeenMessageId=seen)
    assert (answer.status_code, answer.json()["code"]) == (409, "newer_messages")
    # in the order of their arrival, which is any
    assert {m["content"] for m in answer.json()["messages"]} == {
        "A colleague answers in Chatwoot",
        "Thank you!",
    }
    assert (
        await talk.reply("Welcome", lastSeenMessageId=max(m["id"] for m in whole["messages"]))
    ).status_code == 201
    await eventually(lambda: talk.sent == ["A colleague answers in Chatwoot", "Welcome"])


async def test_own_replies_and_notes_do_not_stop_a_reply(talk: Talk) -> None:
    """Two in a row by the same agent, and a colleague's note in between."""
    seen = (await talk.company.thread(talk.id))[-1]["id"]
    assert (await talk.reply("one", lastSeenMessageId=seen)).status_code == 201
    talk.sim.private_note(talk.there, "careful")
    await talk.company.conversation_with(3, display_id=talk.there.display_id)
    assert (await talk.reply("two", lastSeenMessageId=seen)).status_code == 201
    await eventually(lambda: [text for text in talk.sent if text != "careful"] == ["one", "two"])


async def test_a_private_note_stays_private(talk: Talk) -> None:
    """`private` reaches Chatwoot as such, and the list's preview does not show it."""
    assert (await talk.reply("refund approved", private=True)).json()["private"] is True
    await talk.ended("sent")
    assert [(m.content, m.private) for m in talk.there.messages if m.message_type == OUTGOING] == [
        ("refund approved", True)
    ]
    (row,) = await talk.company.conversations()
    assert row["preview"]["content"] == "Is it still there?"


@pytest.mark.parametrize("first", [True, False])
async def test_the_same_key_for_the_other_kind_is_refused(talk: Talk, first: bool) -> None:
    """A note's key is no reply's, and the other way round: 422, and what Chatwoot has is what was
    asked for first.
    """
    assert (await talk.reply("one text", key="k", private=first)).status_code == 201
    answer = await talk.reply("one text", key="k", private=not first)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert (await talk.reply("one text", key="k", private=first)).status_code == 200
    await talk.ended("sent")
    assert [(m.content, m.private) for m in talk.there.messages if m.message_type == OUTGOING] == [
        ("one text", first)
    ]


@pytest.mark.parametrize("private", ["true", 1, None, "no", []], ids=str)
async def test_a_kind_that_is_no_yes_or_no_is_refused(talk: Talk, private: object) -> None:
    """Taken for a reply it would reach the customer."""
    assert (await talk.reply("among us", private=private)).status_code == 400
    form, files = (
        {"content": "among us", "private": "yes"},
        {"attachments": ("a.txt", b"x", "text/plain")},
    )
    assert (
        await talk.company.http.post(f"{talk.path}/reply", data=form, files=files)
    ).status_code == 400
    assert talk.sent == []


async def test_a_page_of_another_agent_writes_nothing(talk: Talk) -> None:
    """409 for every call that says it was made for somebody else; who says nothing, as the polling
    page, is not asked.
    """
    own = (await talk.company.http.get("/api/me")).json()["id"]
    for method, path in (
        ("POST", "/reply"),
        ("POST", "/read"),
        ("PATCH", ""),
        ("GET", "/messages"),
    ):
        body = (
            {"content": "in whose name?", "messageId": 1, "status": "Closed"}
            if method != "GET"
            else None
        )
        answer = await talk.company.http.request(
            method, talk.path + path, json=body, headers={"Inbox-Agent": str(own + 1)}
        )
        assert (answer.status_code, answer.json()["code"]) == (409, "other_agent")
    assert (await talk.company.http.get(talk.path)).json()["status"] == "Open"
    answer = await talk.company.http.post(
        f"{talk.path}/reply", json={"content": "mine"}, headers={"Inbox-Agent": str(own)}
    )
    assert answer.status_code == 201
    await talk.ended("sent")
    assert talk.sent == ["mine"]


async def test_two_replies_keep_their_order(talk: Talk) -> None:
    """The second waits while the first one's outcome is unknown."""
    talk.sim.switches.set(fail_next=1, fail_writes_only=True)
    for text in ("one", "two", "three"):
        assert (await talk.reply(text)).status_code == 201
    await talk.ended("sent", count=3)
    assert talk.sent == ["one", "two", "three"]


async def test_one_conversation_that_waits_does_not_hold_up_another(talk: Talk) -> None:
    """While Chatwoot hangs on one reply, others leave."""
    other = talk.sim.customer_says("Karim", "Hello?").conversation
    here = await talk.company.conversation_with(1, display_id=other.display_id)
    talk.sim.switches.set(hang_next=1)
    await talk.reply("slow")
    await eventually(lambda: talk.sent == ["slow"])
    await talk.company.http.post(
        f"/api/conversations/{here['id']}/reply", json={"content": "quick"}
    )
    await eventually(
        lambda: [m.content for m in other.messages if m.message_type == OUTGOING] == ["quick"],
        limit=10,
    )
    await talk.ended("sent")
