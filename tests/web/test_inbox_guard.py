"""A reply goes out only after its writer can have read what it answers."""

import asyncio
from collections.abc import Sequence

from playwright.async_api import Page, expect

from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.site import READ_SECONDS, Site

ROUNDS = 3
HELD = '#messages > li[data-state="held"]'
# in the very frame in which the next message is shown, as no hand is that quick
SEND_AT_ONCE = """() => new MutationObserver((_, observer) => {
  observer.disconnect();
  document.querySelector("#composer").requestSubmit();
}).observe(document.querySelector("#messages"), { childList: true })"""


async def is_shown(page: Page, text: str) -> None:
    await expect(page.locator("#messages > li").filter(has_text=text).last).to_be_visible()


async def test_what_came_a_moment_ago_holds_the_reply_and_both_are_shown(
    site: Site, open_window: OpenWindow
) -> None:
    """Two seconds later the same reply goes."""
    customer = site.new_customer()
    number = await site.writes(customer, "where is my order?")
    page = await _opened(open_window, number)
    await page.fill("#reply", "We resend it today.")
    await page.evaluate(SEND_AT_ONCE)
    await site.writes(customer, "a refund instead, please")
    held = page.locator(HELD)
    await expect(held).to_contain_text("We resend it today.")
    await expect(held.locator("[data-f=reason]")).to_contain_text("Someone wrote in the meantime")
    await is_shown(page, "a refund instead, please")
    await held.get_by_role("button", name="Edit").click()
    await expect(page.locator("#reply")).to_have_value("We resend it today.")
    await asyncio.sleep(READ_SECONDS)
    assert site.replies_to(customer) == []
    await page.press("#reply", "Enter")
    await eventually(lambda: site.replies_to(customer) == ["We resend it today."])


async def test_what_lies_out_of_sight_holds_the_reply_however_long_ago_it_came(
    site: Site, open_window: OpenWindow
) -> None:
    customer = site.new_customer()
    number = await site.writes(customer, *[f"line\n\n{n}" for n in range(30)])
    page = await _opened(open_window, number)
    await page.evaluate("document.querySelector('#log').scrollTop = 0")
    await page.fill("#reply", "It comes tomorrow.")
    await site.writes(customer, "too late, cancel it")
    await expect(page.locator("#unseen")).to_be_visible()
    await asyncio.sleep(READ_SECONDS)
    await page.press("#reply", "Enter")
    await expect(page.locator(HELD)).to_contain_text("It comes tomorrow.")
    assert site.replies_to(customer) == []


async def test_a_note_is_for_colleagues_and_never_held(site: Site, open_window: OpenWindow) -> None:
    customer = site.new_customer()
    number = await site.writes(customer, "one")
    page = await _opened(open_window, number)
    await page.get_by_role("radio", name="Private note").check(force=True)
    await page.fill("#reply", "a regular")
    await page.evaluate(SEND_AT_ONCE)
    await site.writes(customer, "two")
    await is_shown(page, "a regular")
    await expect(page.locator(HELD)).to_have_count(0)


async def test_of_two_agents_who_press_enter_at_once_one_answers(
    site: Site, open_window: OpenWindow
) -> None:
    await press_at_once(site, open_window, ROUNDS)


async def press_at_once(site: Site, open_window: OpenWindow, rounds: int) -> None:
    """Each round both have read everything; one reply goes out, the other waits for its writer."""
    customer = site.new_customer()
    number = await site.writes(customer, "hello?")
    pages = [await _opened(open_window, number, agent) for agent in ("asha", "tomas")]
    for n in range(1, rounds + 1):
        for page, who in zip(pages, ("asha", "tomas"), strict=True):
            await page.fill("#reply", f"{who} {n}")
        async with asyncio.TaskGroup() as tasks:
            for page in pages:
                tasks.create_task(page.press("#reply", "Enter"))
        held = await eventually(lambda: _held(pages))
        assert len(held) == 1
        await held[0].locator(HELD).get_by_role("button", name="Edit").click()
        await held[0].fill("#reply", "")
        await asyncio.sleep(READ_SECONDS + 0.2)
        assert len(site.replies_to(customer)) == n


async def _held(pages: Sequence[Page]) -> list[Page]:
    return [page for page in pages if await page.locator(HELD).count()]


async def _opened(open_window: OpenWindow, number: int, agent: str = "asha") -> Page:
    window = await open_window(agent)
    window.expected.append("409")
    return await window.open(f"/inbox/c/{number}")
