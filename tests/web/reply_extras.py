"""What the tests of quotes, copies and files of a reply share: conversations of other channels, and
scripts that come late.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page, Route, expect

from server.lab.chatwoot_sim.model import Message
from tests.web.site import INBOX_ADDRESS, Site

Channel = Callable[[str], None]
SENT = '#messages > li[data-state="sent"]'


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


async def quote_by_keyboard(page: Page, text: str) -> None:
    """By keyboard: the button is reached, and pressed."""
    button = page.locator("#messages > li", has_text=text).get_by_role(
        "button", name="Reply to this message"
    )
    await button.focus()
    await expect(button).to_be_focused()
    await page.keyboard.press("Enter")


async def mail(site: Site) -> tuple[str, int]:
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


async def hold_back(context: BrowserContext, path: str) -> Callable[[], None]:
    """Hold back the answers for a script until what is returned is called."""
    released = asyncio.Event()

    async def wait(route: Route) -> None:
        await released.wait()
        await route.continue_()

    await context.route(path, wait)
    return released.set
