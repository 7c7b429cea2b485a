"""What has become of a message is said at it, live: edited, delivered, read; in the order Chatwoot
wrote them.
"""

import asyncio

import pytest
from playwright.async_api import expect

from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.site import Site


@pytest.mark.parametrize(
    ("lang", "edited", "read"), [("en", "edited", "Read"), ("bn", "সম্পাদিত", "পড়া হয়েছে")]
)
async def test_edited_and_read_are_said_at_the_message(
    site: Site, open_window: OpenWindow, lang: str, edited: str, read: str
) -> None:
    """Also of a message that is not the last of its group; a reload says the same as the live
    page.
    """
    customer = site.new_customer()
    number = await site.writes(customer, "Two please", "Are you there?")
    contact = site.sim.find_contact(customer, site.sim.account)
    assert contact is not None
    there = site.sim.conversations_of(contact)[0]
    page = await (await open_window("asha", lang=lang)).open(f"/inbox/c/{number}")
    answer = site.sim.agent_says(there, "On the way")
    bubble = page.locator("#messages > li", has_text="On the way")
    await expect(bubble).to_have_count(1)
    await expect(bubble.locator("[data-f=state]")).to_be_hidden()

    site.sim.edit_message(there.messages[0], "Three please")
    there.contact_last_seen_at = answer.created_at + 2
    site.sim.set_priority(there, "high")

    for _ in ("live", "after a reload"):
        await expect(bubble.locator("[data-f=state]")).to_have_text(read)
        first = page.locator("#messages > li", has_text="Three please")
        await expect(first.locator("[data-f=edited]")).to_have_text(edited)
        await expect(first.locator("[data-f=edited]")).to_be_visible()
        await expect(
            page.locator("#messages > li", has_text="Are you there?").locator("[data-f=edited]")
        ).to_be_hidden()
        await page.reload()


async def test_what_the_channel_refused_says_why_and_is_sent_again_once(
    site: Site, open_window: OpenWindow
) -> None:
    """The reason stands there in words, with the way to send it again; two tabs that do so send it
    once.
    """
    customer = site.new_customer()
    number = await site.writes(customer, "Where is it?")
    contact = site.sim.find_contact(customer, site.sim.account)
    assert contact is not None
    there = site.sim.conversations_of(contact)[0]
    page = await (await open_window()).open(f"/inbox/c/{number}")
    answer = site.sim.agent_says(there, "On the way")
    bubble = page.locator("#messages > li", has_text="On the way")
    await expect(bubble).to_have_count(1)
    site.sim.mark_failed(answer, "403, Forbidden: bot was blocked by the user")
    for _ in ("live", "after a reload"):
        await expect(bubble.locator("[data-f=reason]")).to_have_text(
            "The customer has blocked messages from the company in this channel."
        )
        await expect(bubble.locator("[data-f=reason]")).to_be_visible()
        await expect(bubble.get_by_role("button", name="Try again")).to_be_visible()
        await page.reload()
    second = await (await open_window()).open(f"/inbox/c/{number}")
    buttons = [
        one.locator("#messages > li", has_text="On the way").get_by_role("button", name="Try again")
        for one in (page, second)
    ]
    found = [await button.element_handle() for button in buttons]
    async with asyncio.TaskGroup() as both:
        for button in found:
            both.create_task(button.evaluate("button => button.click()"))
    for one in (page, second):
        here = one.locator("#messages > li", has_text="On the way")
        await expect(here.locator("[data-f=reason]")).to_be_hidden()
        await expect(here.get_by_role("button", name="Try again")).to_have_count(0)

    async def is_sent() -> bool:
        stored = (await site.messages(number))[-1]
        assert stored["deliveryState"] not in {"failed", "sending"}, str(stored)
        return True

    await eventually(is_sent)
    assert (answer.status, answer.times_sent) == ("sent", 2)
