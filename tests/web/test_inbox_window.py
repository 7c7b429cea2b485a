"""Where the channel takes no replies the reply field is closed, and nothing that was written is
lost.
"""

import asyncio
import datetime as dt
import html
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from server.access.authentication import SESSION_COOKIE
from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.site import READ_SECONDS, Site, says
from tests.web.test_inbox_access import violations

DAY = 24 * 3_600
FIELD, BUTTON, WINDOW = "#reply", "#composer .primary", "#window"
LOCALE = Path(__file__).parents[2] / "web" / "locale"
ENGLISH, BENGALI = (
    json.loads((LOCALE / f"{lang}.json").read_text(encoding="utf-8")) for lang in ("en", "bn")
)


@pytest.fixture
async def inbox(site: Site) -> AsyncIterator[Site]:
    """The site, whose inbox is another channel's meanwhile."""
    before = site.sim.inbox.channel
    yield site
    site.sim.inbox.channel = before


async def wrote(site: Site, channel: str, seconds_ago: float) -> tuple[str, int]:
    """A customer who wrote so long ago, and our number of the conversation."""
    site.sim.inbox.channel = channel
    customer = site.new_customer()
    with site.sim.time_shifted(-seconds_ago):
        return customer, await site.writes(customer, "hello")


async def note_goes(site: Site, page: Page, customer: str, text: str) -> None:
    """A note can be written and is stored, and no reply is."""
    await page.check("#note")
    await expect(page.locator(BUTTON)).to_be_enabled()
    await page.fill(FIELD, text)
    await page.press(FIELD, "Enter")
    await expect(page.locator('#messages > li[data-side="note"] [data-f=body]')).to_have_text(text)
    await page.check("#answer")
    assert site.replies_to(customer) == []


async def test_the_field_closes_by_itself_and_opens_with_the_customer(
    inbox: Site, open_window: OpenWindow
) -> None:
    """In the moment that was told, with the text kept; notes stay possible."""
    customer, number = await wrote(inbox, "Channel::Whatsapp", DAY - 25)
    page = await (await open_window()).open(f"/inbox/c/{number}")
    whole = (await inbox.http.get(f"/api/conversations/{number}")).json()
    until = dt.datetime.fromisoformat(whole["replyUntil"])
    await page.fill(FIELD, "half a sen")
    await expect(page.locator(BUTTON)).to_be_enabled()
    assert dt.datetime.now(dt.UTC) < until
    await expect(page.locator(BUTTON)).to_be_disabled(timeout=60_000)
    assert until <= dt.datetime.now(dt.UTC) < until + dt.timedelta(seconds=10)
    await expect(page.locator(WINDOW)).to_have_text(ENGLISH["window.expired"])
    await page.press(FIELD, "Enter")
    await expect(page.locator(FIELD)).to_have_value("half a sen")
    assert await violations(page) == []
    await note_goes(inbox, page, customer, "call her")
    await page.reload()
    await says(page, "live")
    await expect(page.locator(BUTTON)).to_be_disabled()
    await expect(page.locator(FIELD)).to_have_value("half a sen")
    inbox.sim.customer_says(customer, "Hello?")
    await expect(page.locator(BUTTON)).to_be_enabled()
    await asyncio.sleep(READ_SECONDS)
    await page.press(FIELD, "Enter")
    await eventually(lambda: inbox.replies_to(customer) == ["half a sen"])


@pytest.mark.parametrize(("lang", "texts"), [("en", ENGLISH), ("bn", BENGALI)])
async def test_a_refused_reply_stands_in_the_field_again(
    inbox: Site, open_window: OpenWindow, lang: str, texts: dict[str, str]
) -> None:
    """The page cannot know that the longer window of Messenger is over; the server does."""
    customer, number = await wrote(inbox, "Channel::FacebookPage", 8 * DAY)
    window = await open_window(lang=lang)
    window.expected.append("Failed to load resource")
    page = await window.open(f"/inbox/c/{number}")
    await expect(page.locator(WINDOW)).to_have_text(texts["window.perhaps"])
    await page.fill(FIELD, "Of course")
    await page.press(FIELD, "Enter")
    await expect(page.locator(FIELD)).to_have_value("Of course")
    await expect(page.locator(WINDOW)).to_have_text(texts["window.expired"])
    await expect(page.locator(BUTTON)).to_be_disabled()
    await expect(page.locator("#status")).to_have_text(texts["error.window_closed"])
    await expect(page.locator("#messages > li")).to_have_count(1)
    await note_goes(inbox, page, customer, "call her")
    await expect(page.locator(FIELD)).to_have_value("Of course")
    inbox.sim.customer_says(customer, "Hello?")
    await expect(page.locator("#messages > li", has_text="Hello?")).to_be_visible()
    await expect(page.locator(BUTTON)).to_be_enabled()
    await asyncio.sleep(READ_SECONDS)
    await page.press(FIELD, "Enter")
    await eventually(lambda: inbox.replies_to(customer) == ["Of course"])


async def test_without_a_script_the_field_is_closed_and_the_refusal_in_words(inbox: Site) -> None:
    """In the reader's language; the note's button is there."""
    _, number = await wrote(inbox, "Channel::Whatsapp", 2 * DAY)
    cookies = {"omni_lang": "bn", SESSION_COOKIE: inbox.sessions["asha"]}
    async with inbox.omni.client(cookies=cookies) as http:
        page = (await http.get(f"/inbox/c/{number}")).text
        assert '<button class="primary" name="mode" value="reply" disabled' in page
        assert BENGALI["window.expired"] in html.unescape(page)
        answer = await http.post(
            f"/inbox/c/{number}/reply",
            data={"content": "x", "mode": "reply", "client_id": "form-1"},
            headers={"Origin": inbox.omni.base_url},
        )
        assert answer.status_code == 422
        assert "গ্রাহক লিখলে আবার লিখুন" in answer.text


async def test_without_a_script_what_was_written_can_be_copied(
    inbox: Site, open_window: OpenWindow
) -> None:
    """The field is empty when one goes back: browsers do not keep it."""
    _, number = await wrote(inbox, "Channel::FacebookPage", 8 * DAY)
    window = await open_window(java_script_enabled=False)
    window.expected.append("Failed to load resource")
    page = await window.open(f"/inbox/c/{number}", until=None)
    await page.fill(FIELD, "\n<b>two lines</b>\nwith care")
    await page.click(BUTTON)
    await expect(page.get_by_label("What you wrote")).to_have_value("<b>two lines</b>\nwith care")
    await page.goto(f"{inbox.omni.base_url}/inbox/c/999999")
    await expect(page.get_by_label("What you wrote")).to_have_count(0)
