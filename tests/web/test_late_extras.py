"""Files, quotes and people in copy while their script comes late or not at all."""

import asyncio
from typing import Any

from playwright.async_api import expect

from tests.web.conftest import OpenWindow
from tests.web.reply_extras import (
    SENT,
    Channel,
    channel,
    hold_back,
    last_of,
    mail,
    written,
)
from tests.web.site import Site
from tests.web.test_inbox_files import document
from tests.web.test_inbox_tools import preferences

__all__ = ["channel", "preferences"]


async def test_what_was_pressed_or_chosen_stays_with_its_conversation(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """The scripts for files and copies may come late, when another conversation is open: its draft
    is not sent for the one in which Enter was pressed, and it is given no file of the other.
    """
    channel("Channel::Email")
    customer, number = await mail(site)
    _, other = await written(site, "Something else")
    window = await open_window()
    release = await hold_back(window.context, "**/later/extras.js")
    page = await window.open(f"/inbox/c/{other}", until=None)
    await page.fill("#reply", "half a thought")
    await page.click(f'#rows > li[data-key="{number}"] a')
    await expect(page.locator("#thread-name")).to_have_text(customer)
    await page.fill("#reply", "On its way")
    await page.set_input_files("#attach", [document("bill.txt")])
    await page.press("#reply", "Enter")
    await page.click(f'#rows > li[data-key="{other}"] a')
    await expect(page.locator("#reply")).to_have_value("half a thought")
    release()
    await page.wait_for_function("() => document.querySelector('.copies')")
    await expect(page.locator("#chosen > li")).to_have_count(0)
    await expect(page.locator("#reply")).to_have_value("half a thought")
    await page.click(f'#rows > li[data-key="{number}"] a')
    await expect(page.locator("#reply")).to_have_value("On its way")
    await expect(page.locator("#chosen > li [data-f=name]")).to_have_text(["bill.txt"])
    assert not [one for one in site.sim.messages.values() if one.content == "half a thought"]


async def test_a_plain_reply_waits_for_no_script(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """Where nobody is in copy and nothing is quoted."""
    channel("Channel::Whatsapp")
    _, number = await written(site, "hello")
    window = await open_window()
    await hold_back(window.context, "**/later/extras.js")
    page = await window.open(f"/inbox/c/{number}", until=None)
    await page.fill("#reply", "Hello to you")
    await page.press("#reply", "Enter")
    await expect(page.locator(SENT)).to_have_count(1)


async def test_files_go_with_the_reply_though_their_script_comes_late(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """Enter waits until the file can be seen: neither is the text sent without it, nor a file that
    nothing shows.
    """
    channel("Channel::Whatsapp")
    customer, number = await written(site, "Send me the bill")
    window = await open_window()
    release = await hold_back(window.context, "**/later/extras.js")
    page = await window.open(f"/inbox/c/{number}", until=None)
    await page.wait_for_function("() => document.documentElement.dataset.js === ''")
    await page.fill("#reply", "The bill of today")
    await page.set_input_files("#attach", [document("bill.txt")])
    await page.press("#reply", "Enter")
    await asyncio.sleep(0.5)
    assert not [one for one in site.sim.messages.values() if one.content == "The bill of today"]
    release()
    await expect(page.locator(SENT)).to_have_count(1)
    assert len(last_of(site, customer).attachments) == 1


async def test_a_file_outlives_a_script_that_cannot_be_loaded(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """It is kept where it was chosen, and shown once the script is there."""
    channel("Channel::Whatsapp")
    _, number = await written(site, "Send me the bill")
    window = await open_window()
    window.expected.append("net::ERR_FAILED")
    await window.context.route("**/later/extras.js", lambda route: route.abort())
    page = await window.open(f"/inbox/c/{number}")
    await page.set_input_files("#attach", [document("bill.txt")])
    await page.wait_for_function("() => document.querySelector('#reply').validationMessage")
    await window.context.unroute("**/later/extras.js")
    await page.reload()
    await expect(page.locator("#chosen > li [data-f=name]")).to_have_text(["bill.txt"])


async def test_a_reply_that_is_taken_back_has_its_copies_though_their_script_is_missing(
    site: Site, open_window: OpenWindow, channel: Channel, preferences: Any
) -> None:
    """Whom the agent took out is not in copy again."""
    channel("Channel::Email")
    await preferences(undoSeconds=10)
    _, number = await mail(site)
    window = await open_window()
    window.expected.append("net::ERR_FAILED")
    page = await window.open(f"/inbox/c/{number}")
    await page.locator(".copies summary").click()
    await page.get_by_label("Cc", exact=True).fill("")
    await page.fill("#reply", "On its way")
    await page.press("#reply", "Enter")
    await expect(page.locator('#messages > li[data-state="undo"]')).to_have_count(1)
    await window.context.route("**/later/extras.js", lambda route: route.abort())
    await page.reload()
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator("#reply")).to_have_value("On its way")
    await window.context.unroute("**/later/extras.js")
    await page.reload()
    await expect(page.locator(".copies summary")).to_have_text("To lina@customers.example")
    await expect(page.get_by_label("Cc", exact=True)).to_have_value("")


async def test_a_reply_can_be_taken_back_though_the_script_of_acts_is_missing(
    site: Site, open_window: OpenWindow, channel: Channel, preferences: Any
) -> None:
    """In the seconds before it goes out there is no time to fetch one, and no line maybe."""
    channel("Channel::Whatsapp")
    await preferences(undoSeconds=10)
    customer, number = await written(site, "When do you open?")
    window = await open_window()
    window.expected.append("net::ERR_FAILED")
    await window.context.route("**/later/acts.js", lambda route: route.abort())
    page = await window.open(f"/inbox/c/{number}")
    await page.fill("#reply", "too hasty")
    await page.press("#reply", "Enter")
    await page.click('#messages > li[data-state="undo"] [data-act=edit]:visible')
    await expect(page.locator("#reply")).to_have_value("too hasty")
    await expect(page.locator("#messages > li[data-state]")).to_have_count(0)
    assert site.replies_to(customer) == []
