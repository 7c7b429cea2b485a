"""Replies, status and read marks against the simulated Chatwoot: whatever its API does, the
customer gets a reply once.
"""

import asyncio
import re

import httpx
import pytest

from server.lab.chatwoot_sim import ChatwootSim
from server.lab.chatwoot_sim.model import OUTGOING
from server.lab.chatwoot_sim.model import Conversation as SimConversation
from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.webhook import WEBHOOK_PATH


class Talk:
    """One conversation, seen from both ends."""

    def __init__(
        self, company: Company, sim: ChatwootSim, there: SimConversation, here: Json
    ) -> None:
        self.company = company
        self.sim = sim
        self.there = there
        self.id: int = here["id"]
        self.path = f"/api/conversations/{self.id}"

    async def reply(
        self, content: str = "Of course", *, key: str | None = None, **fields: object
    ) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return await self.company.http.post(
            f"{self.path}/reply", json={"content": content, **fields}, headers=headers
        )

    async def own(self) -> list[Json]:
        """The replies as agents see them, oldest first."""
        return [
            message
            for message in await self.company.thread(self.id)
            if message["senderType"] == "agent"
        ]

    async def ended(self, state: str, *, count: int = 1, limit: float = 15.0) -> list[Json]:
        """The replies, once so many are all in that state and every webhook has been taken in."""

        async def found() -> list[Json]:
            own = await self.own()
            assert [message["deliveryState"] for message in own] == [state] * count, own
            return own

        await eventually(found, limit)
        await self.sim.webhooks.flushed()
        return await eventually(found)

    @property
    def sent(self) -> list[str | None]:
        """What the customer got."""
        return [
            message.content for message in self.there.messages if message.message_type == OUTGOING
        ]


@pytest.fixture
async def talk(shop: Company, sim: ChatwootSim) -> Talk:
    """A customer has written; the webhook is registered."""
    sim.add_webhook(shop.omni.base_url + WEBHOOK_PATH, secret="")
    said = sim.customer_says("Rahima", "Is it still there?")
    return Talk(
        shop,
        sim,
        said.conversation,
        await shop.conversation_with(1, display_id=said.conversation.display_id),
    )


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


async def test_replies_of_an_outage_go_out_in_order_and_say_that_they_are_tried(talk: Talk) -> None:
    """More failures than a number of tries once allowed; nothing for a person to do."""
    talk.sim.switches.set(rate_limited=True)
    for text in ("first", "second"):
        assert (await talk.reply(text)).status_code == 201

    async def told() -> bool:
        own = [
            message
            for message in await talk.company.thread(talk.id)
            if message["senderType"] == "agent"
        ]
        assert [message["deliveryState"] for message in own] == ["sending", "sending"]
        assert (own[0]["deliveryError"] or {}).get("code") == "retrying"
        return True

    await eventually(told, 30)
    talk.sim.switches.set(rate_limited=False)

    async def sent() -> bool:
        own = [
            message
            for message in await talk.company.thread(talk.id)
            if message["senderType"] == "agent"
        ]
        assert [(message["deliveryState"], message["deliveryError"]) for message in own] == [
            ("sent", None)
        ] * 2
        return True

    await eventually(sent, 60)
    assert talk.sent == ["first", "second"]


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


@pytest.mark.parametrize(
    "switches",
    [{}, {"hang_next": 1, "hang_seconds": 0.6}, {"lose_next": 1}, {"delay_seconds": 0.3}],
    ids=str,
)
@pytest.mark.parametrize("private", [True, False])
async def test_what_chatwoot_stored_as_the_other_kind_has_failed(
    talk: Talk, private: bool, switches: dict[str, object]
) -> None:
    """Whether the answer, the webhook or the look-up tells of it first; it is said, counted, and
    not sent again.
    """
    before = await _mistaken(talk)
    talk.sim.switches.set(mistakes_private=True, **switches)
    await talk.reply("refund approved", private=private)
    (own,) = await talk.ended("failed")
    assert (own["private"], own["deliveryError"]["code"]) == (
        private,
        "stored_public" if private else "stored_private",
    )
    assert (
        await talk.company.http.post(f"{talk.path}/messages/{own['id']}/retry")
    ).status_code == 409
    assert talk.sent == ["refund approved"]

    async def counted() -> bool:
        return await _mistaken(talk) == before + 1

    await eventually(counted)


async def _mistaken(talk: Talk) -> float:
    text = (await talk.company.http.get("/metrics")).text
    counts = re.findall(
        r'^omni_inbox_replies_total\{outcome="mistaken"\} (\S+)', text, re.MULTILINE
    )
    return float(counts[0]) if counts else 0.0


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


REFUSALS: dict[str, tuple[dict[str, object], str, str]] = {
    "401": ({"unauthorized": True}, "chatwoot_401", "access token"),
    "404": (
        {"fail_next": 1, "fail_status": 404, "fail_writes_only": True},
        "chatwoot_404",
        "no longer exists",
    ),
    "422": (
        {"fail_next": 1, "fail_status": 422, "fail_writes_only": True},
        "chatwoot_422",
        "Chatwoot refused it",
    ),
    "403": (
        {"fail_next": 1, "fail_status": 403, "fail_writes_only": True},
        "chatwoot_403",
        "administrator",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_refused_reply_has_failed_with_a_sentence_and_can_be_sent_again(
    talk: Talk, case: str
) -> None:
    """Final answers of Chatwoot: no retry by itself; once the cause is gone, one by hand."""
    switches, code, words = REFUSALS[case]
    talk.sim.switches.set(**switches)
    await talk.reply("again and again")
    (own,) = await talk.ended("failed")
    assert own["deliveryError"]["code"] == code
    assert words in own["deliveryError"]["message"]
    assert talk.sent == []
    talk.sim.switches.reset()
    answer = await talk.company.http.post(f"{talk.path}/messages/{own['id']}/retry")
    assert (answer.status_code, answer.json()["deliveryState"], answer.json()["deliveryError"]) == (
        200,
        "sending",
        None,
    )
    (again,) = await talk.ended("sent")
    assert (again["id"], again["deliveryError"], talk.sent) == (
        own["id"],
        None,
        ["again and again"],
    )


async def test_only_a_failed_reply_can_be_sent_again(talk: Talk) -> None:
    """409 for one that arrived and for the customer's own words, 404 for nothing."""
    await talk.reply("done")
    (own,) = await talk.ended("sent")
    customer = (await talk.company.thread(talk.id))[0]
    for number, status in ((own["id"], 409), (customer["id"], 409), (own["id"] + 1000, 404)):
        assert (
            await talk.company.http.post(f"{talk.path}/messages/{number}/retry")
        ).status_code == status
    assert talk.sent == ["done"]


AMBIGUOUS: dict[str, dict[str, object]] = {
    "no answer after it was accepted": {"hang_next": 1},
    "the answer was lost": {"lose_next": 1},
    "502 after it was accepted": {
        "fail_next": 1,
        "fail_after_commit": True,
        "fail_status": 502,
        "fail_writes_only": True,
    },
    "500 before it was accepted": {"fail_next": 1, "fail_writes_only": True},
    "half an answer": {"truncate_next": 1},
}


@pytest.mark.parametrize("webhooks", ["with its webhook", "without its webhook"])
@pytest.mark.parametrize("case", AMBIGUOUS)
async def test_an_unknown_outcome_ends_with_exactly_one_message(
    talk: Talk, case: str, webhooks: str
) -> None:
    """Looked up by its marker, and sent again only if it is not there: the customer gets it once,
    the agent sees one bubble.
    """
    talk.sim.switches.set(
        drop_rate=0.0 if webhooks == "with its webhook" else 1.0, **AMBIGUOUS[case]
    )
    await talk.reply("exactly once")
    (own,) = await talk.ended("sent")
    assert talk.sent == ["exactly once"]
    assert own["chatwootMessageId"] == talk.there.messages[-1].id


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


async def test_twenty_conversations_are_closed_in_chatwoot(shop: Company, sim: ChatwootSim) -> None:
    """PATCH of each at the same moment: resolved there, Closed here, open again when asked."""
    sim.add_webhook(shop.omni.base_url + WEBHOOK_PATH, secret="")
    there = [sim.customer_says(f"Customer {n}", "Hello").conversation for n in range(20)]
    await sim.webhooks.flushed()

    async def all_here() -> list[Json] | None:
        rows = await shop.conversations(status="Open")
        return rows if len(rows) == 20 else None

    rows = await eventually(all_here)
    for status, chatwoot_status in (("Closed", "resolved"), ("Open", "open")):
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    shop.http.patch(f"/api/conversations/{row['id']}", json={"status": status})
                )
                for row in rows
            ]
        assert {(task.result().status_code, task.result().json()["status"]) for task in tasks} == {
            (200, status)
        }
        assert {conversation.status for conversation in there} == {chatwoot_status}
        await sim.webhooks.flushed()
        assert len(await shop.conversations(status=status)) == 20


async def test_a_status_that_chatwoot_refuses_stays(talk: Talk) -> None:
    """502 with a sentence; nothing is changed here."""
    talk.sim.switches.set(unauthorized=True)
    answer = await talk.company.http.patch(talk.path, json={"status": "Closed"})
    assert (answer.status_code, answer.json()["code"]) == (502, "chatwoot_failed")
    assert answer.headers["retry-after"]
    assert [row["status"] for row in await talk.company.conversations()] == ["Open"]


async def test_a_status_set_in_chatwoot_arrives(talk: Talk) -> None:
    """Resolved there, Closed here; the customer writes again and it is open."""
    talk.sim.set_status(talk.there, "resolved")

    async def has(status: str) -> bool:
        return [row["status"] for row in await talk.company.conversations()] == [status]

    await eventually(lambda: has("Closed"))
    talk.sim.customer_says(talk.there.contact, "One more thing", conversation=talk.there)
    await eventually(lambda: has("Open"))


async def test_read_marks_count_down_and_never_back(talk: Talk) -> None:
    """unreadCount of the one who read; an older mark changes nothing and makes no event."""
    for text in ("two", "three"):
        talk.sim.customer_says(talk.there.contact, text, conversation=talk.there)
        await talk.sim.webhooks.flushed()
    whole = await talk.company.conversation_with(3, display_id=talk.there.display_id)
    assert whole["unreadCount"] == 3
    ids = [message["id"] for message in whole["messages"]]
    async with talk.company.socket() as agent:
        for message_id, unread in ((ids[1], 1), (ids[0], 1), (ids[2], 0), (ids[2], 0)):
            answer = await talk.company.http.post(
                f"{talk.path}/read", json={"messageId": message_id}
            )
            assert (answer.status_code, answer.json()["unreadCount"]) == (200, unread)
        await agent.wait_for(lambda e: e.kind == "conversation.read" and e.data["readCount"] == 3)
        assert [e.data["readCount"] for e in agent.events if e.kind == "conversation.read"] == [
            2,
            3,
        ]
    async with talk.company.client(2) as colleague:
        (row,) = (await colleague.get("/api/conversations")).json()
    assert row["unreadCount"] == 3
