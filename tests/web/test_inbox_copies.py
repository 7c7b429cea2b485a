"""People in copy of an e-mail: filled in as of the last mail, shown, and those that are sent."""

from playwright.async_api import expect

from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.reply_extras import SENT, Channel, channel, last_of, mail, written
from tests.web.site import Site, says
from tests.web.test_inbox_files import document

__all__ = ["channel"]


async def test_people_in_copy_are_filled_in_shown_and_sent(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """Everybody of the last mail but ourselves; changed, checked, kept over a reload; then shown in
    the thread.
    """
    channel("Channel::Email")
    customer, number = await mail(site)
    page = await (await open_window()).open(f"/inbox/c/{number}")
    copies = page.locator(".copies")
    summary = copies.locator("summary")
    await expect(summary).to_have_text(
        "To lina@customers.example · Copy to helper@customers.example, boss@customers.example"
    )
    await summary.click()
    cc, bcc = copies.get_by_label("Cc", exact=True), copies.get_by_label("Bcc", exact=True)
    await expect(cc).to_have_value("helper@customers.example, boss@customers.example")
    await cc.fill("helper@customers.example, nobody")
    await bcc.fill("audit@us.example")
    await page.fill("#reply", "On its way")
    await page.press("#reply", "Enter")
    assert await cc.evaluate("field => field.validationMessage") == (
        "“nobody” is not an e-mail address."
    )
    await expect(page.locator("#reply")).to_have_value("On its way")
    await cc.fill("helper@customers.example")
    await page.reload()
    await expect(summary).to_have_text(
        "To lina@customers.example · Copy to helper@customers.example"
    )
    await page.press("#reply", "Enter")
    await expect(page.locator(SENT)).to_have_count(1)
    attributes = last_of(site, customer).content_attributes
    assert attributes["cc_emails"] == ["helper@customers.example"]
    assert attributes["bcc_emails"] == ["audit@us.example"]
    head = page.locator(f"{SENT} dl")
    await expect(head).to_contain_text("helper@customers.example")
    await expect(head).to_contain_text("audit@us.example")


async def test_a_quick_reply_by_mail_drops_nobody(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """Without a look at the fields; also with a file, which goes as a form."""
    channel("Channel::Email")
    customer, number = await mail(site)
    page = await (await open_window()).open(f"/inbox/c/{number}", until=None)
    await page.fill("#reply", "On its way")
    await page.press("#reply", "Enter")
    await expect(page.locator(SENT)).to_have_count(1)
    everybody = ["helper@customers.example", "boss@customers.example"]
    assert last_of(site, customer).content_attributes["cc_emails"] == everybody
    await says(page, "live")
    await page.set_input_files("#attach", [document("bill.txt")])
    await page.press("#reply", "Enter")
    await expect(page.locator(SENT)).to_have_count(2)
    assert last_of(site, customer).content_attributes["cc_emails"] == everybody


async def test_other_channels_and_notes_know_nobody_in_copy(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """Nothing is shown, and nothing sent."""
    channel("Channel::Email")
    customer, number = await mail(site)
    page = await (await open_window()).open(f"/inbox/c/{number}")
    await expect(page.locator(".copies")).to_be_visible()
    await page.check("#note")
    await expect(page.locator(".copies")).to_be_hidden()
    await page.fill("#reply", "ask the store")
    await page.press("#reply", "Enter")
    assert await eventually(lambda: last_of(site, customer).private)
    assert last_of(site, customer).content_attributes["cc_emails"] == []
    channel("Channel::Whatsapp")
    _, other = await written(site, "hello")
    page = await (await open_window()).open(f"/inbox/c/{other}")
    await expect(page.locator(".copies")).to_be_hidden()


async def test_people_in_copy_are_those_that_are_shown_in_every_tab(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """Changed in another tab, they change in this one, also in the field that has the focus."""
    channel("Channel::Email")
    customer, number = await mail(site)
    window = await open_window()
    first = await window.open(f"/inbox/c/{number}")
    second = await window.open(f"/inbox/c/{number}")
    await first.locator(".copies summary").click()
    await first.get_by_label("Cc", exact=True).focus()
    await second.locator(".copies summary").click()
    await second.get_by_label("Cc", exact=True).fill("audit@us.example")
    await expect(first.get_by_label("Cc", exact=True)).to_have_value("audit@us.example")
    await expect(first.locator(".copies summary")).to_have_text(
        "To lina@customers.example · Copy to audit@us.example"
    )
    await first.fill("#reply", "On its way")
    await first.press("#reply", "Enter")
    await expect(first.locator(SENT)).to_have_count(1)
    assert last_of(site, customer).content_attributes["cc_emails"] == ["audit@us.example"]


async def test_people_in_copy_of_one_conversation_are_not_those_of_the_next(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """Where a finger opens it, and the field keeps the focus."""
    channel("Channel::Email")
    _, number = await mail(site)
    _, other = await written(site, "Something else")
    page = await (await open_window(has_touch=True, is_mobile=True)).open(f"/inbox/c/{other}")
    click = "id => document.querySelector(`#rows > li[data-key='${id}'] a`).click()"
    await page.evaluate(click, number)
    await page.locator(".copies summary").click()
    cc = page.get_by_label("Cc", exact=True)
    await cc.focus()
    await page.go_back()
    await expect(page.locator("#thread-name")).not_to_have_text("Lina")
    await expect(cc).to_have_value("")


async def test_people_in_copy_whose_mail_is_not_loaded_are_dropped_by_no_reply(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """The mail stands further up than what the page has: it says so, and sends once it has it."""
    channel("Channel::Email")
    customer, number = await mail(site)
    await site.writes(customer, *(f"line {n}" for n in range(60)))
    page = await (await open_window()).open(f"/inbox/c/{number}")
    await page.fill("#reply", "On its way")
    await page.press("#reply", "Enter")
    await expect(page.locator("#composer .refused")).to_contain_text("last e-mail is not loaded")
    await expect(page.locator("#reply")).to_have_value("On its way")
    await page.evaluate("document.querySelector('#log').scrollTo(0, 0)")
    await expect(page.locator("#messages > li", has_text="Where is it?")).to_be_attached()
    await page.press("#reply", "Enter")
    await expect(page.locator(SENT)).to_have_count(1)
    everybody = ["helper@customers.example", "boss@customers.example"]
    assert last_of(site, customer).content_attributes["cc_emails"] == everybody
