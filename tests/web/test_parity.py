"""Rows and messages look the same whether the server's templates or the page's scripts print them.

The page is loaded without its main module, so that what the server printed stays; then the scripts'
own functions print the same objects from the boot data, and the two are compared as normalised
markup.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Page, Route
from starlette.applications import Starlette

from server.http.pages import inbox_pages
from tests.web.fixed_data import (
    OPEN_ID,
    FixedData,
    conversations,
    messages,
)

WEB = Path(__file__).parents[2] / "web"
ORIGIN = "http://inbox.test"
ZONE = "Asia/Dhaka"

# what the scripts print for the boot data, and what the server printed, as comparable strings
COMPARE = """async (build) => {
  const load = (name) => import(`/static/${build}/js/${name}.js`);
  const [{ createI18n }, { clone }, { fillRow }, { arrange, fillMessage, firstNew }] =
    await Promise.all(["i18n", "dom", "list", "message"].map(load));
  const boot = JSON.parse(document.querySelector("#boot").textContent);
  const i18n = createI18n(boot);
  const rows = boot.list.items.map((conversation) => {
    const node = clone("t-row");
    const isOpen = conversation.id === boot.thread.id;
    fillRow(node, conversation, { i18n, unread: conversation.unreadCount, isOpen, draft: "", query: "" });
    return node;
  });
  const { messages, unreadCount } = boot.thread;
  const items = arrange(messages, firstNew(messages, unreadCount), i18n).map((item) => {
    const node = clone("t-message");
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
}"""  # noqa: E501


@pytest.fixture
async def page(browser: Browser, request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    """The thread's page as the server prints it, in the language the test asks for, without its
    main module.
    """
    data = FixedData()
    app = Starlette(routes=inbox_pages.routes(WEB, lambda _: data))
    context = await browser.new_context(timezone_id=ZONE)
    cookies = (("lang", request.param), ("tz", ZONE))
    await context.add_cookies(
        [{"name": f"omni_{key}", "value": value, "url": ORIGIN} for key, value in cookies]
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as client:

        async def answer(route: Route) -> None:
            if route.request.url.endswith("/main.js"):
                return await route.abort()
            got = await client.get(route.request.url, headers=await route.request.all_headers())
            return await route.fulfill(
                status=got.status_code, headers=dict(got.headers), body=got.content
            )

        await context.route(f"{ORIGIN}/**", answer)
        await context.route("https://files.example/**", lambda route: route.abort())
        opened = await context.new_page()
        await opened.goto(f"{ORIGIN}/inbox/c/{OPEN_ID}")
        yield opened
        await context.close()


@pytest.mark.parametrize("page", ["en", "bn"], indirect=True)
async def test_scripts_print_what_the_server_printed(page: Page) -> None:
    """Same objects, same markup: a page does not change when its scripts take over."""
    build = (await page.get_attribute("link[rel=stylesheet]", "href") or "").split("/")[2]
    compared = await page.evaluate(COMPARE, build)
    for kind, count in (("rows", len(conversations())), ("messages", len(messages()))):
        by_server, by_scripts = compared[kind]
        assert len(by_server) == count
        assert by_scripts == by_server
