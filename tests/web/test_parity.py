"""Rows and messages look the same whether the server's templates or the page's scripts print them.

The page is loaded without its main module, so that what the server printed stays; then the scripts' own functions
print the same objects from the boot data, and the two are compared as normalised markup.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.testclient import TestClient

from server.endpoints import pages

WEB = Path(__file__).parents[2] / "web"
ORIGIN = "http://inbox.test"
ZONE = "Asia/Dhaka"
OPEN_ID = 3

# what the scripts print for the boot data, and what the server printed, as comparable strings
COMPARE = """async (build) => {
  const load = (name) => import(`/static/${build}/js/${name}.js`);
  const [{ createI18n }, { createRow, fillRow }, { arrange, createMessage, fillMessage, firstNew }] =
    await Promise.all(["i18n", "row", "message"].map(load));
  const boot = JSON.parse(document.querySelector("#boot").textContent);
  const i18n = createI18n(boot);
  const rows = boot.list.items.map((conversation) => {
    const node = createRow();
    const isOpen = conversation.id === boot.thread.id;
    fillRow(node, conversation, { i18n, unread: conversation.unreadCount, isOpen, draft: "", query: "" });
    return node;
  });
  const { messages, unreadCount } = boot.thread;
  const items = arrange(messages, firstNew(messages, unreadCount), i18n).map((item) => {
    const node = createMessage();
    fillMessage(node, item, i18n);
    return node;
  });
  function normal(node) {
    if (node.nodeType === Node.TEXT_NODE) return node.data.trim() ? node.data : "";
    const attributes = [...node.attributes].map(({ name, value }) => `${name}=${JSON.stringify(value)}`).sort();
    return `<${[node.localName, ...attributes].join(" ")}>${[...node.childNodes].map(normal).join("")}</>`;
  }
  const printed = (selector) => [...document.querySelectorAll(selector)].map(normal);
  return { rows: [printed("#rows > li"), rows.map(normal)], messages: [printed("#messages > li"), items.map(normal)] };
}"""


def _iso(ago: timedelta) -> str:
    return (datetime.now(UTC) - ago).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _conversation(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "companyId": 1,
        "platform": "chatwoot",
        "externalUserId": f"chatwoot_{number}_{number}",
        "externalUserName": "Léa Moreau",
        "status": "Open",
        "lastMessageAt": _iso(timedelta(minutes=number, seconds=30)),
        "createdAt": _iso(timedelta(days=9)),
        "updatedAt": _iso(timedelta(days=9)),
        "contact": {"id": number, "email": "lea@example.org", "phone": None, "identifier": None},
        "waitingSince": None,
        "canReply": True,
        "preview": {"content": "Hello, where is order #5512?", "senderType": "customer", "hasAttachments": False},
        "inboundCount": 4,
        "readCount": 4,
        "unreadCount": 0,
        "seq": number,
        **more,
    }


def _preview(content: str, sender_type: str = "customer", has_attachments: bool = False) -> dict[str, Any]:
    return {"content": content, "senderType": sender_type, "hasAttachments": has_attachments}


def _conversations() -> list[dict[str, Any]]:
    return [
        _conversation(1, unreadCount=1, readCount=3),
        _conversation(2, unreadCount=120, externalUserName="মোঃ আব্দুল্লাহ আল মামুন"),
        _conversation(OPEN_ID, unreadCount=2, externalUserName=None, preview=None),
        _conversation(4, lastMessageAt=None, contact=None),
        _conversation(5, preview=_preview("", has_attachments=True), waitingSince=_iso(timedelta(minutes=20, seconds=30))),
        _conversation(6, preview=_preview("{n} <b>&", "agent"), waitingSince=_iso(timedelta(hours=5, seconds=30))),
        _conversation(7, status="Closed", waitingSince=_iso(timedelta(days=5)), lastMessageAt=_iso(timedelta(days=1))),
        _conversation(8, externalUserName="🙂 …", lastMessageAt=_iso(timedelta(days=200))),
        _conversation(9, externalUserName="<script>'\"", lastMessageAt=_iso(timedelta(days=800))),
        _conversation(10, waitingSince=_iso(timedelta(days=3, seconds=30)), externalUserName="স্ত্রী"),
    ]


def _message(number: int, ago: timedelta, sender_type: str = "customer", **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "conversationId": OPEN_ID,
        "senderType": sender_type,
        "content": f"text {number}",
        "createdAt": _iso(ago),
        "senderName": "Léa Moreau" if sender_type == "customer" else "Tomas Berg",
        "contentType": "text",
        "private": False,
        "deleted": False,
        "attachments": [],
        "chatwootMessageId": number,
        "clientId": None,
        "agentId": None,
        "deliveryState": None,
        "deliveryError": None,
        "seq": number,
        **more,
    }


def _file(kind: str, url: str, **more: Any) -> dict[str, Any]:
    return {"id": 1, "type": kind, "url": url, "thumbUrl": None, "name": None, "width": None, "height": None, **more}


def _messages() -> list[dict[str, Any]]:
    files = [
        _file("image", "https://files.example/a.png", name="receipt.png", width=1080, height=2220),
        _file("image", "https://files.example/b.png", thumbUrl="https://files.example/b-thumb.png"),
        _file("file", "https://files.example/c.pdf?a=1&b=2", name="চালান.pdf"),
        _file("file", "javascript:alert(1)", name="evil"),
        _file("audio", "https://files.example/d.ogg"),
    ]
    refused = {"code": "not_in_the_catalogue", "message": "Chatwoot refused the reply."}
    hours, minutes = timedelta(hours=1), timedelta(minutes=1)
    return [
        _message(1, timedelta(days=400), content="১২৩ <b>bold</b> & more\nsecond line"),
        _message(2, timedelta(days=30), senderName=None),
        _message(3, timedelta(days=1), "agent", senderName=None),
        _message(4, 3 * hours, "agent", private=True, content="A note"),
        _message(5, 3 * hours, "agent", private=True, content="  one more "),
        _message(6, 50 * minutes, attachments=files, content=""),
        _message(7, 49 * minutes, deleted=True, attachments=files),
        _message(8, 30 * minutes, "agent", clientId="b1b2", deliveryState="sent"),
        _message(9, 29 * minutes, "agent", clientId="b1b3", deliveryState="failed", deliveryError=refused),
        _message(10, 28 * minutes, "agent", clientId="b1b4", deliveryState="failed", deliveryError=None),
        _message(11, 2 * minutes, "agent", clientId="b1b5", deliveryState="sending"),
    ]


class Agent:
    id = 7
    company_id = 1
    name = "Tomas Berg"


class FixedData:
    """The same objects for every question."""

    async def authenticate(self, request: Request) -> pages.PageAgent | None:
        return Agent()

    async def sign_in(self, email: str, password: str, address: str) -> str | None:
        return None

    async def sign_out(self, request: Request) -> str:
        return "omni_session=; Max-Age=0"

    async def cursor(self, agent: pages.PageAgent) -> str:
        return "epoch.12"

    async def list_conversations(
        self, agent: pages.PageAgent, *, status: str | None, q: str, limit: int, before: str | None
    ) -> pages.ConversationPage:
        return pages.ConversationPage(_conversations(), None)

    async def get_thread(self, agent: pages.PageAgent, conversation_id: int, *, limit: int, before: int | None) -> dict[str, Any] | None:
        return {**_conversations()[OPEN_ID - 1], "messages": _messages()}

    async def reply(self, agent: pages.PageAgent, conversation_id: int, *, content: str, client_id: str, is_private: bool) -> None:
        raise NotImplementedError


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The thread's page as the server prints it, in the language the test asks for, without its main module."""
    with TestClient(Starlette(routes=pages.routes(WEB, lambda _: FixedData())), ORIGIN) as client:
        context = browser.new_context(timezone_id=ZONE)
        context.add_cookies(
            [{"name": f"omni_{key}", "value": value, "url": ORIGIN} for key, value in (("lang", request.param), ("tz", ZONE))]
        )

        def answer(route: Route) -> None:
            if route.request.url.endswith("/main.js"):
                return route.abort()
            got = client.get(route.request.url, headers=route.request.all_headers())
            return route.fulfill(status=got.status_code, headers=dict(got.headers), body=got.content)

        context.route(f"{ORIGIN}/**", answer)
        context.route("https://files.example/**", lambda route: route.abort())
        opened = context.new_page()
        opened.goto(f"{ORIGIN}/inbox/c/{OPEN_ID}")
        yield opened
        context.close()


@pytest.mark.parametrize("page", ["en", "bn"], indirect=True)
def test_scripts_print_what_the_server_printed(page: Page) -> None:
    """Same objects, same markup: a page does not change when its scripts take over."""
    build = (page.get_attribute("link[rel=stylesheet]", "href") or "").split("/")[2]
    compared = page.evaluate(COMPARE, build)
    for kind, count in (("rows", len(_conversations())), ("messages", len(_messages()))):
        by_server, by_scripts = compared[kind]
        assert len(by_server) == count
        assert by_scripts == by_server
