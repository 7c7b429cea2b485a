"""Replies arrive as their channel can carry them, and as Chatwoot stores them."""

import asyncio
from typing import Any

import httpx
import pytest

from server.lab.chatwoot_sim import ChatwootSim
from server.lab.chatwoot_sim.channels import passed_on
from server.lab.chatwoot_sim.model import OUTGOING
from server.lab.chatwoot_sim.model import Conversation as SimConversation
from server.lab.chatwoot_sim.samples import picture
from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.webhook import WEBHOOK_PATH

File = tuple[str, bytes, str]
PICTURE: File = ("receipt.png", picture().content, "image/png")
SECOND: File = ("second.png", picture().content + b"2", "image/png")
VOICE: File = ("voice.ogg", b"OggS" + bytes(300), "audio/ogg")


class Desk:
    """One conversation of a channel, seen from both ends."""

    def __init__(self, company: Company, there: SimConversation, here: int) -> None:
        self.company = company
        self.there = there
        self.id = here
        self.path = f"/api/conversations/{here}"

    async def reply(self, *files: File, key: str, **fields: str) -> httpx.Response:
        parts: Any = [("attachments", file) for file in files]
        return await self.company.http.post(
            f"{self.path}/reply", data=fields, files=parts, headers={"Idempotency-Key": key}
        )

    @property
    def got(self) -> list[tuple[str, list[str]]]:
        """What the customer got, in order."""
        return [passed_on(one) for one in self.there.messages if one.message_type == OUTGOING]

    async def own(self, count: int) -> list[Json]:
        async def found() -> list[Json]:
            own = [m for m in await self.company.thread(self.id) if m["senderType"] == "agent"]
            assert [m["deliveryState"] for m in own] == ["sent"] * count, own
            return own

        return await eventually(found, 60)


async def opened(shop: Company, sim: ChatwootSim, channel: str) -> Desk:
    """A customer has written through that channel."""
    sim.inbox.channel = channel
    sim.add_webhook(shop.omni.base_url + WEBHOOK_PATH, secret="")
    said = sim.customer_says("Rahima", "Can you show it?")
    whole = await shop.conversation_with(1, display_id=said.conversation.display_id)
    return Desk(shop, said.conversation, whole["id"])


@pytest.mark.parametrize(
    ("channel", "files", "got"),
    [
        (
            "Channel::Whatsapp",
            [PICTURE, SECOND],
            [("Both", ["receipt.png"]), ("", ["second.png"])],
        ),
        ("Channel::Whatsapp", [VOICE], [("", ["voice.ogg"]), ("Both", [])]),
        (
            "Channel::Tiktok",
            [PICTURE, SECOND],
            [("", ["receipt.png"]), ("", ["second.png"]), ("Both", [])],
        ),
        ("Channel::Telegram", [PICTURE, SECOND], [("Both", ["receipt.png", "second.png"])]),
    ],
    ids=["whatsapp", "voice", "tiktok", "telegram"],
)
async def test_everything_of_a_reply_arrives(
    shop: Company,
    sim: ChatwootSim,
    channel: str,
    files: list[File],
    got: list[tuple[str, list[str]]],
) -> None:
    """Whole, in order and once, also where Chatwoot's answer is lost; the answer has the text and
    the key, and the same key again is the same reply.
    """
    desk = await opened(shop, sim, channel)
    sim.switches.set(lose_next=1)
    answer = await desk.reply(*files, key="k1", content="Both")
    assert (answer.status_code, answer.json()["content"]) == (201, "Both")
    assert answer.json()["clientId"] == "k1"
    again = await desk.reply(*files, key="k1", content="Both")
    assert (again.status_code, again.json()["id"]) == (200, answer.json()["id"])
    other = await desk.reply(files[0], SECOND, VOICE, key="k1", content="Both")
    assert other.json()["code"] == "idempotency_key_reused"
    own = await desk.own(len(got))
    assert desk.got == got
    assert len({message["agentId"] for message in own}) == 1
    await sim.webhooks.flushed()
    assert len(await desk.own(len(got))) == len(got)
    await eventually(lambda: _has_no_pieces(desk))


async def _has_no_pieces(desk: Desk) -> bool:
    rows = await desk.company.rows(
        "SELECT COUNT(*) FROM omni_outgoing_pieces p JOIN omni_outgoing_files f ON f.upload = "
        "p.upload JOIN social_messages m ON m.id = f.message_id WHERE m.conversation_id = :id",
        id=desk.id,
    )
    return int(rows[0][0]) == 0


async def test_a_kill_between_two_files_sends_each_once(omni: Omni, sim: ChatwootSim) -> None:
    """The first is at Chatwoot, its answer never came, and we are killed: started again, the second
    follows, and nothing comes twice.
    """
    async with Company(omni, chatwoot=sim) as shop:
        desk = await opened(shop, sim, "Channel::Whatsapp")
        sim.switches.set(hang_next=1, hang_seconds=20.0, holds_webhooks=True)
        assert (await desk.reply(PICTURE, SECOND, key="k1", content="Both")).status_code == 201
        await eventually(lambda: len(desk.got) == 1, 30)
        sim.switches.set(rate_limited=True, holds_webhooks=False)

        # between two attempts: one under way would keep its lease for as long as an upload may take
        async def was_refused() -> bool:
            rows = await shop.rows(
                "SELECT omni_is_outcome_unknown FROM social_messages WHERE omni_delivery_state = "
                "'sending' AND omni_delivery_attempts > 0 AND conversation_id = :id",
                id=desk.id,
            )
            return [bool(row[0]) for row in rows] == [False]

        await eventually(was_refused, 60)
        omni.kill9()
        await asyncio.to_thread(omni.start)
        assert len(desk.got) == 1
        sim.switches.set(rate_limited=False)
        await desk.own(2)
        assert desk.got == [("Both", ["receipt.png"]), ("", ["second.png"])]


async def test_the_text_that_chatwoot_stored_is_shown(shop: Company, sim: ChatwootSim) -> None:
    """Names are filled in there; the key still knows the text that was written, also where nothing
    is left of it.
    """
    desk = await opened(shop, sim, "Channel::Api")
    texts = {"k1": "Dear {{contact.name}}, yes.", "k2": "{{contact.nothing}}"}
    for n, (key, text) in enumerate(texts.items(), 1):
        assert await _written(desk, key, text) == 201
        await desk.own(n)
        assert await _written(desk, key, text) == 200
    await sim.webhooks.flushed()
    own = await desk.own(2)
    assert [message["content"] for message in own] == ["Dear Rahima, yes.", ""]
    assert [message["editedAt"] for message in own] == [None, None]


async def _written(desk: Desk, key: str, text: str) -> int:
    answer = await desk.company.http.post(
        f"{desk.path}/reply", json={"content": text}, headers={"Idempotency-Key": key}
    )
    return answer.status_code


async def test_people_in_copy_and_a_quote_go_with_a_reply(shop: Company, sim: ChatwootSim) -> None:
    """What is not possible is refused before anything is kept."""
    desk = await opened(shop, sim, "Channel::Email")
    first = (await shop.thread(desk.id))[0]
    path, said = f"{desk.path}/reply", desk.there.messages[0]
    for body, status in (
        ({"cc": ["nobody"]}, 400),
        ({"inReplyTo": first["id"] + 1000}, 422),
        ({"cc": ["a@b.example"], "private": True}, 422),
    ):
        answer = await shop.http.post(path, json={"content": "x"} | body)
        assert answer.status_code == status, answer.text
    copies = {"cc": ["boss@customers.example", "b@b.example"], "bcc": ["c@c.example"]}
    body = {"content": "Sent today", "inReplyTo": first["id"], **copies}
    answer = await shop.http.post(path, json=body, headers={"Idempotency-Key": "k1"})
    assert answer.status_code == 201, answer.text
    changed = {**body, "cc": []}
    other = await shop.http.post(path, json=changed, headers={"Idempotency-Key": "k1"})
    assert other.json()["code"] == "idempotency_key_reused"
    await desk.own(1)
    attributes = desk.there.messages[-1].content_attributes
    assert attributes["in_reply_to"] == said.id
    assert attributes["cc_emails"] == copies["cc"]
    assert attributes["bcc_emails"] == copies["bcc"]
