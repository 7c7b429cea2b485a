"""Attachments over REST: the files of one's own company's messages, through us, and nothing a
browser would run.
"""

import contextlib

import pytest

from server.core.state.attachment_rules import shown_as
from server.lab.chatwoot_sim import ChatwootSim
from server.lab.chatwoot_sim.samples import Upload, picture
from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.rude_http import answering, stalling
from tests.kit.webhook import WEBHOOK_PATH

PAGE = Upload("bill.html", b"<script>alert(1)</script>", "text/html")
SOUND = Upload("a.ogg", bytes(range(256)) * 40, "audio/ogg")


@pytest.fixture
async def message(shop: Company, sim: ChatwootSim) -> Json:
    """A customer's message with a picture, a page and a sound."""
    sim.add_webhook(shop.omni.base_url + WEBHOOK_PATH, secret="")
    said = sim.customer_says("Rahima", "Here", attachments=[picture(), PAGE, SOUND])
    whole = await shop.conversation_with(1, display_id=said.conversation.display_id)
    found: Json = whole["messages"][0]
    return found


async def test_a_picture_is_shown(shop: Company, message: Json) -> None:
    """Whole and small; its address in REST stays Chatwoot's."""
    for path in (
        f"/api/attachments/{message['id']}/0",
        f"/api/attachments/{message['id']}/0/thumb",
    ):
        answer = await shop.http.get(path)
        assert (answer.status_code, answer.content) == (200, picture().content)
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''receipt.png"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert "content-encoding" not in answer.headers
    assert message["attachments"][0]["url"].startswith("http://127.0.0.1:")


async def test_a_page_is_a_download(shop: Company, message: Json) -> None:
    """Whatever type Chatwoot says it has."""
    answer = await shop.http.get(f"/api/attachments/{message['id']}/1")
    assert (answer.status_code, answer.content) == (200, PAGE.content)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment;")


async def test_a_player_gets_the_part_it_asks_for(shop: Company, message: Json) -> None:
    """206 with its range."""
    answer = await shop.http.get(
        f"/api/attachments/{message['id']}/2", headers={"Range": "bytes=256-511"}
    )
    assert (answer.status_code, answer.content) == (206, bytes(range(256)))
    assert answer.headers["content-range"] == f"bytes 256-511/{len(SOUND.content)}"


@pytest.mark.parametrize("index", ["3", "-1", "00", "x", "1.0", "٠", "9" * 30])
async def test_what_a_message_does_not_have_is_not_found(
    shop: Company, message: Json, index: str
) -> None:
    """Nor is the small form of a page, nor a message that is not there."""
    for path in (f"{message['id']}/{index}", f"{message['id']}/1/thumb", "999999999/0", "0/0"):
        assert (await shop.http.get(f"/api/attachments/{path}")).status_code == 404


async def test_another_company_s_file_is_not_found(shop: Company, message: Json) -> None:
    """Nor is it given without a sign-in."""
    path = f"/api/attachments/{message['id']}/0"
    async with Company(shop.omni) as other:
        assert (await other.http.get(path)).status_code == 404
    async with shop.omni.client() as nobody:
        assert (await nobody.get(path)).status_code == 401


async def test_a_deleted_message_s_file_is_gone(
    shop: Company, sim: ChatwootSim, message: Json
) -> None:
    """As soon as we hear of it."""
    async with shop.socket() as agent:
        sim.delete_message(sim.messages[message["chatwootMessageId"]])
        await agent.wait_for(lambda event: event.kind == "message.updated")
    assert (await shop.http.get(f"/api/attachments/{message['id']}/0")).status_code == 404


async def test_a_file_that_leads_into_the_server_s_network_is_refused(
    shop: Company, sim: ChatwootSim, message: Json
) -> None:
    """A forged webhook names our own port; the answer is 502 and tells nothing of what is there."""
    forged = shop.message(700, conversation_id=7)
    forged["attachments"] = [
        {"id": 1, "file_type": "file", "data_url": f"{shop.omni.base_url}/metrics"}
    ]
    await shop.post(forged)
    whole = await shop.conversation_with(1, display_id=7)
    answer = await shop.http.get(f"/api/attachments/{whole['messages'][0]['id']}/0")
    assert (answer.status_code, answer.json()["code"]) == (502, "attachment_unavailable")
    assert shop.omni.base_url not in answer.text


RUDE = (
    "Content-Range: bytes 0-1/2\u20ac",
    "Content-Encoding: gzip, gzip",
    "Content-Type: \u20ac",
    "X-Fine: yes",
)


@pytest.mark.parametrize("head", RUDE)
async def test_a_rude_storage_takes_no_place_for_good(
    shop: Company, message: Json, head: str
) -> None:
    """More files than an agent, and than a company, may fetch at once, one after the other: none is
    refused as too many.
    """
    path = f"/api/attachments/{message['id']}/0"
    async with answering(f"{head}\r\n".encode(), b"ab") as url:
        await shop.change_integration(base_url=url)
        await shop.execute(
            "UPDATE social_messages SET omni_attachments = REPLACE(omni_attachments, :old, :new)",
            old=_place(message),
            new=url,
        )
        statuses = [(await shop.http.get(path)).status_code for _ in range(45)]
    assert set(statuses) == {502} if "Encoding" in head else set(statuses) == {200}


async def test_slow_files_of_one_company_leave_room_for_another_s(
    shop: Company, company: Company, message: Json
) -> None:
    """Four agents fetch files that do not come on: the company's places are taken, and neither the
    pool's nor another company's.
    """
    path = f"/api/attachments/{message['id']}/0"
    own = {"id": 1, "file_type": "image", "data_url": message["attachments"][0]["url"]}
    await company.change_integration(base_url=_place(message))
    theirs = company.message(1) | {"attachments": [own]}
    await company.post(theirs)
    other = (await company.conversation_with(1))["messages"][0]["id"]
    async with stalling() as url, contextlib.AsyncExitStack() as stack:
        await shop.change_integration(base_url=url)
        sql = (
            "UPDATE social_messages SET omni_attachments = REPLACE(omni_attachments, :old, "
            ":new) WHERE id = :id"
        )
        await shop.execute(sql, old=_place(message), new=url, id=message["id"])
        statuses = []
        for agent in range(4):
            http = await stack.enter_async_context(shop.omni.client(shop.token(f"slow {agent}")))
            for _ in range(12):
                answer = await stack.enter_async_context(http.stream("GET", path))
                statuses.append(answer.status_code)
        assert statuses == [200] * 40 + [429] * 8
        answer = await company.http.get(f"/api/attachments/{other}/0")
        assert answer.status_code == 200, answer.text


def _place(message: Json) -> str:
    scheme, _, rest = str(message["attachments"][0]["url"]).partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


async def test_no_name_turns_its_letters_around() -> None:
    """`gpj.exe` would be shown as `exe.jpg`."""
    assert (
        shown_as("image/png", "\u202egpj.exe\u2069")["Content-Disposition"]
        == "inline; filename*=UTF-8''gpj.exe"
    )


async def test_a_file_s_own_address_stays(shop: Company, message: Json) -> None:
    """By its id, its name decoded, though another file comes before it; its index then means that
    one. A link outside is fetched by neither.
    """
    base = "http://files.example/rails/active_storage/x"
    link = {"id": 1, "file_type": "fallback", "data_url": message["attachments"][0]["url"]}
    body = shop.message(701, conversation_id=8)
    body["attachments"] = [
        {"id": 9, "file_type": "file", "data_url": f"{base}/b%20c.pdf"},
        link,
    ]
    await shop.post(body)
    (told,) = (await shop.conversation_with(1, display_id=8))["messages"]
    assert [one["id"] for one in told["attachments"]] == [1, 9]
    assert told["attachments"][1]["name"] == "b c.pdf"
    assert (told["attachments"][0]["url"], told["attachments"][0]["link"]) == (
        None,
        link["data_url"],
    )
    for part in ("0", "id-1", "id-2"):
        answer = await shop.http.get(f"/api/attachments/{told['id']}/{part}")
        assert answer.status_code == 404
    own = message["attachments"][0]["id"]
    answer = await shop.http.get(f"/api/attachments/{message['id']}/id-{own}")
    assert (answer.status_code, answer.content) == (200, picture().content)
