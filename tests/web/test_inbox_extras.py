"""What goes with a reply besides its text: files within their limits, the message it quotes, people
in copy of an e-mail. All of it survives a reload, and none of it comes with a note.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page, Route, expect

from server.lab.chatwoot_sim.model import Message
from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.site import INBOX_ADDRESS, Site, says
from tests.web.test_inbox_files import document
from tests.web.test_inbox_tools import preferences

__all__ = ["preferences"]

SENT = '#messages > li[data-state="sent"]'
Channel = Callable[[str], None]
MB = 1024 * 1024


@pytest.fixture
def channel(site: Site) -> Iterator[Channel]:
    """Lets the inbox be one of another channel for this test."""
    before = site.sim.inbox.channel

    def put(name: str) -> None:
        site.sim.inbox.channel = name

    yield put
    site.sim.inbox.channel = before


async def written(site: Site, *texts: str, **options: Any) -> tuple[str, int]:
    customer = site.new_customer()
    return customer, await site.writes(customer, *texts, **options)


def last_of(site: Site, customer: str) -> Message:
    """The last message that was written here, as Chatwoot has it."""
    contact = site.sim.find_contact(customer, site.sim.account)
    assert contact is not None
    (there,) = site.sim.conversations_of(contact)
    found = [one for one in there.messages if one.message_type == 1]
    assert found
    return found[-1]


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
        "photo.png has 5.5 MB; at most 5 MB can be sent here, so it was left out."
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


async def _quote(page: Page, text: str) -> None:
    """By keyboard: the button is reached, and pressed."""
    button = page.locator("#messages > li", has_text=text).get_by_role(
        "button", name="Reply to this message"
    )
    await button.focus()
    await expect(button).to_be_focused()
    await page.keyboard.press("Enter")


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
    await _quote(page, "Do you have it in red?")
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
    await _quote(page, "Do you have it in red?")
    await expect(page.locator("#note")).not_to_be_checked()
    await expect(page.locator("#reply")).to_have_value("")
    await page.check("#note")
    await expect(page.locator(".quoting")).to_be_hidden()
    await expect(page.locator("#reply")).to_have_value("ask the store")
    await page.press("#reply", "Enter")
    await expect(page.locator('#messages > li[data-side="note"]')).to_have_count(1)
    assert await eventually(lambda: last_of(site, customer).private)
    assert "in_reply_to" not in last_of(site, customer).content_attributes
    await page.uncheck("#note")
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
    await _quote(page, "Do you have it in red?")
    await page.fill("#reply", "Yes")
    await page.press("#reply", "Enter")
    await expect(page.locator(".quoting")).to_be_hidden()
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator("#reply")).to_have_value("Yes")
    await expect(page.locator(".quoting")).to_contain_text("Do you have it in red?")


async def _mail(site: Site) -> tuple[str, int]:
    customer = site.new_customer("Lina")
    site.sim.add_contact(customer, email="lina@customers.example")
    head = {
        "subject": "Order 5512",
        "from": ["lina@customers.example"],
        "to": [INBOX_ADDRESS, "boss@customers.example"],
        "cc": ["helper@customers.example"],
    }
    number = await site.writes(
        customer,
        "Where is it?",
        content_type="incoming_email",
        content_attributes={"email": head},
    )
    return customer, number


async def test_people_in_copy_are_filled_in_shown_and_sent(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """Everybody of the last mail but ourselves; changed, checked, kept over a reload; then shown in
    the thread.
    """
    channel("Channel::Email")
    customer, number = await _mail(site)
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
    customer, number = await _mail(site)
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
    customer, number = await _mail(site)
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
    await page.uncheck("#note")
    assert site.sim.typing_shown == []
    await page.locator("#reply").press_sequentially("Yes")
    await eventually(lambda: [on for _, on in site.sim.typing_shown] == [True])
    await page.press("#reply", "Enter")
    await eventually(lambda: [on for _, on in site.sim.typing_shown] == [True, False])


async def _held(context: BrowserContext, path: str) -> Callable[[], None]:
    """Hold back the answers for a script until what is returned is called."""
    released = asyncio.Event()

    async def wait(route: Route) -> None:
        await released.wait()
        await route.continue_()

    await context.route(path, wait)
    return released.set


async def test_what_was_pressed_or_chosen_stays_with_its_conversation(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """The scripts for files and copies may come late, when another conversation is open: its draft
    is not sent for the one in which Enter was pressed, and it is given no file of the other.
    """
    channel("Channel::Email")
    customer, number = await _mail(site)
    _, other = await written(site, "Something else")
    window = await open_window()
    release = await _held(window.context, "**/later/extras.js")
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
    await _held(window.context, "**/later/extras.js")
    page = await window.open(f"/inbox/c/{number}", until=None)
    await page.fill("#reply", "Hello to you")
    await page.press("#reply", "Enter")
    await expect(page.locator(SENT)).to_have_count(1)


async def test_people_in_copy_are_those_that_are_shown_in_every_tab(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """Changed in another tab, they change in this one, also in the field that has the focus."""
    channel("Channel::Email")
    customer, number = await _mail(site)
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
    _, number = await _mail(site)
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


async def test_files_go_with_the_reply_though_their_script_comes_late(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """Enter waits until the file can be seen: neither is the text sent without it, nor a file that
    nothing shows.
    """
    channel("Channel::Whatsapp")
    customer, number = await written(site, "Send me the bill")
    window = await open_window()
    release = await _held(window.context, "**/later/extras.js")
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
    await _quote(page, "Do you have it in red?")
    await expect(page.locator(".quoting")).to_be_visible()
    contact = site.sim.find_contact(customer, site.sim.account)
    assert contact is not None
    (there,) = site.sim.conversations_of(contact)
    site.sim.delete_message(there.messages[0])
    await expect(page.locator(".quoting")).to_be_hidden()


async def test_a_reply_that_is_taken_back_has_its_copies_though_their_script_is_missing(
    site: Site, open_window: OpenWindow, channel: Channel, preferences: Any
) -> None:
    """Whom the agent took out is not in copy again."""
    channel("Channel::Email")
    await preferences(undoSeconds=10)
    _, number = await _mail(site)
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


async def test_people_in_copy_whose_mail_is_not_loaded_are_dropped_by_no_reply(
    site: Site, open_window: OpenWindow, channel: Channel
) -> None:
    """The mail stands further up than what the page has: it says so, and sends once it has it."""
    channel("Channel::Email")
    customer, number = await _mail(site)
    await site.writes(customer, *(f"line {n}" for n in range(60)))
    page = await (await open_window()).open(f"/inbox/c/{number}")
    await page.fill("#reply", "On its way")
    await page.press("#reply", "Enter")
    await expect(page.locator("#composer .refused")).to_contain_text("last mail is not loaded")
    await expect(page.locator("#reply")).to_have_value("On its way")
    await page.evaluate("document.querySelector('#log').scrollTo(0, 0)")
    await expect(page.locator("#messages > li", has_text="Where is it?")).to_be_attached()
    await page.press("#reply", "Enter")
    await expect(page.locator(SENT)).to_have_count(1)
    everybody = ["helper@customers.example", "boss@customers.example"]
    assert last_of(site, customer).content_attributes["cc_emails"] == everybody
