"""The list under live changes: true to its view, counted right, still under focus and pointer,
small in the document.
"""

import asyncio
import re

import pytest
from playwright.async_api import Page, Route, expect

from server.db.engine.database import Connection, Database
from server.db.state import eventlog
from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.site import Site, press_shortcut

ROWS = "#rows > li"
FAR = 70  # more than a page
MANY = 360  # more than the document may hold
KEYS = "nodes => nodes.map(({ dataset }) => Number(dataset.key))"


def row(number: int) -> str:
    return f'{ROWS}[data-key="{number}"]'


async def close_in_chatwoot(site: Site, customer: str) -> None:
    contact = site.sim.find_contact(customer, site.sim.account)
    assert contact is not None
    site.sim.set_status(site.sim.conversations_of(contact)[-1], "resolved")
    await site.sim.webhooks.flushed()


async def counted(page: Page, view: str) -> int:
    text = await page.locator(f'a[data-view="{view}"] [data-f=count]').text_content()
    return int(text or 0)


async def test_a_row_leaves_the_view_it_no_longer_belongs_to(
    site: Site, open_window: OpenWindow
) -> None:
    """Closed elsewhere, it goes from "Open" and stands in "Closed"; each view has its address."""
    customer = site.new_customer()
    number = await site.writes(customer, "for a while")
    window = await open_window()
    opened, closed = await window.open(), await window.open("/inbox?status=Closed")
    await expect(opened.locator(row(number))).to_be_visible()
    await expect(closed.locator(row(number))).to_have_count(0)
    await close_in_chatwoot(site, customer)
    await expect(opened.locator(row(number))).to_have_count(0)
    await expect(closed.locator(row(number))).to_be_visible()


async def test_the_platform_is_part_of_the_address(site: Site, open_window: OpenWindow) -> None:
    """Chosen, kept over a reload, gone back from."""
    number = await site.writes(site.new_customer(), "from Chatwoot")
    page = await (await open_window()).open()
    await page.select_option("#platform", "facebook")
    await expect(page).to_have_url(re.compile(r"\?platform=facebook$"))
    await expect(page.locator(row(number))).to_have_count(0)
    await page.reload()
    await expect(page.locator("#platform")).to_have_value("facebook")
    await expect(page.locator(row(number))).to_have_count(0)
    await page.select_option("#platform", "chatwoot")
    await expect(page.locator(row(number))).to_be_visible()
    await page.go_back()
    await expect(page.locator("#platform")).to_have_value("facebook")
    await expect(page.locator(row(number))).to_have_count(0)


@pytest.mark.parametrize("is_search", [False, True])
async def test_what_is_chosen_before_the_script_came_counts(
    site: Site, open_window: OpenWindow, is_search: bool
) -> None:
    """On a slow line the form is there before what listens to it: filter, list and address agree
    all the same.
    """
    number = await site.writes(site.new_customer(), "from Chatwoot")
    page = await (await open_window()).context.new_page()
    is_there = asyncio.Event()

    async def hold(route: Route) -> None:
        await is_there.wait()
        await route.continue_()

    await page.route("**/js/main.js", hold)
    await page.goto(f"{site.omni.base_url}/inbox", wait_until="commit")
    await expect(page.locator(row(number))).to_be_visible()
    if is_search:
        await page.fill("#q", "nobody is called this")
    else:
        await page.select_option("#platform", "facebook")
    is_there.set()
    wanted = r"\?q=nobody\+is\+called\+this$" if is_search else r"\?platform=facebook$"
    await expect(page).to_have_url(re.compile(wanted))
    await expect(page.locator(row(number))).to_have_count(0)
    if is_search:  # the CRM may have written of a page in another test
        await expect(page.locator(ROWS)).to_have_count(0)
        await expect(page.locator("#list-empty")).to_be_visible()


async def test_a_search_stays_true_under_live_changes(site: Site, open_window: OpenWindow) -> None:
    """Others' messages do not bring their rows in."""
    wanted, other = site.new_customer("Sought"), site.new_customer("Stranger")
    number, stranger = await site.writes(wanted, "one"), await site.writes(other, "two")
    page = await (await open_window()).open(f"/inbox?q={wanted}")
    await site.writes(other, "three")
    await site.writes(wanted, "four")
    await expect(page.locator(f"{row(number)} [data-f=preview]")).to_have_text("four")
    assert await page.locator(row(stranger)).count() == 0


async def test_every_view_counts_what_is_unread(site: Site, open_window: OpenWindow) -> None:
    """As the server counts, through a new message, reading and closing; title and views agree."""
    customer = site.new_customer()
    number = await site.writes(customer, "one")
    page = await (await open_window()).open()

    async def agree() -> bool:
        counts = (await site.http.get("/api/conversations/unread")).json()
        wanted = {**counts, "all": counts["Open"] + counts["Closed"]}
        assert {view: await counted(page, view) for view in wanted} == wanted
        assert (await page.title()).startswith(f"({wanted['all']})" if wanted["all"] else "Inbox")
        return True

    await eventually(agree)
    await site.writes(customer, "two")
    await expect(page.locator(f"{row(number)} [data-f=count]")).to_have_text("2")
    await eventually(agree)
    await close_in_chatwoot(site, customer)
    await expect(page.locator(row(number))).to_have_count(0)
    await eventually(agree)
    await page.goto(f"{site.omni.base_url}/inbox/c/{number}")
    await expect(page.locator("#messages > li")).to_have_count(2)
    await expect(page.locator(f"{row(number)} [data-f=count]")).to_have_count(0)
    await eventually(agree)


async def test_the_order_holds_while_a_row_has_the_focus(
    site: Site, open_window: OpenWindow
) -> None:
    """What is about to be opened with Enter does not run away; a button brings the new order."""
    first, second = site.new_customer(), site.new_customer()
    lower, upper = await site.writes(first, "older"), await site.writes(second, "newer")
    page = await (await open_window()).open()
    await page.locator("#list").focus()
    await press_shortcut(page, "j", f"{ROWS} a:focus")
    await expect(page.locator(f"{row(upper)} a")).to_be_focused()
    await site.writes(first, "moves up")
    await expect(page.locator("#moved")).to_be_visible()
    await expect(page.locator(ROWS).first).to_have_attribute("data-key", str(upper))
    await page.click("#moved")
    await expect(page.locator(ROWS).first).to_have_attribute("data-key", str(lower))


async def test_a_refused_reply_marks_its_row(site: Site, open_window: OpenWindow) -> None:
    """Seen from another conversation, by a colleague as well."""
    customer = site.new_customer()
    number = await site.writes(customer, "will fail")
    mine, theirs = (
        await (await open_window("asha")).open(f"/inbox/c/{number}"),
        await (await open_window("tomas")).open(),
    )
    site.sim.switches.set(fail_next=1, fail_status=422, fail_writes_only=True)
    await mine.fill("#reply", "refused")
    await mine.press("#reply", "Enter")
    for page in (mine, theirs):
        await expect(page.locator(f"{row(number)} [data-f=failed]")).to_be_visible()


async def test_the_document_holds_a_window_of_a_long_list(
    site: Site, open_window: OpenWindow
) -> None:
    """Going down, every row comes by in its order, and never more than 300 are there; going up
    again as well.
    """
    for _ in range(MANY):
        site.sim.customer_says(site.new_customer("Many"), "one of many")
    await site.writes(site.new_customer("Many"), "the last of many")
    wanted = [
        one["id"]
        for one in (await site.http.get("/api/conversations", params={"q": "of many"})).json()
    ]
    assert len(wanted) > MANY
    page = await (await open_window()).open("/inbox?q=of+many")
    seen: list[int] = []
    while len(seen) < len(wanted):
        shown = await page.eval_on_selector_all(ROWS, KEYS)
        assert len(shown) <= 300
        assert shown == wanted[wanted.index(shown[0]) :][: len(shown)]
        seen += [one for one in shown if one not in seen]
        last = page.locator(ROWS).last
        await last.scroll_into_view_if_needed()
        if len(seen) < len(wanted):
            await expect(page.locator(row(wanted[len(seen)]))).to_be_attached()
    assert seen == wanted
    await page.evaluate("document.querySelector('#list').scrollTop = 0")
    await expect(page.locator(row(wanted[0]))).to_be_in_viewport()


async def begin_epoch(site: Site) -> None:
    """As after a restored backup: every client takes a snapshot again."""

    async def write(connection: Connection) -> None:
        await eventlog.lock_streams(connection, [1])
        await eventlog.start_epoch(connection, 1)

    async with Database(site.omni.env["DATABASE_URL"]) as database:
        await database.transaction(write)


async def test_a_reset_leaves_everybody_where_they_are(site: Site, open_window: OpenWindow) -> None:
    """List and thread stay scrolled, the focus stays on its row, and what was missed is there."""
    for _ in range(FAR):
        site.sim.customer_says(site.new_customer("Far"), "one of those far down")
    number = await site.writes(site.new_customer("Far"), *[f"{n}\n\n\n." for n in range(60)])
    page = await (await open_window()).open(f"/inbox/c/{number}?q=Far")
    # the older ones are fetched when their link comes in sight
    await page.evaluate("document.querySelector('#log').scrollTo(0, 0)")
    await expect(page.locator("#messages > li")).to_have_count(60)
    await page.locator("#messages > li").nth(3).scroll_into_view_if_needed()
    area = page.locator("#list")
    await area.evaluate("(node) => { node.scrollTop = node.scrollHeight; }")
    await expect(page.locator(ROWS)).to_have_count(FAR + 1)
    await page.locator(ROWS).nth(FAR - 5).locator("a").focus()
    places = "() => ['#list', '#log'].map((name) => document.querySelector(name).scrollTop)"
    before, focused = (
        await page.evaluate(places),
        "document.activeElement.closest('li').dataset.key",
    )
    key = await page.evaluate(focused)
    async with page.expect_response(
        lambda answer: f"/c/{number}" not in answer.url and f"/{number}/messages" in answer.url
    ):
        await begin_epoch(site)
    await page.wait_for_function("() => document.querySelector('#chip').dataset.word === 'live'")
    await page.evaluate(
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    assert await page.evaluate(places) == before
    assert await page.evaluate(focused) == key
    await expect(page.locator("#messages > li")).to_have_count(60)
    await expect(page.locator(ROWS)).to_have_count(FAR + 1)
