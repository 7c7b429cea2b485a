"""Messages and replies between customer, Chatwoot and two agents, in the real page on the real
server.
"""

import asyncio
import re

from playwright.async_api import Page, Route, WebSocketRoute, expect

from server.lab.chatwoot_sim.samples import file_named
from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.site import READ_SECONDS, Site

# writes a reply and tells, at the end of the very same frame, what the log shows last
SEND_AND_LOOK = """(text) => new Promise((done) => {
  document.querySelector("#reply").value = text;
  document.querySelector("#composer").requestSubmit();
  requestAnimationFrame(() => {
    const last = document.querySelector("#messages > li:last-child");
    done([last.dataset.state, last.querySelector("[data-f=body]").textContent]);
  });
})"""


async def write_reply(page: Page, text: str) -> None:
    await page.fill("#reply", text)
    await page.press("#reply", "Enter")


async def test_a_message_arrives_at_two_agents_without_reload(
    site: Site, open_window: OpenWindow
) -> None:
    """In the open thread of one and on top of the other's list, where it is read as soon as one has
    read it; what nobody has opened is an unread row at both, and counts in the title.
    """
    customer, unseen = site.new_customer(), site.new_customer()
    number = await site.writes(customer, "first")
    reader, other = await open_window("asha"), await open_window("tomas")
    listing = await other.open()
    row = listing.locator(f'#rows > li[data-key="{number}"]')
    await expect(row.locator("[data-f=count]")).to_have_text("1")
    thread = await reader.open(f"/inbox/c/{number}")
    await expect(row.locator("[data-f=count]")).to_be_hidden()

    await site.writes(customer, "second")

    await expect(thread.locator("#messages > li").last.locator("[data-f=body]")).to_have_text(
        "second"
    )
    await expect(row.locator("[data-f=preview]")).to_have_text("second")
    await expect(listing.locator("#rows > li").first).to_have_attribute("data-key", str(number))
    for page in (thread, listing):
        await expect(page.locator(f'#rows > li[data-key="{number}"] [data-f=count]')).to_be_hidden()
    number = await site.writes(unseen, "one", "two")
    for page in (thread, listing):
        await expect(page.locator(f'#rows > li[data-key="{number}"] [data-f=count]')).to_have_text(
            "2"
        )
    await expect(listing).to_have_title(re.compile(r"^\([1-9]\d*\)"))


async def test_a_new_customer_appears_in_the_list(site: Site, open_window: OpenWindow) -> None:
    """A conversation nobody has seen yet stands on top, unread."""
    page = await (await open_window()).open()
    customer = site.new_customer("জরিনা")
    number = await site.writes(customer, "আছেন?")
    row = page.locator(f'#rows > li[data-key="{number}"]')
    await expect(row.locator("[data-f=name]")).to_have_text(customer)
    await expect(row.locator("[data-f=count]")).to_have_text("1")


async def test_a_reply_shows_at_once_and_goes_out_once(site: Site, open_window: OpenWindow) -> None:
    """In the same frame here, once in Chatwoot, and at the colleague's."""
    customer = site.new_customer()
    number = await site.writes(customer, "hello?")
    mine = await (await open_window("asha")).open(f"/inbox/c/{number}")
    theirs = await (await open_window("tomas")).open(f"/inbox/c/{number}")

    assert await mine.evaluate(SEND_AND_LOOK, "On its way") == ["sending", "On its way"]

    sent = mine.locator('#messages > li[data-state="sent"]')
    await expect(sent).to_have_count(1)
    await expect(theirs.locator("#messages > li").last.locator("[data-f=body]")).to_have_text(
        "On its way"
    )
    await expect(theirs.locator("#messages > li").last.locator("[data-f=who]")).to_have_text(
        "Asha Rahman"
    )
    await site.sim.webhooks.flushed()
    assert site.replies_to(customer) == ["On its way"]
    await expect(mine.locator("#messages > li")).to_have_count(2)
    await expect(theirs.locator("#messages > li")).to_have_count(2)


async def test_a_refused_reply_says_why_and_can_be_sent_again(
    site: Site, open_window: OpenWindow
) -> None:
    """The reason stands in the bubble; Try again delivers it, once."""
    customer = site.new_customer()
    number = await site.writes(customer, "hello?")
    page = await (await open_window()).open(f"/inbox/c/{number}")
    site.sim.switches.set(fail_next=1, fail_status=404, fail_writes_only=True)
    await write_reply(page, "refused at first")
    failed = page.locator('#messages > li[data-state="failed"]')
    await expect(failed.locator("[data-f=reason]")).to_have_text(
        "The conversation no longer exists in Chatwoot"
    )
    await failed.get_by_role("button", name="Try again").click()
    await expect(page.locator('#messages > li[data-state="sent"]')).to_have_count(1)
    await expect(page.locator("#messages > li")).to_have_count(2)
    assert site.replies_to(customer) == ["refused at first"]


async def test_a_reply_is_held_when_someone_wrote_meanwhile(
    site: Site, open_window: OpenWindow
) -> None:
    """What was written is shown first; then the agent decides."""
    customer = site.new_customer()
    number = await site.writes(customer, "cancel my order")
    window = await open_window()
    window.expected.append("409")
    page = await window.context.new_page()

    def without_events(line: WebSocketRoute) -> None:
        server = line.connect_to_server()
        server.on_message(lambda frame: None if '"event"' in str(frame) else line.send(frame))

    await page.route_web_socket("**/ws", without_events)
    await page.goto(f"{window.base_url}/inbox/c/{number}?transport=page")
    await page.wait_for_selector('#chip[data-word="live"]')
    await site.writes(customer, "no, do not cancel it")

    await write_reply(page, "It is cancelled.")

    held = page.locator('#messages > li[data-state="held"]')
    await expect(held.locator("[data-f=reason]")).to_contain_text("Someone wrote in the meantime")
    await expect(page.get_by_text("no, do not cancel it").last).to_be_visible()
    assert site.replies_to(customer) == []
    await held.get_by_role("button", name="Edit").click()
    await expect(page.locator("#reply")).to_have_value("It is cancelled.")
    await asyncio.sleep(READ_SECONDS)
    await write_reply(page, "It is not cancelled.")
    await eventually(lambda: site.replies_to(customer) == ["It is not cancelled."])


async def test_an_answer_that_was_lost_does_not_double_the_reply(
    site: Site, open_window: OpenWindow
) -> None:
    """The server has taken the reply, the browser never hears of it, and asks again under the same
    key.
    """
    customer = site.new_customer()
    number = await site.writes(customer, "hello?")
    window = await open_window()
    window.expected.append("ERR_FAILED|ERR_CONNECTION")
    page = await window.open(f"/inbox/c/{number}")
    lost: list[str] = []

    async def lose_first(route: Route) -> None:
        if lost:
            return await route.continue_()
        lost.append(route.request.headers["idempotency-key"])
        await route.fetch()
        return await route.abort()

    await page.route("**/reply", lose_first)
    await write_reply(page, "only once")
    await expect(page.locator('#messages > li[data-state="sent"]')).to_have_count(1)
    await expect(page.locator("#messages > li")).to_have_count(2)
    assert len(lost) == 1
    assert site.replies_to(customer) == ["only once"]


async def test_closing_and_reopening_reach_chatwoot(site: Site, open_window: OpenWindow) -> None:
    """The conversation leaves the list of open ones at the colleague's, and comes back."""
    customer = site.new_customer()
    number = await site.writes(customer, "done, thanks")
    mine = await (await open_window("asha")).open(f"/inbox/c/{number}")
    theirs = await (await open_window("tomas")).open()
    row = theirs.locator(f'#rows > li[data-key="{number}"]')
    await expect(row).to_have_count(1)
    await mine.click("#toggle")
    await expect(row).to_have_count(0)
    contact = site.sim.find_contact(customer, site.sim.account)
    assert contact is not None
    assert site.sim.conversations_of(contact)[-1].status == "resolved"
    await mine.click("#toggle")
    await expect(row).to_have_count(1)
    assert site.sim.conversations_of(contact)[-1].status == "open"


async def test_search_finds_names_and_texts(site: Site, open_window: OpenWindow) -> None:
    """While typing, without a page load; the address keeps the search."""
    customer, word = site.new_customer("Searchable"), "jamdani-4711"
    number = await site.writes(customer, f"is the {word} still there?", "please")
    page = await (await open_window()).open()
    await page.fill("#q", word)
    await expect(page.locator("#rows > li")).to_have_count(1)
    await expect(page.locator("#rows > li")).to_have_attribute("data-key", str(number))
    await expect(page).to_have_url(re.compile(rf"\?q={word}$"))
    await page.fill("#q", "nothing of this kind")
    await expect(page.locator("#list-empty")).to_be_visible()


async def test_the_chip_tells_how_long_messages_take(site: Site, open_window: OpenWindow) -> None:
    """Nothing before a message came; then the time from Chatwoot to this screen."""
    customer = site.new_customer()
    number = await site.writes(customer, "first")
    page = await (await open_window()).open(f"/inbox/c/{number}")
    told = page.locator("#chip [data-f=delay]")
    await expect(told).to_be_hidden()
    await site.writes(customer, "second")
    await expect(told).to_have_text(re.compile(r"^\d+(\.\d)? s$"))


async def test_pictures_and_sound_are_shown_through_the_server(
    site: Site, open_window: OpenWindow
) -> None:
    """Each as what it is, from our own address; a file is a link."""
    customer = site.new_customer()
    uploads = [file_named(name) for name in ("a.png", "b.wav", "d.pdf")]
    number = await site.writes(customer, "look", attachments=uploads)
    window = await open_window()
    page = await window.open(f"/inbox/c/{number}")
    message = (await site.messages(number))[-1]["id"]
    for selector, attribute in (
        ("img", "src"),
        ("audio", "src"),
        ("a.file, .file a", "href"),
    ):
        address = await page.locator(
            f"#messages [data-f=files] :is({selector})"
        ).first.get_attribute(attribute)
        assert (address or "").startswith(f"/api/attachments/{message}/")
    link = page.locator("#messages .file a")
    async with page.expect_popup() as opened, page.context.expect_event("page"):
        await link.click()
    await (await opened.value).close()


async def test_a_link_leads_to_one_message_far_back(site: Site, open_window: OpenWindow) -> None:
    """Also where it is not on the first page; what is around it is there, and newer ones do not
    move it.
    """
    customer = site.new_customer()
    number = await site.writes(customer, *[f"message {n}" for n in range(130)])
    wanted = next(
        message["id"]
        for message in await site.messages(number)
        if message["content"] == "message 3"
    )
    page = await (await open_window()).open(f"/inbox/c/{number}#m{wanted}")
    target = page.locator(f"#m{wanted}")
    await expect(target).to_be_in_viewport()
    await expect(target.locator("[data-f=body]")).to_have_text("message 3")
    await expect(target.locator("[data-f=link]")).to_have_attribute(
        "href", f"/inbox/c/{number}#m{wanted}"
    )
    await site.writes(customer, "one more")
    await expect(page.locator("#unseen")).to_be_visible()
    await expect(target).to_be_in_viewport()


async def test_what_comes_with_an_old_time_is_marked_as_new(
    site: Site, open_window: OpenWindow
) -> None:
    """As from a phone that was offline: it counts in the list, and the line stands above it, in the
    open thread and in one that is opened later.
    """
    customer = site.new_customer()
    number = await site.writes(customer, "first")
    reader, other = await open_window("asha"), await open_window("tomas")
    thread, listing = await reader.open(f"/inbox/c/{number}"), await other.open()
    row = listing.locator(f'#rows > li[data-key="{number}"]')
    await expect(row.locator("[data-f=count]")).to_be_hidden()
    await thread.evaluate("Object.defineProperty(document, 'hidden', {value: true})")

    await site.writes(customer, "written before", created_at=site.sim.now() - 7_200)

    first = thread.locator("#messages > li").first
    await expect(first.locator("[data-f=body]")).to_have_text("written before")
    await expect(first.locator("[data-f=new]")).to_be_visible()
    await expect(row.locator("[data-f=count]")).to_have_text("1")
    await expect(row.locator("[data-f=preview]")).to_have_text("first")
    await row.locator("a").click()
    await expect(listing.locator("#messages > li").first.locator("[data-f=new]")).to_be_visible()
    await expect(listing.locator("#messages [data-f=new]:visible")).to_have_count(1)

    await site.writes(customer, "still before", created_at=site.sim.now() - 7_300)

    first = listing.locator("#messages > li").first
    await expect(first.locator("[data-f=body]")).to_have_text("still before")
    await expect(first.locator("[data-f=new]")).to_be_visible()
    await expect(listing.locator("#messages [data-f=new]:visible")).to_have_count(1)
