"""Replies with files: durable before they are answered, and once at the customer's whatever
Chatwoot's API does.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from server.lab.chatwoot_sim import ChatwootSim
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
LARGE: File = ("film.mp4", bytes(range(256)) * 3_000, "video/mp4")  # three pieces


class Desk:
    """One conversation, seen from both ends."""

    def __init__(
        self, company: Company, sim: ChatwootSim, there: SimConversation, here: int
    ) -> None:
        self.company = company
        self.sim = sim
        self.there = there
        self.path = f"/api/conversations/{here}"
        self.id = here

    async def reply(
        self, *files: File, content: str = "", key: str | None = None, **fields: str
    ) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        parts: Any = [("attachments", file) for file in files]
        return await self.company.http.post(
            f"{self.path}/reply", data={"content": content, **fields}, files=parts, headers=headers
        )

    async def ended(self, state: str) -> Json:
        """The only reply, once it is in that state and every webhook has been taken in."""

        async def found() -> Json:
            own = [
                message
                for message in await self.company.thread(self.id)
                if message["senderType"] == "agent"
            ]
            assert [message["deliveryState"] for message in own] == [state], own
            one: Json = own[0]
            return one

        await eventually(found, 20)
        await self.sim.webhooks.flushed()
        return await eventually(found)

    @property
    def sent(self) -> list[tuple[str | None, list[File]]]:
        """What the customer got."""
        own = [message for message in self.there.messages if message.message_type == OUTGOING]
        return [
            (one.content, [(a.name, a.content, a.content_type) for a in one.attachments])
            for one in own
        ]

    async def pieces(self) -> int:
        rows = await self.company.rows(
            "SELECT COUNT(*) FROM omni_outgoing_pieces p JOIN omni_outgoing_files f ON f.upload "
            "= p.upload JOIN social_messages m "
            "ON m.id = f.message_id WHERE m.conversation_id = :id",
            id=self.id,
        )
        return int(rows[0][0])


@pytest.fixture
async def desk(shop: Company, sim: ChatwootSim) -> Desk:
    """A customer has written; the webhook is registered."""
    sim.add_webhook(shop.omni.base_url + WEBHOOK_PATH, secret="")
    said = sim.customer_says("Rahima", "Can you show it?")
    whole = await shop.conversation_with(1, display_id=said.conversation.display_id)
    return Desk(shop, sim, said.conversation, whole["id"])


async def test_files_reach_the_customer_once(desk: Desk) -> None:
    """Whole, in order, with their text; then they have Chatwoot's addresses, and are kept here no
    longer.
    """
    answer = await desk.reply(PICTURE, LARGE, content="Here it is", key="k1")
    assert answer.status_code == 201
    placed = [(a["type"], a["name"], a["sizeBytes"]) for a in answer.json()["attachments"]]
    assert placed == [
        ("image", "receipt.png", len(PICTURE[1])),
        ("video", "film.mp4", len(LARGE[1])),
    ]
    own = await desk.ended("sent")
    assert desk.sent == [("Here it is", [PICTURE, LARGE])]
    assert [a["name"] for a in own["attachments"]] == ["receipt.png", "film.mp4"]
    assert all(a["url"].startswith(desk.sim.base_url) for a in own["attachments"])
    await eventually(lambda: _is_empty(desk))


async def _is_empty(desk: Desk) -> bool:
    return await desk.pieces() == 0


async def test_a_file_needs_no_text(desk: Desk) -> None:
    """And may be a private note."""
    assert (await desk.reply(PICTURE, private="true")).status_code == 201
    assert (await desk.ended("sent"))["private"] is True
    assert [files for _, files in desk.sent] == [[PICTURE]]


@pytest.mark.parametrize(
    "switches",
    [
        {"lose_next": 1},
        {"hang_next": 1, "hang_seconds": 2.0},
        {"fail_next": 1, "fail_after_commit": True},
    ],
)
async def test_a_lost_answer_sends_no_file_twice(desk: Desk, switches: dict[str, Any]) -> None:
    """The connection is cut, nothing comes, a gateway says 500: Chatwoot has it, and is found to
    have it.
    """
    desk.sim.switches.set(fail_writes_only=True, **switches)
    await desk.reply(PICTURE, content="once")
    own = await desk.ended("sent")
    assert desk.sent == [("once", [PICTURE])]
    assert own["attachments"][0]["url"].startswith(desk.sim.base_url)


async def test_a_lost_answer_without_webhooks_is_found_by_its_marker(desk: Desk) -> None:
    """Nothing tells us but Chatwoot's list."""
    desk.sim.switches.set(lose_next=1, drop_rate=1.0)
    await desk.reply(PICTURE, content="once")
    own = await desk.ended("sent")
    assert desk.sent == [("once", [PICTURE])]
    assert own["attachments"][0]["url"].startswith(desk.sim.base_url)


async def test_what_chatwoot_never_took_is_sent_again(desk: Desk) -> None:
    """It fails twice before it does anything."""
    desk.sim.switches.set(fail_next=2, fail_writes_only=True)
    await desk.reply(LARGE, content="third time")
    await desk.ended("sent")
    assert desk.sent == [("third time", [LARGE])]


async def test_a_failed_reply_is_sent_again_with_its_files(desk: Desk) -> None:
    """Chatwoot refuses; the agent sees why, and reads the file here; the administrator mends it,
    and it is sent.
    """
    desk.sim.switches.set(unauthorized=True)
    message = (await desk.reply(PICTURE, content="later")).json()
    failed = await desk.ended("failed")
    assert (failed["deliveryError"]["code"], failed["attachments"][0]["url"]) == (
        "chatwoot_401",
        None,
    )
    shown = await desk.company.http.get(f"/api/attachments/{message['id']}/0")
    assert (shown.status_code, shown.content, shown.headers["content-type"]) == (
        200,
        PICTURE[1],
        "image/png",
    )
    desk.sim.switches.set(unauthorized=False)
    assert (
        await desk.company.http.post(f"{desk.path}/messages/{message['id']}/retry")
    ).status_code == 200
    await desk.ended("sent")
    assert desk.sent == [("later", [PICTURE])]


async def test_the_same_key_again_is_the_same_reply(desk: Desk) -> None:
    """Also two at once; another file under it is refused, and so is none."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(desk.reply(PICTURE, content="once", key="k")) for _ in range(2)]
    assert sorted(task.result().status_code for task in tasks) == [200, 201]
    await desk.ended("sent")
    assert (await desk.reply(PICTURE, content="once", key="k")).status_code == 200
    answers = [
        await desk.reply(*other, content="once", key="k")
        for other in ([("receipt.png", b"other", "image/png")], [PICTURE, PICTURE])
    ]
    answers.append(
        await desk.company.http.post(
            f"{desk.path}/reply", json={"content": "once"}, headers={"Idempotency-Key": "k"}
        )
    )
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert desk.sent == [("once", [PICTURE])]


async def test_newer_messages_stop_a_reply_with_files(desk: Desk) -> None:
    """As they stop a text."""
    seen = (await desk.company.thread(desk.id))[-1]["id"]
    desk.sim.customer_says(desk.there.contact, "Never mind", conversation=desk.there)
    await desk.company.conversation_with(2, display_id=desk.there.display_id)
    answer = await desk.reply(PICTURE, content="late", lastSeenMessageId=str(seen))
    assert (answer.status_code, answer.json()["code"]) == (409, "newer_messages")
    assert desk.sent == []


@pytest.mark.parametrize(
    ("files", "status", "code"),
    [
        ([("page.html", b"<p>", "text/html")], 415, "unsupported_media"),
        ([("empty.png", b"", "image/png")], 422, "unprocessable"),
        ([PICTURE] * 16, 422, "unprocessable"),
        ([PICTURE] * 40, 422, "unprocessable"),
        ([("big.mp4", b"x" * 25_100_000, "video/mp4")], 413, "too_large"),
    ],
    ids=["type", "empty", "sixteen", "forty", "large"],
)
async def test_what_is_not_taken_is_said_in_a_sentence(
    desk: Desk, files: list[File], status: int, code: str
) -> None:
    """And nothing is kept or sent."""
    answer = await desk.reply(*files)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert len(answer.json()["message"]) > 10
    assert await desk.pieces() == 0
    assert [message["senderType"] for message in await desk.company.thread(desk.id)] == ["customer"]


@pytest.mark.parametrize(
    "body",
    [b"", b"--x\r\nnonsense", b'--x\r\nContent-Disposition: form-data; name="content"\r\n\r\n'],
)
async def test_a_broken_form_is_refused(desk: Desk, body: bytes) -> None:
    """400, whatever is wrong with it."""
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = await desk.company.http.post(f"{desk.path}/reply", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


async def test_another_company_s_conversation_takes_no_files(desk: Desk) -> None:
    """404, and the file in question is nobody's."""
    async with Company(desk.company.omni) as other:
        parts: Any = [("attachments", PICTURE)]
        answer = await other.http.post(f"{desk.path}/reply", data={"content": "x"}, files=parts)
        assert answer.status_code == 404
    assert desk.sent == []


async def test_a_third_upload_of_one_agent_waits_for_the_others(desk: Desk) -> None:
    """429 while two are under way; they hold nobody else up, and make room when their client goes
    away.
    """
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    begun, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def slow(content: bytes) -> AsyncIterator[bytes]:
        yield (
            b'--x\r\nContent-Disposition: form-data; name="attachments"; '
            b'filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
        )
        begun.release()
        await go_on.wait()
        yield content + b"\r\n--x--\r\n"

    async with asyncio.TaskGroup() as group:
        contents = [b"12345", b"67890"]  # two replies, not one and its repetition
        uploads = [
            group.create_task(
                desk.company.http.post(f"{desk.path}/reply", content=slow(c), headers=headers)
            )
            for c in contents
        ]
        await begun.acquire()
        await begun.acquire()

        async def refused() -> bool:
            answer = await desk.reply(PICTURE)
            return (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")

        await eventually(refused)
        async with desk.company.client("colleague") as colleague:
            parts: Any = [("attachments", PICTURE)]
            assert (
                await colleague.post(f"{desk.path}/reply", data={"content": "x"}, files=parts)
            ).status_code == 201
        go_on.set()
    assert [upload.result().status_code for upload in uploads] == [201, 201]
    assert (await desk.reply(PICTURE)).status_code == 201


async def test_files_outlive_the_server(omni: Omni, sim: ChatwootSim) -> None:
    """Killed after its 201, before Chatwoot would take anything: started again, it sends them,
    once.
    """
    async with Company(omni, chatwoot=sim) as shop:
        sim.add_webhook(omni.base_url + WEBHOOK_PATH, secret="")
        said = sim.customer_says("Rahima", "Can you show it?")
        whole = await shop.conversation_with(1, display_id=said.conversation.display_id)
        desk = Desk(shop, sim, said.conversation, whole["id"])
        sim.switches.set(rate_limited=True)
        assert (await desk.reply(PICTURE, LARGE, content="Here")).status_code == 201

        # between two attempts: one under way would keep its lease for as long as an upload may take
        async def was_refused() -> bool:
            rows = await shop.rows(
                "SELECT omni_is_outcome_unknown FROM social_messages WHERE "
                "omni_delivery_attempts > 0 AND conversation_id = :id",
                id=desk.id,
            )
            return [bool(row[0]) for row in rows] == [False]

        await eventually(was_refused)
        omni.kill9()
        await asyncio.to_thread(omni.start)
        assert desk.sent == []
        sim.switches.set(rate_limited=False)
        await eventually(lambda: desk.sent == [("Here", [PICTURE, LARGE])], 60)
        await desk.ended("sent")
        assert desk.sent == [("Here", [PICTURE, LARGE])]


@pytest.mark.parametrize("split", ["text_first", "text_last"])
async def test_a_reply_that_becomes_a_message_a_file_is_one_agents_own(
    desk: Desk, split: str
) -> None:
    """Some channels take one file a message. Whichever message Chatwoot answers with, nothing is
    sent twice, and all are the agent's.
    """
    desk.sim.switches.set(splits_files=split)
    assert (await desk.reply(PICTURE, LARGE, content="Both", key="key-2")).status_code == 201

    async def settled() -> list[Json]:
        own = [
            message
            for message in await desk.company.thread(desk.id)
            if message["senderType"] == "agent"
        ]
        assert [message["deliveryState"] for message in own] == ["sent", "sent"], own
        return own

    own = await eventually(settled, 30)
    await desk.sim.webhooks.flushed()
    assert sorted(message["content"] for message in await eventually(settled)) == ["", "Both"]
    assert len({message["agentId"] for message in own}) == 1
    assert own[0]["agentId"] is not None
    assert len({message["senderName"] for message in own}) == 1
    assert {message["content"]: message["clientId"] for message in own} == {
        "": None,
        "Both": "key-2",
    }
    assert sorted(file["name"] for message in own for file in message["attachments"]) == [
        "film.mp4",
        "receipt.png",
    ]
    assert sorted(content or "" for content, _ in desk.sent) == ["", "Both"]

    async def dropped() -> bool:
        assert await desk.pieces() == 0
        return True

    await eventually(dropped, 30)
