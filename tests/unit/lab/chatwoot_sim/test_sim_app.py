"""The simulated Chatwoot's REST API, error shapes, files, page and control endpoint."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape

import httpx
import pytest

from server.lab.chatwoot_sim import (
    ChatwootSim,
    create_app,
    seed,
    serving,
)
from server.lab.chatwoot_sim.kind_catalogue import INBOXES, KINDS
from server.lab.chatwoot_sim.model import API_CHANNEL

pytestmark = pytest.mark.anyio

ACCOUNT = "/api/v1/accounts/1"


@asynccontextmanager
async def api(sim: ChatwootSim, token: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"api_access_token": sim.admin.access_token if token is None else token}
    transport = httpx.ASGITransport(create_app(sim))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://chat.test", headers=headers
    ) as http:
        yield http


async def test_both_spellings_of_the_header() -> None:
    """nginx drops the one with underscores."""
    sim = ChatwootSim()
    async with api(sim) as http:
        assert (await http.get("/api/v1/profile")).status_code == 200
        del http.headers["api_access_token"]
        http.headers["api-access-token"] = sim.admin.access_token
        assert (await http.get("/api/v1/profile")).json()["role"] == "administrator"


async def test_refusals_have_chatwoots_shapes() -> None:
    """No credentials, a wrong token, another account, an unknown one, an unknown conversation."""
    sim = ChatwootSim()
    sim.add_account("Other")
    async with api(sim) as http:
        anonymous = await http.get("/api/v1/profile", headers={"api_access_token": ""})
        wrong = await http.get("/api/v1/profile", headers={"api_access_token": "wrong"})
        foreign = await http.get("/api/v1/accounts/2/inboxes")
        unknown = await http.get(f"{ACCOUNT}/conversations/77")
    assert (anonymous.status_code, "errors" in anonymous.json()) == (401, True)
    assert (wrong.status_code, wrong.json()) == (401, {"error": "Invalid Access Token"})
    assert (foreign.status_code, foreign.json()) == (
        401,
        {"error": "You are not authorized to access this account"},
    )
    assert (unknown.status_code, unknown.json()) == (404, {"error": "Resource could not be found"})


async def test_agent_sees_only_its_inboxes() -> None:
    """An administrator sees all; an agent is refused elsewhere with 401, not 403."""
    sim = ChatwootSim()
    hidden = sim.add_inbox("Hidden", account=sim.account)
    agent = sim.add_user("Maya", account=sim.account, inboxes=(sim.inbox,))
    sim.customer_says("Ana", "seen")
    sim.customer_says("Ana", "hidden", inbox_id=hidden.id)
    async with api(sim, agent.access_token) as http:
        assert [i["id"] for i in (await http.get(f"{ACCOUNT}/inboxes")).json()["payload"]] == [
            sim.inbox.id
        ]
        listed = (await http.get(f"{ACCOUNT}/conversations")).json()["data"]
        refused = await http.get(f"{ACCOUNT}/conversations/2")
    assert ([c["id"] for c in listed["payload"]], listed["meta"]["all_count"]) == ([1], 1)
    assert (refused.status_code, refused.json()["error"]) == (
        401,
        "You are not authorized to do this action",
    )


async def test_bot_may_not_list() -> None:
    """An agent bot's token answers, but cannot be used for a sync."""
    sim = ChatwootSim()
    bot = sim.add_user("Helper", account=sim.account, bot=True)
    sim.customer_says("Ana", "Hello")
    async with api(sim, bot.access_token) as http:
        refused = await http.get(f"{ACCOUNT}/conversations")
        said = await http.post(
            f"{ACCOUNT}/conversations/1/messages", json={"content": "I am a bot"}
        )
    assert refused.json() == {"error": "Access to this endpoint is not authorized for bots"}
    assert said.json()["sender"]["type"] == "agent_bot"


async def test_list_shows_open_ones_unless_told() -> None:
    """The default status is `open`; activity lines and private notes show as the last message."""
    sim = ChatwootSim()
    sim.customer_says("Ana", "one")
    sim.set_status(sim.customer_says("Ben", "two").conversation, "resolved")
    async with api(sim) as http:
        opened = (await http.get(f"{ACCOUNT}/conversations")).json()["data"]["payload"]
        everything = (await http.get(f"{ACCOUNT}/conversations?status=all")).json()["data"][
            "payload"
        ]
    assert [c["id"] for c in opened] == [1]
    assert [c["id"] for c in everything] == [2, 1]
    assert everything[0]["messages"][0]["message_type"] == 2
    assert "contact_inbox" not in everything[0]
    assert isinstance(everything[0]["updated_at"], float)


async def test_status_toggles_and_an_agent_takes_what_it_opens() -> None:
    """Without `status` it flips; with an agent's token, opening assigns."""
    sim = ChatwootSim()
    agent = sim.add_user("Maya", account=sim.account, inboxes=(sim.inbox,))
    conversation = sim.customer_says("Ana", "Hello").conversation
    async with api(sim, agent.access_token) as http:
        first = await http.post(f"{ACCOUNT}/conversations/1/toggle_status")
        assert first.json()["payload"]["current_status"] == "resolved"
        assert conversation.assignee is None
        await http.post(f"{ACCOUNT}/conversations/1/toggle_status")
    taken = sim.conversation(1)
    assert (taken.status, taken.assignee) == ("open", agent)


async def test_assignee_of_nowhere_unassigns() -> None:
    """An unknown id is no error: body `null`, nobody assigned."""
    sim = ChatwootSim()
    sim.assign(sim.customer_says("Ana", "Hello").conversation, sim.admin)
    async with api(sim) as http:
        answer = await http.post(
            f"{ACCOUNT}/conversations/1/assignments", json={"assignee_id": 999}
        )
    assert (answer.status_code, answer.json(), sim.conversation(1).assignee) == (200, None, None)


async def test_labels_are_replaced() -> None:
    """The whole list, and back."""
    sim = ChatwootSim()
    sim.customer_says("Ana", "Hello")
    async with api(sim) as http:
        answer = await http.post(f"{ACCOUNT}/conversations/1/labels", json={"labels": ["vip"]})
        assert (
            answer.json()
            == (await http.get(f"{ACCOUNT}/conversations/1/labels")).json()
            == {"payload": ["vip"]}
        )


async def test_incoming_only_into_api_inboxes() -> None:
    """There the contact is the author; elsewhere 422."""
    sim = ChatwootSim()
    inbox = sim.add_inbox("API", account=sim.account, channel=API_CHANNEL)
    sim.customer_says("Ana", "web")
    sim.customer_says("Ana", "api", inbox_id=inbox.id)
    body = {"content": "from outside", "message_type": "incoming"}
    async with api(sim) as http:
        refused = await http.post(f"{ACCOUNT}/conversations/1/messages", json=body)
        taken = await http.post(f"{ACCOUNT}/conversations/2/messages", json=body)
    assert (refused.status_code, refused.json()["error"]) == (
        422,
        "Incoming messages are only allowed in Api inboxes",
    )
    assert (taken.json()["message_type"], taken.json()["sender"]["type"]) == (0, "contact")


async def test_uploaded_file_comes_back() -> None:
    """Multipart with content_attributes as text; the file's address redirects, and needs no
    sign-in.
    """
    sim = ChatwootSim(base_url="http://chat.test")
    sim.customer_says("Ana", "Hello")
    form = {
        "content": "see this",
        "private": "false",
        "content_attributes": json.dumps({"omni_client_id": "c"}),
    }
    async with api(sim) as http:
        files = {"attachments[]": ("note.txt", b"hello", "text/plain")}
        sent = (
            await http.post(f"{ACCOUNT}/conversations/1/messages", data=form, files=files)
        ).json()
        del http.headers["api_access_token"]
        served = await http.get(sent["attachments"][0]["data_url"], follow_redirects=True)
    assert (sent["content_attributes"], sent["private"]) == ({"omni_client_id": "c"}, False)
    assert (served.content, served.headers["content-disposition"]) == (b"hello", "attachment")


async def test_delete_and_retry_of_a_message() -> None:
    """Deleting is soft; a retry takes the error away, and leaves the rest."""
    sim = ChatwootSim()
    conversation = sim.customer_says("Ana", "Hello").conversation
    reply = sim.agent_says(conversation, "Hi", content_attributes={"omni_client_id": "c"})
    sim.mark_failed(reply, "channel is down")
    async with api(sim) as http:
        retried = await http.post(f"{ACCOUNT}/conversations/1/messages/{reply.id}/retry")
        deleted = await http.delete(f"{ACCOUNT}/conversations/1/messages/{reply.id}")
    after = retried.json()
    assert (after["status"], after["content_attributes"]) == ("sent", {"omni_client_id": "c"})
    assert deleted.json()["content_attributes"] == {"deleted": True}


async def test_webhook_urls_are_checked() -> None:
    """Form and uniqueness, in the shape of a model validation; unknown events too."""
    sim = ChatwootSim()
    async with api(sim) as http:
        for body, sentence in (
            ({"url": "javascript:alert(1)"}, "Url is invalid"),
            (
                {"url": "http://omni.test/", "subscriptions": ["everything"]},
                "Subscriptions Invalid events",
            ),
        ):
            refused = await http.post(f"{ACCOUNT}/webhooks", json=body)
            assert (refused.status_code, refused.json()["message"]) == (422, sentence)
        wrapped = await http.post(
            f"{ACCOUNT}/webhooks", json={"webhook": {"url": "http://omni.test/"}}
        )
        made = wrapped.json()["payload"]["webhook"]
        assert len(made["subscriptions"]) == 8
        assert (await http.delete(f"{ACCOUNT}/webhooks/{made['id']}")).status_code == 200
    assert sim.hooks == []


async def test_rate_limit_is_plain_text_without_retry_after() -> None:
    """As rack-attack answers; by switch, and above a number of requests a minute."""
    sim = ChatwootSim(clock=lambda: 1_784_365_265.0)
    sim.switches.set(requests_per_minute=1)
    async with api(sim) as http:
        assert (await http.get("/api/v1/profile")).status_code == 200
        refused = await http.get("/api/v1/profile")
    assert (refused.status_code, refused.text) == (429, "Retry later\n")
    assert refused.headers["content-type"].startswith("text/plain")
    assert "retry-after" not in refused.headers


async def test_tokens_can_stop_working() -> None:
    """The switch a revoked token is tested with."""
    sim = ChatwootSim()
    sim.switches.set(unauthorized=True)
    async with api(sim) as http:
        assert (await http.get("/api/v1/profile")).json() == {"error": "Invalid Access Token"}


async def test_writing_as_a_customer_on_the_page() -> None:
    """New customer, message, picture; the overview shows them, and neither notes nor activity
    lines.
    """
    sim = ChatwootSim()
    async with api(sim) as http:
        customer = (await http.post("/sim/customers", json={"name": "  রহিমা "})).json()["id"]
        await http.post("/sim/say", json={"customer_id": customer, "text": "দাম কত?"})
        await http.post("/sim/say", json={"customer_id": customer, "picture": True})
        sim.agent_says(1, "৳ 1,200")
        sim.private_note(1, "careful")
        sim.set_labels(1, ["sales"])
        overview = (await http.get(f"/sim/overview?customer={customer}")).json()
    messages = overview["thread"]["messages"]
    assert [(m["mine"], m["text"]) for m in messages] == [
        (True, "দাম কত?"),
        (True, ""),
        (False, "৳ 1,200"),
    ]
    assert messages[1]["files"][0]["image"]
    assert overview["customers"][0]["name"] == "রহিমা"


async def test_page_has_no_inline_script_and_its_files_exist() -> None:
    """One module, one style sheet, a strict policy."""
    sim = ChatwootSim()
    seed(sim)
    async with api(sim) as http:
        page = await http.get("/")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert (
            page.text.count("<script")
            == page.text.count('<script src="/static/page.js" type="module"></script>')
            == 1
        )
        for name in ("page.js", "page.css", "icon.svg"):
            assert (await http.get(f"/static/{name}")).status_code == 200


async def test_page_refuses_what_it_cannot_use() -> None:
    """Nobody chosen, nothing written, no name, a form of a foreign site, impossible switches."""
    sim = ChatwootSim()
    async with api(sim) as http:
        for path, body in (
            ("/sim/say", {"customer_id": 99, "text": "Hello"}),
            ("/sim/say", {"customer_id": "x"}),
            ("/sim/customers", {"name": " "}),
            ("/sim/switches", {"drop_rate": 2}),
            ("/sim/kinds", {"kind": "no such kind"}),
            ("/sim/kinds", {}),
        ):
            assert (await http.post(path, json=body)).status_code == 422
        form = await http.post(
            "/sim/customers", content='{"name": "Eve"}', headers={"content-type": "text/plain"}
        )
        assert form.status_code == 422
        assert (await http.get("/sim/overview?customer=nonsense")).status_code == 200
    assert sim.contacts == {}


async def test_every_kind_of_message_can_be_written_by_its_name() -> None:
    """The menu has all kinds; one is written as its own customer, whom the page then shows."""
    sim = ChatwootSim()
    async with api(sim) as http:
        page = (await http.get("/")).text
        for inbox in INBOXES:
            assert f'<optgroup label="{inbox.name}">' in page
            for kind in inbox.kinds:
                assert f'<option value="{kind.id}">{escape(kind.name)}</option>' in page
        answer = await http.post("/sim/kinds", json={"kind": "77-ig-story-reply"})
        assert answer.status_code == 201
        customer = answer.json()["customer_id"]
        thread = (await http.get(f"/sim/overview?customer={customer}")).json()["thread"]
        assert (thread["inbox"], thread["messages"][-1]["text"]) == ("Instagram", "so pretty")
        picture = await http.get(thread["messages"][-1]["files"][0]["url"])
        assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
        for kind_id in KINDS:
            shown = (await http.post("/sim/kinds", json={"kind": kind_id})).json()["customer_id"]
            assert (await http.get(f"/sim/overview?customer={shown}")).status_code == 200
        again = await http.post("/sim/kinds", json={"kind": "75-ig-text"})
        assert again.json()["customer_id"] == customer


async def test_switches_over_http() -> None:
    """Set some, see all; the page's own addresses stay healthy."""
    sim = ChatwootSim()
    async with api(sim) as http:
        answer = await http.post("/sim/switches", json={"fail_next": 1, "duplicate": "same_id"})
        assert answer.json() == (await http.get("/sim/switches")).json()
        assert (await http.get("/api/v1/profile")).status_code == 500
        assert (await http.get("/api/v1/profile")).status_code == 200
    assert sim.switches.duplicate == "same_id"


@pytest.mark.parametrize(
    ("fault", "problem"),
    [("lose_next", "disconnected without"), ("truncate_next", "without sending complete")],
)
async def test_connections_really_break(fault: str, problem: str) -> None:
    """On a real socket: cut before the first byte, or in the middle of the body. The message was
    stored all the same.
    """
    sim = ChatwootSim()
    sim.customer_says("Ana", "Hello")
    async with serving(sim) as url, httpx.AsyncClient(base_url=url, trust_env=False) as http:
        http.headers["api-access-token"] = sim.admin.access_token
        sim.switches.set(**{fault: 1})
        with pytest.raises(httpx.TransportError, match=rf"{problem}|^$"):
            await http.post(f"{ACCOUNT}/conversations/1/messages", json={"content": "Hi"})
        assert (
            await http.post(f"{ACCOUNT}/conversations/1/messages", json={"content": "Hi"})
        ).status_code == 200
    assert len(sim.messages) == 3
