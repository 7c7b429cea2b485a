"""What makes the work quicker: settings, canned replies, taking back, the palette, the keys."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.site import Site, press_shortcut


@pytest.fixture
async def preferences(site: Site) -> AsyncIterator[Any]:
    """Changes Asha's; afterwards they are as they were."""
    before = (await site.http.get("/api/me")).json()["preferences"]

    async def prefer(**given: object) -> None:
        answer = await site.http.patch(
            "/api/me", json={"preferences": given}, headers={"Origin": site.omni.base_url}
        )
        assert answer.status_code == 200, answer.text

    yield prefer
    await prefer(**before)


async def open_thread(
    site: Site, open_window: OpenWindow, text: str = "hello"
) -> tuple[str, int, Page]:
    customer = site.new_customer()
    number = await site.writes(customer, text)
    return customer, number, await (await open_window()).open(f"/inbox/c/{number}")


@pytest.mark.usefixtures("preferences")
async def test_settings_are_kept_for_the_agent(site: Site, open_window: OpenWindow) -> None:
    """Language, digits and look are the agent's, in another browser as well; the form works without
    script.
    """
    page = await (await open_window(java_script_enabled=False)).open("/inbox/settings", until=None)
    await page.select_option("#language", "bn")
    await page.select_option("#digits", "latn")
    await page.select_option("#theme", "dark")
    await page.select_option("#undoSeconds", "5")
    await page.uncheck("#shortcuts")
    await page.click(".primary")
    await expect(page.locator("html")).to_have_attribute("lang", "bn")
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert (await site.http.get("/api/me")).json()["preferences"] == {
        "language": "bn",
        "digits": "latn",
        "theme": "dark",
        "sound": False,
        "notifications": False,
        "shortcuts": False,
        "undoSeconds": 5,
    }
    await site.writes(site.new_customer(), "one")
    other = await (await open_window()).open()
    await expect(other.locator("html")).to_have_attribute("lang", "bn")
    await expect(other.locator("#rows time").first).to_have_text(re.compile(r"^\d\d:\d\d$"))
    await other.keyboard.press("Shift+Slash")
    await expect(other.locator("#help")).to_be_hidden()


async def test_a_reply_can_be_taken_back(
    site: Site, open_window: OpenWindow, preferences: Any
) -> None:
    """For the time that was chosen; Enter again sends it at once."""
    await preferences(undoSeconds=10)
    customer, _, page = await open_thread(site, open_window)
    await page.fill("#reply", "too hasty")
    await page.press("#reply", "Enter")
    await page.click('#messages > li[data-state="undo"] [data-act=edit]:visible')
    await expect(page.locator("#reply")).to_have_value("too hasty")
    await page.fill("#reply", "well considered")
    await page.press("#reply", "Enter")
    await expect(page.locator('#messages > li[data-state="undo"]')).to_have_count(1)
    await page.press("#reply", "Enter")
    await expect(page.locator('#messages > li[data-state="sent"]')).to_have_count(1)
    assert site.replies_to(customer) == ["well considered"]


@pytest.fixture
async def canned(site: Site) -> AsyncIterator[None]:
    """Canned replies of the company, written over the API by one who may."""
    written = {
        "hours": "We are open from 9 to 5.",
        "thanks": "Thank you!",
        "ধন্যবাদ": "ধন্যবাদ! আর কিছু লাগলে জানাবেন।",
    }
    async with site.omni.client(
        site.omni.token(agent_id="writer-of-replies", role="admin")
    ) as boss:
        answers = [
            await boss.post("/api/canned-replies", json={"shortcut": name, "content": text})
            for name, text in written.items()
        ]
        assert [answer.status_code for answer in answers] == [201] * len(written), answers[0].text
        yield
        for answer in answers:
            await boss.delete(f"/api/canned-replies/{answer.json()['id']}")


@pytest.mark.usefixtures("canned")
async def test_canned_replies_are_found_with_a_slash(site: Site, open_window: OpenWindow) -> None:
    """By shortcut and by text, chosen with the keyboard, sent only when asked."""
    customer, _, page = await open_thread(site, open_window)
    options = page.locator("#canned > li")
    await page.locator("#reply").press_sequentially("/")
    await expect(options).to_have_count(3)
    await page.keyboard.type("open")
    await expect(options).to_have_count(1)
    await page.fill("#reply", "/ধন্য")
    await expect(options).to_have_count(1)
    await page.fill("#reply", "/t")
    # whose shortcut begins with it, before those that contain it
    await expect(options.first).to_contain_text("/thanks")
    await page.keyboard.press("ArrowDown")
    await expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Enter")
    await expect(page.locator("#reply")).to_have_value("Thank you!")
    assert site.replies_to(customer) == []
    await page.keyboard.press("Enter")
    await expect(page.locator('#messages > li[data-state="sent"] [data-f=body]')).to_have_text(
        "Thank you!"
    )


async def test_the_palette_opens_people_and_views(site: Site, open_window: OpenWindow) -> None:
    """Ctrl+K, some letters, Enter; also while writing."""
    customer, number, page = await open_thread(site, open_window)
    await page.focus("#reply")
    await press_shortcut(page, "Control+k", "#palette[open]")
    await page.keyboard.type("closed")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(r"status=Closed"))
    await press_shortcut(page, "Control+k", "#palette[open]")
    await page.keyboard.type(customer)
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(f"/inbox/c/{number}"))
    await expect(page.locator("#palette")).to_be_hidden()


async def test_the_palette_acts_on_the_open_conversation_alone(
    site: Site, open_window: OpenWindow
) -> None:
    """And says whose it is; without one nothing of that kind is offered."""
    customer, _, page = await open_thread(site, open_window)
    await press_shortcut(page, "Control+k", "#palette[open]")
    await page.keyboard.type("clos")
    await expect(page.locator("#palette-options > li", has_text=re.compile("^Close"))).to_have_text(
        ["Closed", f"Close conversation{customer}"]
    )
    await page.keyboard.press("Escape")
    await page.click("a.brand")
    await expect(page.locator("#thread-empty")).to_be_visible()
    await press_shortcut(page, "Control+k", "#palette[open]")
    await page.keyboard.type("clos")
    await expect(page.locator("#palette-options > li", has_text=re.compile("^Close"))).to_have_text(
        ["Closed"]
    )


async def test_closing_can_be_undone(site: Site, open_window: OpenWindow) -> None:
    """The button beside the words does it, here and in Chatwoot."""
    customer, _number, page = await open_thread(site, open_window)
    await page.click("#toggle")
    await expect(page.locator("#thread-head")).to_have_attribute("data-status", "Closed")
    assert await page.eval_on_selector(
        "#toast button",
        "(node) => getComputedStyle(node).color !== getComputedStyle(node).backgroundColor",
    )
    await page.click("#toast button")
    await expect(page.locator("#thread-head")).to_have_attribute("data-status", "Open")
    contact = site.sim.find_contact(customer, site.sim.account)
    assert contact is not None
    assert site.sim.conversations_of(contact)[-1].status == "open"


# counts what a browser would show, without a desktop to show it on
COUNT_NOTES = """globalThis.notes = [];
globalThis.Notification = class { static permission = "granted"; constructor(title, { body }) { notes.push([title, body]); } close() {} };
document.hasFocus = () => false;"""  # noqa: E501


@pytest.mark.parametrize("transport", ["worker", "page"])
async def test_one_notification_for_all_tabs(
    site: Site, open_window: OpenWindow, preferences: Any, transport: str
) -> None:
    """Three tabs, one note; none before it was asked for."""
    customer = site.new_customer()
    await site.writes(customer, "before it was asked for")
    window = await open_window()
    await window.context.add_init_script(COUNT_NOTES)
    await preferences(notifications=True)
    tabs = [
        await window.open("/inbox" + ("?transport=page" if transport == "page" else ""))
        for _ in range(3)
    ]

    async def notes() -> list[Any]:
        return [note for tab in tabs for note in await tab.evaluate("notes")]

    await site.writes(customer, "look")
    await eventually(notes)
    await site.writes(customer, "and look")
    await eventually(lambda: _has(notes, [customer, "and look"]))
    assert sorted(body for _, body in await notes()) == ["and look", "look"]


async def test_a_name_turns_no_letters_around(
    site: Site, open_window: OpenWindow, preferences: Any
) -> None:
    """Neither in the system's notification, where it stands among our words, nor in the window's
    title.
    """
    customer = f"\u202e{site.new_customer()}\u2066"
    window = await open_window()
    await window.context.add_init_script(COUNT_NOTES)
    await preferences(notifications=True)
    tab = await window.open("/inbox")
    await site.writes(customer, "look")

    async def notes() -> list[Any]:
        found: list[Any] = await tab.evaluate("notes")
        return found

    [[title, _]] = await eventually(notes, 30)
    assert customer.strip("\u202e\u2066") in title
    assert not {"\u202e", "\u2066"} & set(title + await tab.title())


async def _has(notes: Any, wanted: list[str]) -> bool:
    return any(wanted[0] in title and body == wanted[1] for title, body in await notes())


# notes every tone that is started, in a page that believes it has no focus
COUNT_TONES = """globalThis.contexts = 0;
globalThis.tones = [];
const start = OscillatorNode.prototype.start;
OscillatorNode.prototype.start = function (at) { tones.push(this.frequency.value); return start.call(this, at); };
globalThis.AudioContext = class extends AudioContext { constructor(...given) { super(...given); contexts++; } };
document.hasFocus = () => false;"""  # noqa: E501


async def tones_of(tabs: list[Page]) -> list[float]:
    return [tone for tab in tabs for tone in await tab.evaluate("tones")]


async def test_one_tab_plays_the_sound_and_only_when_asked(
    site: Site, open_window: OpenWindow, preferences: Any
) -> None:
    """Two tones for a message, whatever the number of tabs; nothing that could sound before it was
    asked for.
    """
    customer = site.new_customer()
    number = await site.writes(customer, "before it was asked for")
    window = await open_window()
    await window.context.add_init_script(COUNT_TONES)
    silent = await window.open()
    await silent.click(".views a")
    await site.writes(customer, "unheard")
    await expect(silent.locator(f'#rows > li[data-key="{number}"] [data-f=preview]')).to_have_text(
        "unheard"
    )
    assert await silent.evaluate("[contexts, tones]") == [0, []]
    await silent.close()
    await preferences(sound=True)
    tabs = [await window.open() for _ in range(3)]
    for tab in tabs:
        await tab.bring_to_front()
        await tab.click(".views a")  # browsers give no sound to pages nobody has touched
    await site.writes(customer, "heard")
    await eventually(lambda: _has_tones(tabs, 2))
    await site.writes(customer, "heard again")
    await eventually(lambda: _has_tones(tabs, 4))
    for tab in tabs:
        await expect(tab.locator(f'#rows > li[data-key="{number}"] [data-f=preview]')).to_have_text(
            "heard again"
        )
    assert await tones_of(tabs) == [660, 880] * 2


async def _has_tones(tabs: list[Page], count: int) -> bool:
    return len(await tones_of(tabs)) >= count


async def reach(page: Page, selector: str, key: str = "Tab") -> None:
    """Press the key until the focus is there."""
    for _ in range(80):
        if await page.evaluate(
            "wanted => document.activeElement?.matches(wanted) ?? false", selector
        ):
            return
        await page.keyboard.press(key)
    raise AssertionError(f"{key} never came to {selector}")


@pytest.mark.usefixtures("canned")
async def test_every_tool_is_reached_by_keys(site: Site, open_window: OpenWindow) -> None:
    """Search, filter, note, canned reply, file, close and take back, palette, views and settings,
    without a mouse.
    """
    customer = site.new_customer()
    await site.writes(customer, "no mouse here either")
    page = await (await open_window()).open()
    await press_shortcut(page, "Slash", "#q:focus")
    await page.keyboard.type(customer)
    await expect(page.locator("#rows > li")).to_have_count(1)
    await page.keyboard.press("Tab")
    await expect(page.locator("#platform")).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await expect(page).to_have_url(re.compile("platform="))
    await page.keyboard.press("ArrowUp")
    await expect(page).not_to_have_url(re.compile("platform="))
    await expect(page.locator("#rows > li")).to_have_count(1)
    await reach(page, "#rows a")
    await page.keyboard.press("Enter")
    await expect(page.locator("#reply")).to_be_focused()
    await reach(page, "#answer", "Shift+Tab")
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("#note")).to_be_focused()
    await reach(page, "#reply")
    await page.keyboard.type("among us")
    await page.keyboard.press("Enter")
    note = page.locator("#messages > li", has_text="among us")
    await expect(note.locator("[data-f=note]")).to_be_visible()
    await page.keyboard.type("/")
    await expect(page.locator("#canned > li").first).to_be_visible()
    await page.keyboard.press("Enter")
    await expect(page.locator("#reply")).not_to_have_value("/")
    await reach(page, "#attach")
    await reach(page, "#toggle", "Shift+Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator("#thread-head")).to_have_attribute("data-status", "Closed")
    # the event may be here before the answer to the act, which offers the way back
    await expect(page.locator("#toast")).to_be_visible()
    await page.keyboard.press("u")
    await expect(page.locator("#thread-head")).to_have_attribute("data-status", "Open")
    await reach(page, "[data-view=Closed]", "Shift+Tab")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("status=Closed"))
    await press_shortcut(page, "Control+k", "#palette[open]")
    await page.keyboard.type(customer)
    await expect(page.locator("#palette-options > li").first).to_contain_text(
        "no mouse here either"
    )
    await page.keyboard.press("Enter")
    await expect(page.locator("#thread-name")).to_have_text(customer)
    await reach(page, ".menu > summary", "Shift+Tab")
    await page.keyboard.press("Enter")
    await reach(page, '.menu a[href="/inbox/settings"]')
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/inbox/settings")
    await reach(page, "#theme")
