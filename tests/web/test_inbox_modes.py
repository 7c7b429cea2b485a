"""The two tabs of the composer, a reply and a private note: chosen by hand and by keys, marked
where something waits behind one, and never mistaken for each other.
"""

from playwright.async_api import Page, expect

from server.lab.chatwoot_sim.model import Message
from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.reply_extras import hold_back
from tests.web.site import Site, says
from tests.web.test_inbox_files import document
from tests.web.test_inbox_tools import preferences
from tests.web.test_inbox_writing import FIELD, is_for, open_thread, stored

__all__ = ["preferences"]

TABS = ".modes label"


async def tabs_say(page: Page, reply: str, note: str) -> None:
    await expect(page.locator(TABS)).to_have_text([reply, note])


def files_of(site: Site, customer: str) -> list[tuple[str | None, bool, int]]:
    """Text, whether it is private, and how many files, of all that Chatwoot has of us."""
    contact = site.sim.find_contact(customer, site.sim.account)
    assert contact is not None
    ours: list[Message] = [
        m for c in site.sim.conversations_of(contact) for m in c.messages if m.message_type == 1
    ]
    return [(m.content, m.private, len(m.attachments)) for m in ours]


async def test_keys_choose_the_mode(site: Site, open_window: OpenWindow) -> None:
    """N and R, which the help lists; the arrow keys in the tabs; and Enter on a tab sends nothing
    of what it has just brought into sight.
    """
    customer, _, page = await open_thread(site, await open_window())
    await is_for(page, "reply", "")
    await page.keyboard.press("n")
    await expect(page.locator(FIELD)).to_be_focused()
    await is_for(page, "note", "")
    await page.keyboard.type("for us")
    await page.keyboard.press("Escape")
    await page.keyboard.press("n")
    await is_for(page, "note", "for us")
    await page.keyboard.press("Escape")
    await page.keyboard.press("r")
    await is_for(page, "reply", "")
    await expect(page.locator(FIELD)).to_be_focused()
    await page.keyboard.press("Shift+Tab")
    await expect(page.locator("#answer")).to_be_focused()
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("#note")).to_be_focused()
    await is_for(page, "note", "for us")
    await page.keyboard.press("Enter")
    await expect(page.locator(FIELD)).to_be_focused()
    await expect(page.locator("#messages > li")).to_have_count(1)
    await is_for(page, "note", "for us")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Shift+Slash")
    await expect(page.locator("#help div", has_text="Write a private note")).to_contain_text("N")
    assert stored(site, customer) == []


async def test_what_waits_behind_a_tab_is_marked(site: Site, open_window: OpenWindow) -> None:
    """A text or a file; after a reload, and at once in other tabs of the browser."""
    window = await open_window()
    _, number, page = await open_thread(site, window)
    other = await window.open(f"/inbox/c/{number}")
    await tabs_say(page, "Reply", "Private note")
    await page.check("#note")
    await page.set_input_files("#attach", [document("list.txt")])
    await tabs_say(page, "Reply", "Private note")  # it is in sight
    await tabs_say(other, "Reply", "Private note (draft)")
    await page.check("#answer")
    await tabs_say(page, "Reply", "Private note (draft)")
    await expect(page.locator("#chosen")).to_be_hidden()
    await page.fill(FIELD, "to the customer")
    await page.reload()
    await says(page, "live")
    await tabs_say(page, "Reply", "Private note (draft)")
    await page.check("#note")
    await tabs_say(page, "Reply (draft)", "Private note")
    await page.get_by_role("button", name="Remove list.txt").click()
    await page.check("#answer")
    await tabs_say(page, "Reply", "Private note")
    await tabs_say(other, "Reply", "Private note")
    await is_for(other, "reply", "to the customer")


async def test_files_sent_in_one_tab_leave_the_others(site: Site, open_window: OpenWindow) -> None:
    """As their text does: what one tab has sent no other tab sends again."""
    window = await open_window()
    customer, number, page = await open_thread(site, window)
    other = await window.open(f"/inbox/c/{number}")
    await page.set_input_files("#attach", [document("bill.txt")])
    await expect(other.locator("#chosen > li [data-f=name]")).to_have_text(["bill.txt"])
    await page.press(FIELD, "Enter")
    await expect(page.locator('#messages > li[data-state="sent"]')).to_have_count(1)
    await expect(other.locator("#chosen > li")).to_have_count(0)
    await other.press(FIELD, "Enter")
    await other.reload()
    await says(other, "live")
    await expect(other.locator("#chosen > li")).to_have_count(0)
    assert files_of(site, customer) == [(None, False, 1)] or files_of(site, customer) == [
        ("", False, 1)
    ]


async def test_a_row_says_that_its_draft_is_a_note(site: Site, open_window: OpenWindow) -> None:
    """The reply's draft comes first; it never stands there under the other's name."""
    _, number, page = await open_thread(site, await open_window())
    other = await site.writes(site.new_customer(), "me too")
    row = page.locator(f'#rows > li[data-key="{number}"]')
    await page.click("#note")
    await page.fill(FIELD, "between us")
    await page.click(f'#rows > li[data-key="{other}"] a')
    await expect(row.locator("[data-f=draft]")).to_have_text("Note draft")
    await expect(row.locator("[data-f=preview]")).to_have_text("between us")
    await row.locator("a").click()
    await is_for(page, "reply", "")
    await page.fill(FIELD, "to the customer")
    await page.click(f'#rows > li[data-key="{other}"] a')
    await expect(row.locator("[data-f=draft]")).to_have_text("Draft")
    await expect(row.locator("[data-f=preview]")).to_have_text("to the customer")


async def test_enter_goes_with_the_mode_in_which_the_text_was_typed(
    site: Site, open_window: OpenWindow
) -> None:
    """Also when a part of the page has yet to come, and the other tab was chosen meanwhile."""
    window = await open_window()
    release = await hold_back(window.context, "**/later/extras.js")
    customer, _, page = await open_thread(site, window)
    await page.set_input_files("#attach", [document("bill.txt")])
    await page.fill(FIELD, "to the customer")
    await page.press(FIELD, "Enter")
    await page.check("#note")
    await page.fill(FIELD, "between us")
    release()
    await expect(page.locator('#messages > li[data-state="sent"]')).to_have_count(1)
    await is_for(page, "note", "between us")
    assert files_of(site, customer) == [("to the customer", False, 1)]
    await page.press(FIELD, "Enter")
    await eventually(lambda: stored(site, customer)[1:] == [("between us", True)])


async def test_a_word_that_is_being_composed_stays_in_its_mode(
    site: Site, open_window: OpenWindow
) -> None:
    """An input method is in the middle of a word when the other tab is chosen."""
    window = await open_window()
    customer, _, page = await open_thread(site, window)
    keyboard = await window.context.new_cdp_session(page)
    await page.check("#note")
    await page.click(FIELD)
    await keyboard.send(
        "Input.imeSetComposition", {"text": "গোপন", "selectionStart": 4, "selectionEnd": 4}
    )
    await page.click("#answer")
    await is_for(page, "reply", "")
    await keyboard.send("Input.insertText", {"text": "গ্রাহক"})
    await is_for(page, "reply", "গ্রাহক")
    await page.press(FIELD, "Enter")
    await eventually(lambda: stored(site, customer) == [("গ্রাহক", False)])
    await page.check("#note")
    await is_for(page, "note", "গোপন")


async def test_what_is_typed_before_the_scripts_are_there_stays(
    site: Site, open_window: OpenWindow
) -> None:
    """On a slow line the field is there first; a draft that was kept stands below it."""
    window = await open_window()
    _, number, page = await open_thread(site, window)
    await page.fill(FIELD, "kept")
    await page.check("#note")
    await page.fill(FIELD, "between us")
    await page.close()
    release = await hold_back(window.context, "**/js/main.js")
    page = await window.context.new_page()
    await page.goto(f"{window.base_url}/inbox/c/{number}", wait_until="commit")
    await expect(page.locator(TABS).first).to_be_hidden()
    await page.click(FIELD)
    await page.keyboard.type("early")
    release()
    await says(page, "live")
    await is_for(page, "reply", "early\nkept")
    await page.check("#note")
    await is_for(page, "note", "between us")


async def test_enter_held_down_is_one_enter(
    site: Site, open_window: OpenWindow, preferences: object
) -> None:
    """The second one would send at once what can be taken back."""
    await preferences(undoSeconds=10)  # type: ignore[operator]
    customer, _, page = await open_thread(site, await open_window())
    await page.fill(FIELD, "hasty")
    for _ in range(5):
        await page.keyboard.down("Enter")  # as a key that is held down
    await page.keyboard.up("Enter")
    await page.click('#messages > li[data-state="undo"] [data-act=edit]:visible')
    await is_for(page, "reply", "hasty")
    assert stored(site, customer) == []


async def test_the_modes_do_not_look_alike(site: Site, open_window: OpenWindow) -> None:
    """The field and the button have another colour in each."""
    _, _, page = await open_thread(site, await open_window())
    looks = """() => ["#composer", "#reply", "#composer .primary"].map(
      (one) => getComputedStyle(document.querySelector(one)).backgroundColor)"""
    reply = await page.evaluate(looks)
    await page.check("#note")
    note = await page.evaluate(looks)
    assert all(mine != theirs for mine, theirs in zip(reply, note, strict=True)), (reply, note)
