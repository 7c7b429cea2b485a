"""Replies that the server has refused because their channel takes none, and the text that is being
written when they come back: each stays, in its place, whole and once.
"""

import asyncio

import pytest
from playwright.async_api import BrowserContext, CDPSession, Route, expect

from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.site import READ_SECONDS, Site, Window, says
from tests.web.test_inbox_files import document
from tests.web.test_inbox_tools import preferences
from tests.web.test_inbox_window import BUTTON, DAY, FIELD, inbox, wrote
from tests.web.test_inbox_writing import is_for, stored

__all__ = ["inbox", "preferences"]

REFUSED = "Failed to load resource"  # as the browser's console says it


class Held:
    """Answers to replies that have left the server, and wait on their way to the page."""

    def __init__(self) -> None:
        self.answered = asyncio.Event()
        self.arrive = asyncio.Event()

    async def pass_on(self, route: Route) -> None:
        response = await route.fetch()
        self.answered.set()
        await self.arrive.wait()
        await route.fulfill(response=response)


async def held_answers(context: BrowserContext) -> Held:
    held = Held()
    await context.route("**/api/conversations/*/reply", held.pass_on)
    return held


@pytest.fixture
async def closed(inbox: Site, open_window: OpenWindow) -> tuple[str, int, Window]:
    """A customer whom nobody can answer, which the page does not know yet; and a window."""
    customer, number = await wrote(inbox, "Channel::FacebookPage", 8 * DAY)
    window = await open_window()
    window.expected.append(REFUSED)
    return customer, number, window


Closed = tuple[str, int, Window]


async def test_what_another_tab_is_typing_stays_beside_it(inbox: Site, closed: Closed) -> None:
    """It comes back in the tab that has sent it, while somebody writes on in another one."""
    _, number, window = closed
    page, other = [await window.open(f"/inbox/c/{number}") for _ in range(2)]
    held = await held_answers(window.context)
    await page.fill(FIELD, "Of course")
    await page.press(FIELD, "Enter")
    await held.answered.wait()
    await other.bring_to_front()
    await other.click(FIELD)
    await other.keyboard.type("And")
    held.arrive.set()
    await other.keyboard.type(" something else", delay=100)
    for tab in (page, other):
        await is_for(tab, "reply", "Of course\nAnd something else")
    await other.reload()
    await is_for(other, "reply", "Of course\nAnd something else")


async def test_a_word_that_is_being_composed_is_not_said_twice(inbox: Site, closed: Closed) -> None:
    """It comes back once the word stands."""
    _, number, window = closed
    page = await window.open(f"/inbox/c/{number}")
    held = await held_answers(window.context)
    await page.fill(FIELD, "Of course")
    await page.press(FIELD, "Enter")
    await held.answered.wait()
    keyboard = await window.context.new_cdp_session(page)
    await _compose(keyboard, "গো")
    held.arrive.set()
    await expect(page.locator('#messages > li[data-state="failed"]')).to_have_count(1)
    await _compose(keyboard, "গোপন")
    await is_for(page, "reply", "গোপন")
    await keyboard.send("Input.insertText", {"text": "গোপন"})
    await is_for(page, "reply", "Of course\nগোপন")


async def _compose(keyboard: CDPSession, text: str) -> None:
    await keyboard.send(
        "Input.imeSetComposition",
        {"text": text, "selectionStart": len(text), "selectionEnd": len(text)},
    )


async def test_a_customer_who_has_written_since_can_be_answered(
    inbox: Site, closed: Closed
) -> None:
    """The refusal is older than their message, and comes to the page later."""
    customer, number, window = closed
    page = await window.open(f"/inbox/c/{number}")
    held = await held_answers(window.context)
    await page.fill(FIELD, "Of course")
    await page.press(FIELD, "Enter")
    await held.answered.wait()
    await inbox.writes(customer, "Hello?")
    await expect(page.locator("#messages > li", has_text="Hello?")).to_be_visible()
    held.arrive.set()
    await is_for(page, "reply", "Of course")
    await expect(page.locator(BUTTON)).to_be_enabled()
    await asyncio.sleep(READ_SECONDS)
    await page.press(FIELD, "Enter")
    await eventually(lambda: inbox.replies_to(customer) == ["Of course"])


async def test_replies_come_back_in_their_order(
    inbox: Site, closed: Closed, preferences: object
) -> None:
    """Also where the next one waits for its last moment to be taken back."""
    await preferences(undoSeconds=5)  # type: ignore[operator]
    _, number, window = closed
    page = await window.open(f"/inbox/c/{number}")
    await page.fill(FIELD, "first")
    await page.press(FIELD, "Enter")
    await asyncio.sleep(2)  # so long after it the second one is written
    await page.fill(FIELD, "second")
    await page.press(FIELD, "Enter")
    await expect(page.locator('#messages > li[data-state="failed"]')).to_have_count(1)
    await expect(page.locator("#messages > li")).to_have_count(1)
    await is_for(page, "reply", "first\nsecond")


async def test_what_waited_for_the_line_comes_back_whole(inbox: Site, closed: Closed) -> None:
    """Three replies with a file and a note, sent by two tabs: the note goes, the replies come back
    in order, and the drafts of both kinds stay.
    """
    customer, number, window = closed
    window.expected.append("INTERNET_DISCONNECTED")
    page, other = [await window.open(f"/inbox/c/{number}") for _ in range(2)]
    await window.context.set_offline(True)
    for text in ("one", "two", "three"):
        await page.fill(FIELD, text)
        if text == "two":
            await page.set_input_files("#attach", [document("bill.txt")])
        await page.press(FIELD, "Enter")
    await page.check("#note")
    await page.fill(FIELD, "between us")
    await page.press(FIELD, "Enter")
    await page.fill(FIELD, "half a note")
    await window.context.set_offline(False)
    await says(page, "live", limit=60)
    await is_for(other, "reply", "one\ntwo\nthree")
    await expect(other.locator("#chosen > li")).to_have_text(["bill.txt×"])
    await eventually(lambda: stored(inbox, customer) == [("between us", True)])
    await is_for(page, "note", "half a note")
    await expect(page.locator("#chosen")).to_be_hidden()
    await page.check("#answer")
    await is_for(page, "reply", "one\ntwo\nthree")
    await expect(page.locator("#chosen > li")).to_have_text(["bill.txt×"])


async def test_another_conversation_is_left_alone(inbox: Site, closed: Closed) -> None:
    """Its draft stays, and the refused reply waits in its own bubble."""
    _, number, window = closed
    second = await inbox.writes(inbox.new_customer(), "me too")
    page = await window.open(f"/inbox/c/{number}")
    held = await held_answers(window.context)
    await page.fill(FIELD, "Of course")
    await page.press(FIELD, "Enter")
    await held.answered.wait()
    await page.click(f'#rows > li[data-key="{second}"] a')
    await page.fill(FIELD, "for the second")
    held.arrive.set()
    failed = page.locator(f'#rows > li[data-key="{number}"] [data-f=failed]')
    await expect(failed).to_be_visible()
    await is_for(page, "reply", "for the second")
    await page.click(f'#rows > li[data-key="{number}"] a')
    await page.click('#messages > li[data-state="failed"] [data-act=edit]:visible')
    await is_for(page, "reply", "Of course")
    await page.click(f'#rows > li[data-key="{second}"] a')
    await is_for(page, "reply", "for the second")


async def test_a_newer_quote_stays(
    site: Site, open_window: OpenWindow, preferences: object
) -> None:
    """A reply that is taken back does not undo what was chosen since."""
    await preferences(undoSeconds=10)  # type: ignore[operator]
    number = await site.writes(site.new_customer(), "hello")
    page = await (await open_window()).open(f"/inbox/c/{number}")
    await page.fill(FIELD, "hasty")
    await page.press(FIELD, "Enter")
    await page.fill(FIELD, "newer")
    await page.locator("#messages .reply-to").first.click()
    await expect(page.locator(".quoting")).to_be_visible()
    await page.click('#messages > li[data-state="undo"] [data-act=edit]:visible')
    await is_for(page, "reply", "hasty\nnewer")
    await expect(page.locator(".quoting")).to_be_visible()
