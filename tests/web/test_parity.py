"""Rows and messages look the same whether the server's templates or the page's scripts print them.

The page is loaded without its main module, so that what the server printed stays; then the scripts'
own functions print the same objects from the boot data, and the two are compared as normalised
markup.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from playwright.async_api import Browser, Page, Route

from tests.web.fixed_data import (
    KINDS_ID,
    MARKED_ID,
    OPEN_ID,
    ORIGIN,
    Pages,
    conversations,
    kind_messages,
    messages,
    running_pages,
)

ZONE = "Asia/Dhaka"

# what the scripts print for the boot data, and what the server printed, as comparable strings
COMPARE = """async (build) => {
  const load = (name) => import(`/static/${build}/js/${name}.js`);
  const [{ createI18n }, { clone }, { fillRow }, { arrange, fillMessage, firstNew, loadForms }] =
    await Promise.all(["i18n", "dom", "list", "message"].map(load));
  const boot = JSON.parse(document.querySelector("#boot").textContent);
  const i18n = createI18n(boot);
  await loadForms();
  const { fillHeadMarks, prepareMarks } = await load("later/marks");
  prepareMarks({ store: { conversations: () => boot.list.items } });
  const rows = boot.list.items.map((conversation) => {
    const node = clone("t-row");
    const isOpen = conversation.id === boot.thread.id;
    fillRow(node, conversation, { i18n, unread: conversation.unreadCount, isOpen, draft: "", query: location.search });
    return node;
  });
  const { messages, unreadCount } = boot.thread;
  const items = arrange(messages, firstNew(messages, unreadCount), i18n, boot.thread).map((item) => {
    const node = clone("t-message");
    fillMessage(node, item, i18n);
    return node;
  });
  function normal(node) {
    if (node.nodeType === Node.TEXT_NODE) return node.data.trim() ? node.data : "";
    const attributes = [...node.attributes].map(({ name, value }) => `${name}=${JSON.stringify(value)}`).sort();
    return `<${[node.localName, ...attributes].join(" ")}>${[...node.childNodes].map(normal).join("")}</>`;
  }
  const head = document.querySelector("#thread-head");
  const heads = () => [normal(head)];
  const before = heads();
  head.querySelector("[data-f=chips]").replaceChildren();
  fillHeadMarks(head, boot.thread, i18n);
  const printed = (selector) => [...document.querySelectorAll(selector)].map(normal);
  return { rows: [printed("#rows > li"), rows.map(normal)], messages: [printed("#messages > li"), items.map(normal)],
    heads: [before, heads()] };
}"""  # noqa: E501


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """In a loop of its own, as a server of its own would be."""
    with (
        ThreadPoolExecutor(1) as thread,
        ExitStack() as stack,
    ):
        folder = tmp_path_factory.mktemp("parity")
        entered = thread.submit(stack.enter_context, running_pages(folder))
        yield entered.result()
        thread.submit(stack.close).result()


@pytest.fixture
async def page(
    browser: Browser, request: pytest.FixtureRequest, pages: Pages
) -> AsyncIterator[Page]:
    """The thread's page as the server prints it, in the language the test asks for, without its
    main module.
    """
    lang, conversation_id = request.param
    name, value = pages.sign_in()
    context = await browser.new_context(timezone_id=ZONE)
    cookies = (("lang", lang), ("tz", ZONE))
    await context.add_cookies(
        [{"name": f"omni_{key}", "value": value, "url": ORIGIN} for key, value in cookies]
    )

    async def answer(route: Route) -> None:
        if route.request.url.endswith("/main.js"):
            return await route.abort()
        headers = await route.request.all_headers()
        headers["cookie"] = f"{headers.get('cookie', '')}; {name}={value}"
        got = await asyncio.to_thread(pages.http.get, route.request.url, headers=headers)
        return await route.fulfill(
            status=got.status_code, headers=dict(got.headers), body=got.content
        )

    await context.route(f"{ORIGIN}/**", answer)
    await context.route("https://files.example/**", lambda route: route.abort())
    opened = await context.new_page()
    await opened.goto(f"{ORIGIN}/inbox/c/{conversation_id}?status=all")
    yield opened
    await context.close()


@pytest.mark.parametrize(
    ("page", "count"),
    [
        ((lang, number), len(shown()))
        for lang in ("en", "bn")
        for number, shown in ((OPEN_ID, messages), (KINDS_ID, kind_messages), (MARKED_ID, list))
    ],
    indirect=["page"],
)
async def test_scripts_print_what_the_server_printed(page: Page, count: int) -> None:
    """Same objects, same markup: a page does not change when its scripts take over."""
    build = (await page.get_attribute("link[rel=stylesheet]", "href") or "").split("/")[2]
    compared = await page.evaluate(COMPARE, build)
    rows = len(conversations())
    for kind, expected in (("rows", rows), ("messages", count), ("heads", 1)):
        by_server, by_scripts = compared[kind]
        assert len(by_server) == expected
        assert by_scripts == by_server
