"""What marks a conversation, in its row and in the head of its thread: it comes and goes as
Chatwoot tells it, without a reload, in both languages, at each width.
"""

import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from playwright.async_api import Page, expect

from server.lab.chatwoot_sim import ChatwootSim
from server.lab.chatwoot_sim.model import Conversation
from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.site import Site, connect_inbox, running_site
from tests.web.test_inbox_access import LOOKS, violations

SHOP = "Dhaka Fashion: কাপড় ও শাড়ি"
LONG = "মোহাম্মদ আব্দুল্লাহ আল মামুন চৌধুরী (Chattogram)"
# boxes of a row that lie over each other or leave it, and the shares of its name and its text
CROWDED = """(row) => {
  const slot = (name) => row.querySelector(`[data-f=${name}]`);
  const text = (node) => node.matches(".row-mark") ? node.lastChild : node;
  // with what is printed beyond an element's own edge, unless it is cut off there
  const end = (node) => Math.max(...[node, text(node)].map((one) => one.getBoundingClientRect().right));
  const box = (name) => ({ left: slot(name).getBoundingClientRect().left, width: slot(name).offsetWidth, right: end(slot(name)) });
  const whole = row.getBoundingClientRect();
  const line = (names) => names.map(box).filter(({ width }) => width > 0);
  const over = (boxes) => boxes.some((one, n) => n > 0 && one.left < boxes[n - 1].right - 1);
  const lines = [line(["name", "channel", "time"]), line(["preview", "team", "status", "barrier", "waiting", "count"])];
  const left = lines.flat().filter(({ left, right }) => left < whole.left || right > whole.right + 1);
  const share = (node) => node.offsetWidth / node.parentNode.offsetWidth;
  return { over: lines.map(over), left: left.length, name: share(slot("name")), text: share(row.querySelector(".row-text")),
    wide: document.documentElement.scrollWidth > innerWidth };
}"""  # noqa: E501


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Site]:
    """One whose company has two inboxes, so that their names are shown."""
    env = {"CHATWOOT_SOCKETS": "true", "CHATWOOT_SOCKET_WAIT_SECONDS": "0.1"}
    async with running_site(tmp_path_factory.mktemp("marks"), env) as running:
        running.sim.add_inbox("Support", account=running.sim.account, id=2)
        await connect_inbox(running, 2)

        async def is_known() -> bool:
            return '"hasInboxes": true' in (await running.http.get("/inbox")).text

        await eventually(is_known)
        await eventually(lambda: bool(running.sim.cable.subscriptions))
        yield running


@dataclass
class Open:
    """A conversation in Chatwoot, and the page on which it is open."""

    page: Page
    there: Conversation
    number: int

    def row(self, name: str) -> str:
        return f'#rows > li[data-key="{self.number}"] [data-f={name}]'

    async def is_marked(self, name: str, words: str, chip: str | None = None) -> None:
        """In the row by its name, and in the head by a chip."""
        mark = self.page.locator(self.row(name))
        await expect(mark).to_be_visible()
        await expect(mark).to_have_attribute("aria-label", words)
        await expect(mark).to_have_attribute("title", words)
        chips = self.page.locator("#thread-head .chips li")
        await expect(chips.filter(has_text=chip or words)).to_be_visible()

    async def is_bare(self, name: str, chip: str) -> None:
        await expect(self.page.locator(self.row(name))).to_be_hidden()
        await expect(self.page.locator("#thread-head .chips", has_text=chip)).to_have_count(0)


async def opened(site: Site, open_window: OpenWindow, name: str = "Marked", **look: object) -> Open:
    customer = site.new_customer(name)
    number = await site.writes(customer, "first word", "second word")
    contact = site.sim.find_contact(customer, site.sim.account)
    assert contact is not None
    there = site.sim.conversations_of(contact)[-1]
    page = await (await open_window(**look)).open(f"/inbox/c/{number}?status=all")
    await page.evaluate("window.isSame = true")
    return Open(page, there, number)


async def test_a_snooze_comes_and_goes(site: Site, open_window: OpenWindow) -> None:
    """Until when, in the agent's words; in place of the time that nobody waits meanwhile."""
    one = await opened(site, open_window)
    at = time.time() + 40 * 86_400
    site.sim.set_status(one.there, "snoozed", snoozed_until=at)
    words = re.compile(r"^Snoozed until \d+ \w{3}( \d{4})?, \d\d:\d\d$")
    await expect(one.page.locator(one.row("status"))).to_have_attribute("title", words)
    title = await one.page.locator(one.row("status")).get_attribute("title") or ""
    await one.is_marked("status", title)
    await expect(one.page.locator(one.row("waiting"))).to_be_hidden()
    links = one.page.locator("#rows").get_by_role("link", name=title)
    await expect(links.and_(one.page.locator("[aria-current=page]"))).to_be_visible()
    site.sim.set_status(one.there, "snoozed", snoozed_until=None)
    await one.is_marked("status", "Snoozed until the customer writes")
    site.sim.set_status(one.there, "open")
    await one.is_bare("status", "Snoozed")
    assert await one.page.evaluate("window.isSame")


def _block(sim: ChatwootSim, one: Conversation, on: bool) -> None:
    sim.update_contact(one.contact, blocked=on)


def _mute(sim: ChatwootSim, one: Conversation, on: bool) -> None:
    sim.update_contact(one.contact, blocked=on)
    sim.set_status(one, "resolved" if on else "open")


def _give(sim: ChatwootSim, one: Conversation, on: bool) -> None:
    sim.assign_team(one, "Returns" if on else None)


def _pend(sim: ChatwootSim, one: Conversation, on: bool) -> None:
    sim.set_status(one, "pending" if on else "open")


@pytest.mark.parametrize(
    ("change", "name", "words", "chip"),
    [
        (_give, "team", "Team: Returns", "Returns"),
        (_pend, "status", "Pending: not handed to the agents yet", "Pending"),
        (_block, "barrier", "The customer is blocked", "Blocked"),
        (_mute, "barrier", "Muted: the customer is blocked", "Muted"),
    ],
)
async def test_a_mark_comes_and_goes(
    site: Site,
    open_window: OpenWindow,
    change: Callable[[ChatwootSim, Conversation, bool], None],
    name: str,
    words: str,
    chip: str,
) -> None:
    """In row and head, as Chatwoot's webhook tells it, on a page that is not loaded again."""
    one = await opened(site, open_window)
    await one.is_bare(name, chip)
    change(site.sim, one.there, True)
    await one.is_marked(name, words, chip)
    change(site.sim, one.there, False)
    await one.is_bare(name, chip)
    assert await one.page.evaluate("window.isSame")


async def test_a_new_name_of_an_inbox_reaches_all_its_rows(
    site: Site, open_window: OpenWindow
) -> None:
    """Rows that no event is about, the head, and what is loaded afterwards."""
    first, one = await opened(site, open_window), await opened(site, open_window)
    before = site.sim.inbox.name
    await one.is_marked("channel", f"Web chat: {before}")
    site.sim.rename_inbox(site.sim.inbox, SHOP)
    await one.is_marked("channel", f"Web chat: {SHOP}")
    row = one.page.locator(f'#rows > li[data-key="{first.number}"] [data-f=channel]')
    await expect(row).to_have_attribute("title", f"Web chat: {SHOP}")
    assert await one.page.evaluate("window.isSame")

    async def all_have_it() -> bool:
        listed = (await site.http.get("/api/conversations")).json()
        return {c["inboxName"] for c in listed if c["integrationId"] == 1} == {SHOP}

    await eventually(all_have_it)
    # an event of another conversation does not bring the old name back
    await site.writes(site.new_customer(), "after the new name")
    site.sim.set_priority(first.there, "high")
    await site.sim.webhooks.flushed()
    await one.is_marked("channel", f"Web chat: {SHOP}")
    site.sim.rename_inbox(site.sim.inbox, before)
    await one.is_marked("channel", f"Web chat: {before}")


async def test_a_new_name_of_a_customer_reaches_older_messages(
    site: Site, open_window: OpenWindow
) -> None:
    """Row, head and the name above each of the customer's messages."""
    one = await opened(site, open_window)
    name = site.new_customer("শাহনাজ বেগম")
    site.sim.update_contact(one.there.contact, name=name)
    await expect(one.page.locator(one.row("name"))).to_have_text(name)
    await expect(one.page.locator(one.row("name"))).to_have_attribute("title", name)
    await expect(one.page.locator("#thread-name")).to_have_text(name)
    for who in await one.page.locator("#messages > li [data-f=who]").all():
        await expect(who).to_have_text(name)
    senders = {m["senderName"] for m in await site.messages(one.number)}
    assert senders == {name}


async def test_a_mails_subject_stands_in_the_head(site: Site, open_window: OpenWindow) -> None:
    """Where there is one."""
    one = await opened(site, open_window)
    await expect(one.page.locator("#thread-head [data-f=subject]")).to_be_hidden()
    one.there.additional_attributes["mail_subject"] = "Order #5512 & refund"
    site.sim.set_priority(one.there, "low")
    subject = one.page.locator("#thread-head [data-f=subject]")
    await expect(subject).to_have_text("Order #5512 & refund")
    await expect(subject).to_have_attribute("title", "Order #5512 & refund")


async def test_not_sent_leads_to_the_reply(site: Site, open_window: OpenWindow) -> None:
    """A mark in the row for everybody, also on pages that are opened later: pressing it, or the
    chip in the head, shows the reply. It goes when the reply is sent.
    """
    one, other = await opened(site, open_window), await opened(site, open_window)
    site.sim.switches.set(fail_next=1, fail_status=422, fail_writes_only=True)
    await one.page.fill("#reply", "refused")
    await one.page.press("#reply", "Enter")
    await expect(one.page.locator("#messages > li[data-state=failed]")).to_be_visible()
    late = await (await open_window("tomas")).open(f"/inbox/c/{other.number}")
    for page in (other.page, late):
        mark = page.locator(one.row("failed"))
        await expect(mark).to_have_text("Not sent")
        await mark.click()
        await expect(page).to_have_url(re.compile(rf"/inbox/c/{one.number}\b.*#m\d+$"))
        await expect(page.locator("#messages > li[data-wanted]")).to_contain_text("refused")
    chip = one.page.locator("#thread-head").get_by_role("link", name="Not sent")
    await chip.focus()
    await one.page.keyboard.press("Enter")
    await expect(one.page.locator("#messages > li[data-wanted]")).to_contain_text("refused")
    await one.page.click("#messages > li[data-state=failed] [data-act=retry]")
    for page in (one.page, late):
        await expect(page.locator(one.row("failed"))).to_be_hidden()
        await expect(page.locator("#thread-head .chips", has_text="Not sent")).to_have_count(0)


async def fully_marked(site: Site, one: Open) -> None:
    sim = site.sim
    sim.update_contact(one.there.contact, blocked=True)
    sim.assign_team(one.there, "Returns and exchanges, ঢাকা")
    sim.set_labels(one.there, ["vip", "ফেরত"])
    sim.set_priority(one.there, "urgent")
    one.there.additional_attributes["mail_subject"] = "Order #5512 & refund"
    sim.set_status(one.there, "snoozed", snoozed_until=time.time() + 40 * 86_400)
    for name in ("barrier", "team", "status"):
        await expect(one.page.locator(one.row(name))).to_have_attribute("title", re.compile("."))


@pytest.mark.parametrize(("lang", "theme"), LOOKS)
@pytest.mark.parametrize("width", [1440, 768, 390])
async def test_all_marks_leave_room_for_name_and_text(
    site: Site, open_window: OpenWindow, lang: str, theme: str, width: int
) -> None:
    """Nothing lies over anything else or leaves its row; axe finds nothing."""
    size = {"width": width, "height": 900}
    one = await opened(site, open_window, LONG, lang=lang, theme=theme, viewport=size)
    await fully_marked(site, one)
    if width < 800:
        assert await violations(one.page) == []
        await one.page.click("a.back")
    row = one.page.locator(f'#rows > li[data-key="{one.number}"]')
    await expect(row).to_be_visible()
    found = await row.evaluate(CROWDED)
    assert found["over"] == [False, False]
    assert (found["left"], found["wide"]) == (0, False)
    assert found["name"] > 0.4
    assert found["text"] > 0.39
    assert await violations(one.page) == []
