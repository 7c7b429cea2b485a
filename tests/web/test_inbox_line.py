"""The line between browser and server: cut, refused, shared by tabs. What agents see stays true, or
says that it is not.
"""

import asyncio
import contextlib
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.kit.eventually import eventually
from tests.kit.tcp_proxy import TcpProxy
from tests.web.conftest import OpenWindow
from tests.web.site import (
    PASSWORD,
    READ_SECONDS,
    Site,
    email_of,
    new_window,
    says,
    shown_ids,
)

# what a browser says of requests that found no line
NO_LINE = "net::ERR_|WebSocket connection to"
MESSAGES = 500
SHOWN_MOST = 300  # as long as nobody reads further back
BOTH_TRANSPORTS = pytest.mark.parametrize(
    "transport", ["", "?transport=page"], ids=["worker", "page"]
)


@asynccontextmanager
async def without_sockets(server_port: int) -> AsyncIterator[str]:
    """A middlebox that knows no WebSocket: it answers upgrades with 403 and passes everything else
    on. Gives its address.
    """

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            first = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return
        if b"upgrade: websocket" in first.lower():
            writer.write(
                b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            writer.close()
            return
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", server_port)
        server_writer.write(first)
        async with asyncio.TaskGroup() as group:
            group.create_task(pump(reader, server_writer))
            group.create_task(pump(server_reader, writer))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()


async def further_back(page: Page, count: int) -> bool:
    """Scroll up until so many messages are there."""
    await page.evaluate("document.querySelector('#log').scrollTop = 0")
    return len(await shown_ids(page)) >= count


async def all_shown(page: Page, site: Site, number: int, *, most: int | None = None) -> bool:
    """Whether the thread on the page is the one in the database: same messages, same order, none
    twice; `most`: the newest so many.
    """
    stored = [message["id"] for message in await site.messages(number)][-(most or 0) :]
    shown = await shown_ids(page)
    assert shown == stored, f"{len(shown)} shown, {len(stored)} stored"
    return True


@BOTH_TRANSPORTS
async def test_random_cuts_lose_and_double_nothing(
    site: Site, open_window: OpenWindow, transport: str
) -> None:
    """Five hundred messages flow while the line is cut again and again; in the end all of them are
    there, in order, once.
    """
    customer, rng = site.new_customer(), random.Random(4711)
    number = await site.writes(customer, "0")
    async with TcpProxy(site.omni.port) as proxy:
        window = await open_window(base_url=f"http://127.0.0.1:{proxy.port}")
        window.expected.append(NO_LINE)
        page = await window.open(f"/inbox/c/{number}{transport}")
        cuts = 0
        for text in range(1, MESSAGES):
            site.sim.customer_says(customer, str(text))
            if text % 5 == 0:
                await site.sim.webhooks.flushed()
            if rng.random() < 0.03:
                await eventually(lambda: proxy.open_count)
                cuts += proxy.cut_all() > 0
        assert cuts > 3
        await says(page, "live", limit=40)
        await site.sim.webhooks.flushed()
        await eventually(lambda: all_shown(page, site, number, most=SHOWN_MOST), limit=20)
        await eventually(lambda: further_back(page, MESSAGES), limit=20)
        assert await all_shown(page, site, number)
        await window.context.close()


@BOTH_TRANSPORTS
async def test_the_chip_tells_the_truth_about_the_line(
    site: Site, open_window: OpenWindow, transport: str
) -> None:
    """Reconnecting at once, offline while nothing answers, live again; what both sides wrote
    meanwhile is there.

    The reply was written blind, so it is held until the agent has seen what the customer wrote.
    """
    customer = site.new_customer()
    number = await site.writes(customer, "before")
    async with TcpProxy(site.omni.port) as proxy:
        window = await open_window(base_url=f"http://127.0.0.1:{proxy.port}")
        window.expected += [NO_LINE, "409"]
        page = await window.open(f"/inbox/c/{number}{transport}")
        proxy.refuse_new()
        proxy.cut_all()
        await says(page, "reconnecting")
        await site.writes(customer, "meanwhile")
        await says(page, "offline")
        await page.fill("#reply", "written without a line")
        await page.press("#reply", "Enter")
        await expect(page.locator('#messages > li[data-state="waiting"]')).to_have_count(1)
        proxy.accept_new()
        await says(page, "live", limit=40)
        await page.get_by_role("button", name="Send anyway").click()
        await expect(page.locator('#messages > li[data-state="sent"]')).to_have_count(1)
        await eventually(lambda: all_shown(page, site, number))
        assert site.replies_to(customer) == ["written without a line"]
        await window.context.close()


async def test_without_sockets_the_page_polls(site: Site, open_window: OpenWindow) -> None:
    """Behind a middlebox that refuses WebSockets messages still come, replies still go, and the
    chip says how.
    """
    customer = site.new_customer()
    number = await site.writes(customer, "before")
    async with without_sockets(site.omni.port) as address:
        window = await open_window(base_url=address)
        window.expected.append(NO_LINE)
        page = await window.open(f"/inbox/c/{number}", until="polling")
        await site.writes(customer, "by polling")
        await expect(page.locator("#messages > li").last.locator("[data-f=body]")).to_have_text(
            "by polling"
        )
        await asyncio.sleep(READ_SECONDS)
        await page.fill("#reply", "answered")
        await page.press("#reply", "Enter")
        await expect(page.locator('#messages > li[data-state="sent"]')).to_have_count(1)
        assert site.replies_to(customer) == ["answered"]
        await window.context.close()


@pytest.mark.parametrize(
    ("transport", "sockets"), [("", 1), ("?transport=page", 3)], ids=["worker", "page"]
)
async def test_tabs_share_one_socket(
    site: Site, open_window: OpenWindow, transport: str, sockets: int
) -> None:
    """One per browser with a SharedWorker, one per tab without; the others live on when the first
    tab is closed.
    """
    customer = site.new_customer()
    number = await site.writes(customer, "before")

    async def count_is(wanted: int) -> bool:
        assert await site.sockets_open() == wanted
        return True

    await eventually(lambda: count_is(0), limit=15)
    window = await open_window()
    tabs = [await window.open(f"/inbox/c/{number}{transport}") for _ in range(3)]
    await eventually(lambda: count_is(sockets))
    await tabs[0].close()
    await site.writes(customer, "to those who stay")
    for tab in tabs[1:]:
        await expect(tab.locator("#messages > li").last.locator("[data-f=body]")).to_have_text(
            "to those who stay"
        )
        await expect(tab.locator("#chip")).to_have_attribute("data-word", "live")


async def test_a_restarted_server_is_found_again(site: Site, open_window: OpenWindow) -> None:
    """A deploy costs the agents a moment: still signed in, live again, nothing shown twice."""
    customer = site.new_customer()
    number = await site.writes(customer, "before")
    window = await open_window()
    window.expected.append(NO_LINE)
    page = await window.open(f"/inbox/c/{number}")
    await anyio.to_thread.run_sync(site.omni.restart)
    await site.writes(customer, "after")
    await expect(page.locator("#messages > li").last.locator("[data-f=body]")).to_have_text("after")
    await says(page, "live", limit=40)
    await eventually(lambda: all_shown(page, site, number))


async def test_a_page_from_the_back_forward_cache_is_up_to_date_again(
    site: Site, chromium_path: str
) -> None:
    """The browser kept it as it was; it has what was missed and is live before anybody looks for
    it.
    """
    customer = site.new_customer()
    number = await site.writes(customer, "before")
    async with async_playwright() as playwright:
        kept = ["--disable-back-forward-cache"]  # what Playwright would ask for
        browser = await playwright.chromium.launch(
            executable_path=chromium_path, args=["--no-sandbox"], ignore_default_args=kept
        )
        window = await new_window(site, browser)
        page = await window.open(f"/inbox/c/{number}")
        await page.evaluate("globalThis.isTheSame = true")
        await page.goto(f"{window.base_url}/inbox/settings")
        await site.writes(customer, "while it was away")
        await page.evaluate("history.back()")
        await expect(page.locator("#messages > li").last.locator("[data-f=body]")).to_have_text(
            "while it was away"
        )
        await says(page, "live")
        assert await page.evaluate("globalThis.isTheSame === true")
        assert window.faults == []
        await browser.close()


async def test_who_signs_out_elsewhere_is_told_so(site: Site, open_window: OpenWindow) -> None:
    """Not that something is forbidden or broken: the chip leads to the sign-in."""
    window = await open_window(None)
    page = await window.open("/sign-in", until=None)
    await page.fill("[name=email]", email_of("tomas"))
    await page.fill("[name=password]", PASSWORD)
    await page.click(".primary")
    await says(page, "live")
    window.expected.append("401")
    await page.evaluate("fetch('/api/sessions', { method: 'DELETE' })")
    await expect(page.locator("#chip [data-f=word]")).to_have_text("You are signed out")
    await page.click("#chip a")
    await expect(page).to_have_url(re.compile("/sign-in"))
