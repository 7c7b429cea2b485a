"""What goes with a reply besides its text: files within their limits, the message it quotes. All of
it survives a reload, and none of it comes with a note.
"""

from typing import Any

from playwright.async_api import expect

from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.reply_extras import SENT, Channel, channel, last_of, quote_by_keyboard, written
from tests.web.site import Site
from tests.web.test_inbox_files import document
from tests.web.test_inbox_tools import preferences

__all__ = ["channel", "preferences"]

MB = 1024 * 1024


async def test_a_file_that_cannot_be_sent_is_named_at_once(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """In words and megabytes, before anything is uploaded; the others stay, and text too."""
    channel("Channel::Whatsapp")
    _, number = await written(site, "Send me the photo")
    page = await (await open_window()).open(f"/inbox/c/{number}")
    await page.fill("#reply", "Here it is")
    photo = document("photo.png", b"x" * int(5.5 * MB), "image/png")
    await page.set_input_files("#attach", [document("bill.txt"), photo])
    await expect(page.locator("#composer .refused")).to_have_text(
        "photo.png is 5.5 MB; files of up to 5 MB can be sent here, so it was left out."
    )
    await expect(page.locator("#chosen > li [data-f=name]")).to_have_text(["bill.txt"])
    await expect(page.locator("#reply")).to_have_value("Here it is")
    await page.set_input_files("#attach", [document(f"{n}.txt") for n in range(15)])
    await expect(page.locator("#composer .refused")).to_have_text(
        "14.txt was left out: a reply takes 15 files at most."
    )
    await expect(page.locator("#chosen > li")).to_have_count(15)
    await page.check("#note")
    await expect(page.locator("#composer .refused")).to_be_hidden()
    await page.set_input_files("#attach", [photo])
    await expect(page.locator("#chosen > li [data-f=name]")).to_have_text(["photo.png"])


async def test_the_limit_is_said_in_the_agents_language(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """With the digits of the language."""
    channel("Channel::Whatsapp")
    _, number = await written(site, "Send me the photo")
    page = await (await open_window(lang="bn")).open(f"/inbox/c/{number}")
    photo = document("photo.png", b"x" * int(5.5 * MB), "image/png")
    await page.set_input_files("#attach", [photo])
    await expect(page.locator("#composer .refused")).to_have_text(
        "photo.png ফাইলটি ৫.৫ এমবি; এখানে সর্বোচ্চ ৫ এমবি পাঠানো যায়, তাই নেওয়া হয়নি।"
    )


async def test_a_quote_goes_with_the_reply_and_survives_a_reload(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """Chosen by keyboard, kept for its conversation alone, sent once from the outbox."""
    channel("Channel::Whatsapp")
    customer, number = await written(site, "Do you have it in red?", "And where is my order?")
    _, other = await written(site, "Something else")
    window = await open_window()
    window.expected.append("net::ERR_FAILED")
    page = await window.open(f"/inbox/c/{number}")
    await quote_by_keyboard(page, "Do you have it in red?")
    quoting = page.locator(".quoting")
    await expect(quoting).to_contain_text("Do you have it in red?")
    await expect(page.locator("#reply")).to_be_focused()
    await page.fill("#reply", "Yes, in red")
    await page.click(f'#rows > li[data-key="{other}"] a')
    await expect(quoting).to_be_hidden()
    await page.click(f'#rows > li[data-key="{number}"] a')
    await expect(quoting).to_be_visible()
    await page.reload()
    await expect(quoting).to_contain_text("Do you have it in red?")
    await expect(page.locator("#reply")).to_have_value("Yes, in red")
    await page.route("**/reply", lambda route: route.abort())
    await page.press("#reply", "Enter")
    await expect(page.locator('#messages > li[data-state="waiting"]')).to_have_count(1)
    await expect(quoting).to_be_hidden()
    await page.unroute("**/reply")
    await page.reload()
    await expect(page.locator(SENT)).to_have_count(1)
    sent = last_of(site, customer)
    said = sent.conversation.messages[0]
    assert sent.content_attributes["in_reply_to"] == said.id
    await expect(page.locator(f"{SENT} .quote")).to_contain_text("Do you have it in red?")
    await expect(quoting).to_be_hidden()


async def test_a_quote_can_be_removed_and_never_goes_with_a_note(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """It waits with the reply; the note goes to colleagues without it."""
    channel("Channel::Telegram")
    customer, number = await written(site, "Do you have it in red?")
    page = await (await open_window()).open(f"/inbox/c/{number}")
    await page.check("#note")
    await page.fill("#reply", "ask the store")
    await quote_by_keyboard(page, "Do you have it in red?")
    await expect(page.locator("#note")).not_to_be_checked()
    await expect(page.locator("#reply")).to_have_value("")
    await page.check("#note")
    await expect(page.locator(".quoting")).to_be_hidden()
    await expect(page.locator("#reply")).to_have_value("ask the store")
    await page.press("#reply", "Enter")
    await expect(page.locator('#messages > li[data-side="note"]')).to_have_count(1)
    assert await eventually(lambda: last_of(site, customer).private)
    assert "in_reply_to" not in last_of(site, customer).content_attributes
    await page.check("#answer")
    await expect(page.locator(".quoting")).to_be_visible()
    await page.get_by_role("button", name="Answer without the quote").click()
    await expect(page.locator(".quoting")).to_be_hidden()
    await page.fill("#reply", "Yes")
    await page.press("#reply", "Enter")
    await expect(page.locator(SENT)).to_have_count(1)
    assert "in_reply_to" not in last_of(site, customer).content_attributes


async def test_what_a_channel_cannot_quote_offers_nothing(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """Messenger quotes customers alone, e-mail nobody."""
    for name, offered in (("Channel::FacebookPage", 1), ("Channel::Line", 0)):
        channel(name)
        _, number = await written(site, "Hello there")
        page = await (await open_window()).open(f"/inbox/c/{number}")
        await page.fill("#reply", "Hello to you")
        await page.press("#reply", "Enter")
        await expect(page.locator(SENT)).to_have_count(1)
        await expect(page.locator(".reply-to")).to_have_count(offered)


async def test_a_reply_that_is_taken_back_has_its_quote_again(
    site: Site, open_window: OpenWindow, channel: Channel, preferences: Any
) -> None:
    """As the text and the files do."""
    channel("Channel::Whatsapp")
    await preferences(undoSeconds=10)
    _, number = await written(site, "Do you have it in red?")
    page = await (await open_window()).open(f"/inbox/c/{number}")
    await quote_by_keyboard(page, "Do you have it in red?")
    await page.fill("#reply", "Yes")
    await page.press("#reply", "Enter")
    await expect(page.locator(".quoting")).to_be_hidden()
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator("#reply")).to_have_value("Yes")
    await expect(page.locator(".quoting")).to_contain_text("Do you have it in red?")


async def test_the_text_that_chatwoot_stored_stands_in_the_page(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """Names are filled in there: what the customer got is shown without a reload."""
    channel("Channel::Api")
    customer, number = await written(site, "hello")
    page = await (await open_window()).open(f"/inbox/c/{number}")
    await page.fill("#reply", "Dear {{contact.name}}, yes.")
    await page.press("#reply", "Enter")
    await expect(page.locator(f"{SENT} [data-f=body]")).to_have_text(f"Dear {customer}, yes.")


async def test_the_customer_sees_a_reply_coming_and_never_a_note(
    site: Site, open_window: OpenWindow
) -> None:
    """While it is typed; sent, it has ended."""
    _, number = await written(site, "hello")
    page = await (await open_window()).open(f"/inbox/c/{number}")
    site.sim.typing_shown.clear()
    await page.check("#note")
    await page.locator("#reply").press_sequentially("ask the store")
    await page.press("#reply", "Enter")
    await expect(page.locator('#messages > li[data-side="note"]')).to_have_count(1)
    await page.check("#answer")
    assert site.sim.typing_shown == []
    await page.locator("#reply").press_sequentially("Yes")
    await eventually(lambda: [on for _, on in site.sim.typing_shown] == [True])
    await page.press("#reply", "Enter")
    await eventually(lambda: [on for _, on in site.sim.typing_shown] == [True, False])


async def test_whoever_removes_a_file_by_keyboard_stays_there(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """On the next file, and after the last one in the text."""
    channel("Channel::Whatsapp")
    _, number = await written(site, "Send me the bills")
    page = await (await open_window()).open(f"/inbox/c/{number}")
    await page.set_input_files("#attach", [document("one.txt"), document("two.txt")])
    await page.get_by_role("button", name="Remove one.txt").press("Enter")
    await expect(page.get_by_role("button", name="Remove two.txt")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#chosen > li")).to_have_count(0)
    await expect(page.locator("#reply")).to_be_focused()


async def test_a_quote_of_what_was_deleted_is_shown_no_more(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """The reply goes without it, and that is what the page says."""
    channel("Channel::Whatsapp")
    customer, number = await written(site, "Do you have it in red?")
    page = await (await open_window()).open(f"/inbox/c/{number}")
    await quote_by_keyboard(page, "Do you have it in red?")
    await expect(page.locator(".quoting")).to_be_visible()
    contact = site.sim.find_contact(customer, site.sim.account)
    assert contact is not None
    (there,) = site.sim.conversations_of(contact)
    site.sim.delete_message(there.messages[0])
    await expect(page.locator(".quoting")).to_be_hidden()
