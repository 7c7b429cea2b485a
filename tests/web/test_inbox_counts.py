"""Unread counts agree with the server's, also where events and cuts overtake every answer."""

from playwright.async_api import Page, Route, WebSocketRoute, expect

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
    await page.unroute_all(behavior="ignoreErrors")  # the page asks again at any time


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


class HeldEvents:
    """Events that the server has sent to a page and the page has not got yet."""

    def __init__(self) -> None:
        self.is_holding = False
        self._held: list[tuple[WebSocketRoute, str | bytes]] = []

    async def join(self, page: Page) -> None:
        """Must come before the page opens its line, which is to be its own (`transport=page`)."""
        await page.route_web_socket("**/ws", self._between)

    def let_go(self) -> None:
        self.is_holding = False
        while self._held:
            line, frame = self._held.pop(0)
            line.send(frame)

    def _between(self, line: WebSocketRoute) -> None:
        def on_frame(frame: str | bytes) -> None:
            if self.is_holding:
                self._held.append((line, frame))
            else:
                line.send(frame)

        line.connect_to_server().on_message(on_frame)


async def test_only_what_was_on_the_screen_is_read(site: Site, open_window: OpenWindow) -> None:
    """The list hears of a message before the open thread has it: the server cannot have been told
    that it is read, so it is told when the message is shown.
    """
    customer = site.new_customer()
    number = await site.writes(customer, "one")
    window = await open_window()
    page, events = await window.context.new_page(), HeldEvents()
    await events.join(page)
    await page.goto(f"{window.base_url}/inbox/c/{number}?transport=page")
    await says(page, "live")
    events.is_holding = True
    await site.writes(customer, "two")
    async with page.expect_response("**/read"):
        await page.fill("#q", customer)
    await expect(page.locator("#messages > li")).to_have_count(1)
    events.let_go()
    await expect(page.locator("#messages > li")).to_have_count(2)

    async def is_read() -> bool:
        conversation = (await site.http.get(f"/api/conversations/{number}")).json()
        return bool(conversation["unreadCount"] == 0)

    await eventually(is_read)
    await eventually(lambda: views_agree(page, site))
