"""What the page shows is what the log has, whatever was on its way when something happened."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Page, Route, expect

from tests.kit.eventually import eventually
from tests.kit.tcp_proxy import TcpProxy
from tests.web.conftest import OpenWindow
from tests.web.site import Site, says, shown_ids
from tests.web.test_inbox_line import NO_LINE, all_shown, further_back

MESSAGES = 130  # more than two pages
PAGE_MESSAGES = 50


class Held:
    """Answers that the server has given and the browser has not got yet."""

    def __init__(self) -> None:
        self.count = 0
        self._may_go = asyncio.Event()

    async def hold(self, route: Route) -> None:
        answer = await route.fetch()
        self.count += 1
        await self._may_go.wait()
        await route.fulfill(response=answer)

    def let_go(self) -> None:
        self._may_go.set()


@asynccontextmanager
async def held_back(page: Page, pattern: str) -> AsyncIterator[Held]:
    """Answers to addresses of that pattern stay on their way until they are let go."""
    held = Held()
    await page.route(pattern, held.hold)
    try:
        yield held
    finally:
        held.let_go()


async def long_thread(site: Site) -> tuple[str, int]:
    customer = site.new_customer()
    number = await site.writes(customer, *[str(n) for n in range(MESSAGES)])
    return customer, number


async def change(site: Site, number: int, place: int, text: str | None = None) -> None:
    """The message at that place gets another text in Chatwoot, or is deleted; returns when the
    server knows.
    """
    message = (await site.messages(number))[place]
    display_id = (await site.http.get(f"/api/conversations/{number}")).json()[
        "chatwootConversationId"
    ]
    there = next(
        m
        for m in site.sim.conversation(display_id).messages
        if m.id == message["chatwootMessageId"]
    )
    if text is None:
        site.sim.delete_message(there)
    else:
        site.sim.edit_message(there, text)

    async def is_known() -> bool:
        now = (await site.messages(number))[place]
        return bool(now["deleted"] if text is None else now["content"] == text)

    await eventually(is_known, limit=20)


async def test_a_message_that_arrives_while_its_thread_is_fetched_is_shown(
    site: Site, open_window: OpenWindow
) -> None:
    """It is not in the answer, which was read before; and it came before there was a thread to put
    it into.
    """
    customer = site.new_customer()
    number = await site.writes(customer, "one", "two")
    page = await (await open_window()).open()
    row = page.locator(f'#rows > li[data-key="{number}"]')
    async with held_back(page, "**/messages?*") as held:
        await row.locator("a").click()
        await eventually(lambda: held.count)
        await site.writes(customer, "three")
        await expect(row.locator("[data-f=preview]")).to_have_text("three")
    await expect(page.locator("#messages > li [data-f=body]")).to_have_text(["one", "two", "three"])
    await site.writes(customer, "four")
    await expect(page.locator("#messages > li [data-f=body]")).to_have_text(
        ["one", "two", "three", "four"]
    )
    await says(page, "live")


async def test_a_change_while_an_older_page_is_fetched_is_shown(
    site: Site, open_window: OpenWindow
) -> None:
    """The answer has the message as it was before."""
    _, number = await long_thread(site)
    page = await (await open_window()).open(f"/inbox/c/{number}")
    place = MESSAGES - PAGE_MESSAGES - 10
    async with held_back(page, "**/messages?*") as held:
        await page.evaluate("document.querySelector('#log').scrollTop = 0")
        await eventually(lambda: held.count)
        await change(site, number, place, "another text")
        await expect(page.locator("#messages > li")).to_have_count(PAGE_MESSAGES)
    changed = (await site.messages(number))[place]["id"]
    await expect(page.locator(f"#m{changed} [data-f=body]")).to_have_text("another text")
    await eventually(lambda: further_back(page, MESSAGES), limit=20)
    assert await all_shown(page, site, number)


async def test_a_change_to_an_old_message_tears_no_hole(
    site: Site, open_window: OpenWindow
) -> None:
    """It is deleted while only the newest page is there; every message can be scrolled to all the
    same.
    """
    customer, number = await long_thread(site)
    page = await (await open_window()).open(f"/inbox/c/{number}")
    await change(site, number, 20)
    await site.writes(customer, "after the change")
    await expect(page.locator("#messages > li").last.locator("[data-f=body]")).to_have_text(
        "after the change"
    )
    assert len(await shown_ids(page)) == PAGE_MESSAGES + 1
    await eventually(lambda: further_back(page, MESSAGES + 1), limit=20)
    assert await all_shown(page, site, number)
    deleted = (await site.messages(number))[20]["id"]
    await expect(page.locator(f"#m{deleted} [data-deleted]")).to_have_count(1)


async def test_a_page_from_further_back_becomes_the_newest(
    site: Site, open_window: OpenWindow
) -> None:
    """Where the link to older messages was opened in a tab of its own, nothing is missing between
    them and what comes next.
    """
    customer, number = await long_thread(site)
    oldest = (await site.messages(number))[-PAGE_MESSAGES]["id"]
    page = await (await open_window()).open(f"/inbox/c/{number}?before={oldest}")
    await site.writes(customer, "next")
    await expect(page.locator("#messages > li").last.locator("[data-f=body]")).to_have_text("next")
    await eventually(lambda: further_back(page, MESSAGES + 1), limit=20)
    assert await all_shown(page, site, number)


async def test_a_row_that_changes_while_its_list_is_fetched_is_as_it_is_now(
    site: Site, open_window: OpenWindow
) -> None:
    """The answer has the name's row with the text before."""
    customer = site.new_customer("Listed")
    number = await site.writes(customer, "old text")
    page = await (await open_window()).open()
    async with held_back(page, "**/api/conversations?*") as held:
        await page.fill("#q", customer)
        await eventually(lambda: held.count)
        await site.writes(customer, "new text")
        await expect(
            page.locator(f'#rows > li[data-key="{number}"] [data-f=preview]')
        ).to_have_text("new text")
    await expect(page.locator("#rows > li")).to_have_count(1)
    await expect(page.locator("#rows > li [data-f=preview]")).to_have_text("new text")


async def test_a_filter_chosen_without_a_line_is_made_good(
    site: Site, open_window: OpenWindow
) -> None:
    """The list of closed ones could not be fetched; with the line it is."""
    customer = site.new_customer()
    number = await site.writes(customer, "closed long ago")
    answer = await site.http.patch(
        f"/api/conversations/{number}",
        json={"status": "Closed"},
        headers={"Origin": site.omni.base_url},
    )
    assert answer.status_code == 200
    async with TcpProxy(site.omni.port) as proxy:
        window = await open_window(base_url=f"http://127.0.0.1:{proxy.port}")
        window.expected.append(NO_LINE)
        page = await window.open("/inbox")
        await expect(page.locator(f'#rows > li[data-key="{number}"]')).to_have_count(0)
        proxy.refuse_new()
        proxy.cut_all()
        await says(page, "offline", limit=60)
        await page.click('a[data-view="Closed"]')
        await expect(page.locator('a[data-view="Closed"][aria-current]')).to_have_count(1)
        proxy.accept_new()
        await says(page, "live", limit=60)
        await expect(page.locator(f'#rows > li[data-key="{number}"]')).to_have_count(
            1, timeout=30_000
        )
        await window.context.close()


async def test_a_thread_that_could_not_be_fetched_comes_by_itself(
    site: Site, open_window: OpenWindow
) -> None:
    """Also where the line was never away, so that nothing says that it is back."""
    customer = site.new_customer()
    number = await site.writes(customer, "hello?")
    window = await open_window()
    window.expected.append("Failed to load resource")
    page = await window.open()

    async def cut(route: Route) -> None:
        await route.abort("connectionreset")

    await page.route("**/messages?*", cut)
    await page.click(f'#rows > li[data-key="{number}"] a')
    await expect(page.locator("#thread-trouble")).to_be_visible()
    await page.unroute("**/messages?*", cut)
    await expect(page.locator("#messages > li")).to_have_count(1)
    await expect(page.locator("#thread-trouble")).to_be_hidden()
    await says(page, "live")
