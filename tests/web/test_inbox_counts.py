"""Unread counts agree with the server's, also where events and cuts overtake every answer."""

from playwright.async_api import Page, Route, expect

from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.site import Site, says

OVERTAKEN = 8  # answers: more than the page asks for before it lets a count be
COUNT = "(node) => Number(node.querySelector('[data-f=count]:not([hidden])')?.textContent ?? 0)"


async def views_agree(page: Page, site: Site) -> bool:
    wanted = (await site.http.get("/api/conversations/unread")).json()
    shown = {view: await page.eval_on_selector(f"a[data-view={view}]", COUNT) for view in wanted}
    assert shown == wanted
    return True


async def test_a_count_that_events_overtake_each_time_is_right(
    site: Site, open_window: OpenWindow
) -> None:
    """Something happens while each answer is on its way, as in a busy company; the one who writes
    is in no list of the page.
    """
    listed, elsewhere = site.new_customer(), site.new_customer()
    number = await site.writes(listed, "one")
    await site.writes(elsewhere, "one")
    page = await (await open_window()).open(f"/inbox?q={listed}")
    await expect(page.locator("#rows > li")).to_have_count(1)
    written = 1

    async def overtake(route: Route) -> None:
        nonlocal written
        answer = await route.fetch()
        if written <= OVERTAKEN:
            written += 1
            site.sim.customer_says(listed, f"message {written}")
            await expect(
                page.locator(f"#rows > li[data-key='{number}'] [data-f=count]")
            ).to_have_text(str(written))
        await route.fulfill(response=answer)

    await page.route("**/api/conversations/unread", overtake)
    await site.writes(elsewhere, "two")
    await eventually(lambda: views_agree(page, site), limit=30)


async def test_what_was_read_while_the_line_was_cut_is_told_later(
    site: Site, open_window: OpenWindow
) -> None:
    """It was on the screen: no other page, and not this one after a reload, may show it as new."""
    customer = site.new_customer()
    number = await site.writes(customer, "one")
    window = await open_window()
    window.expected.append("Failed to load resource")
    page = await window.open(f"/inbox/c/{number}")
    cuts = 0

    async def cut(route: Route) -> None:
        nonlocal cuts
        cuts += 1
        await (route.abort("connectionreset") if cuts < 3 else route.continue_())

    await page.route("**/read", cut)
    await site.writes(customer, "two")

    async def is_read() -> bool:
        return bool(
            (await site.http.get(f"/api/conversations/{number}")).json()["unreadCount"] == 0
        )

    await eventually(is_read, limit=30)
    assert cuts >= 3
    await eventually(lambda: views_agree(page, site), limit=30)
    await says(page, "live")
