"""Replies and notes are two places: what was written in one never comes out of the other, whatever
happens to the page.
"""

import httpx
import pytest
from playwright.async_api import BrowserContext, Page, expect

from server.access.authentication import SESSION_COOKIE
from server.outgoing.new_replies import MAX_CONTENT_CHARACTERS
from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.site import Site, Window, says
from tests.web.test_inbox_files import document
from tests.web.test_inbox_tools import preferences

__all__ = ["preferences"]

FIELD = "#reply"


async def open_thread(site: Site, window: Window) -> tuple[str, int, Page]:
    customer = site.new_customer()
    number = await site.writes(customer, "hello")
    return customer, number, await window.open(f"/inbox/c/{number}")


def stored(site: Site, customer: str) -> list[tuple[str | None, bool]]:
    """What Chatwoot has of us in the customer's conversations: texts, and whether each is
    private.
    """
    contact = site.sim.find_contact(customer, site.sim.account)
    assert contact is not None
    return [
        (m.content, m.private)
        for c in site.sim.conversations_of(contact)
        for m in c.messages
        if m.message_type == 1
    ]


async def is_for(page: Page, kind: str, text: str) -> None:
    """The field says it is for this kind, in every place, and holds the text."""
    words = {
        "note": ("Note to colleagues; the customer won’t see it", "Private note", "Add note"),
        "reply": ("Write a reply", "Reply", "Send"),
    }[kind]
    await expect(page.locator(FIELD)).to_have_value(text)
    await expect(page.locator(FIELD)).to_have_attribute("placeholder", words[0])
    await expect(page.locator(".composer label[for=reply]")).to_have_text(words[1])
    await expect(page.locator(".composer .primary")).to_have_text(words[2])
    await expect(page.locator("#note")).to_be_checked(checked=kind == "note")
    await expect(page.locator(".composer[data-note]")).to_have_count(int(kind == "note"))


async def test_a_note_typed_before_a_reload_is_a_note_afterwards(
    site: Site, open_window: OpenWindow
) -> None:
    """The page begins with the reply; the note waits where notes are written, and goes to
    colleagues alone.
    """
    customer, _, page = await open_thread(site, await open_window())
    await page.fill(FIELD, "to the customer")
    await page.check("#note")
    await is_for(page, "note", "")
    await page.fill(FIELD, "the customer is difficult")
    await page.reload()
    await says(page, "live")
    await is_for(page, "reply", "to the customer")
    await expect(page.locator(".modes label").last).to_have_text("Private note (draft)")
    await page.check("#note")
    await is_for(page, "note", "the customer is difficult")
    await page.press(FIELD, "Enter")
    note = page.locator('#messages > li[data-side="note"]')
    await expect(note).to_have_attribute("id", "m" + await _number_of(site, page))
    await expect(note.locator("[data-f=state]")).to_be_hidden()
    await page.check("#answer")
    await is_for(page, "reply", "to the customer")
    await expect(page.locator(".modes label").last).to_have_text("Private note")
    await page.press(FIELD, "Enter")
    await expect(page.locator('#messages > li[data-state="sent"]')).to_have_count(1)
    assert stored(site, customer) == [
        ("the customer is difficult", True),
        ("to the customer", False),
    ]
    await page.reload()
    await expect(note.locator("[data-f=state]")).to_be_hidden()


async def _number_of(site: Site, page: Page) -> str:
    number = int(page.url.rsplit("/", 1)[1])

    async def found() -> str | None:
        return next(
            (
                str(m["id"])
                for m in await site.messages(number)
                if m["private"] and m["chatwootMessageId"]
            ),
            None,
        )

    return await eventually(found)


async def test_the_mode_stays_with_its_conversation(site: Site, open_window: OpenWindow) -> None:
    """Another conversation is opened to be answered; so is the first one when it is opened again,
    or come back to.
    """
    window = await open_window()
    _, first, page = await open_thread(site, window)
    second = await site.writes(site.new_customer(), "me too")
    await page.check("#note")
    await page.fill(FIELD, "about the first")
    await page.click(f'#rows > li[data-key="{second}"] a')
    await is_for(page, "reply", "")
    await page.check("#note")
    await is_for(page, "note", "")
    await page.fill(FIELD, "about the second")
    await page.go_back()
    await is_for(page, "reply", "")
    await page.check("#note")
    await is_for(page, "note", "about the first")
    await page.goto(f"{site.omni.base_url}/inbox/settings")
    await page.go_back()
    await says(page, "live")
    await is_for(page, "reply", "")
    await page.click(f'#rows > li[data-key="{second}"] a')
    await is_for(page, "reply", "")
    await page.check("#note")
    await is_for(page, "note", "about the second")
    assert first != second


async def test_what_is_taken_back_returns_to_its_kind(
    site: Site, open_window: OpenWindow, preferences: object
) -> None:
    """Text and files of a note are a note again, before what was being written there; so is a
    refused one.
    """
    await preferences(undoSeconds=10)  # type: ignore[operator]
    customer, _, page = await open_thread(site, await open_window())
    await page.check("#note")
    await page.fill(FIELD, "hasty note")
    await page.set_input_files("#attach", [document("list.txt")])
    await page.press(FIELD, "Enter")
    await page.check("#answer")
    await page.fill(FIELD, "a reply")
    await expect(page.locator("#chosen")).to_be_hidden()
    await page.click('#messages > li[data-state="undo"] [data-act=edit]:visible')
    await is_for(page, "note", "hasty note")
    await expect(page.locator("#chosen > li")).to_have_text(["list.txt×"])
    await page.reload()
    await says(page, "live")
    await is_for(page, "reply", "a reply")
    await expect(page.locator("#chosen")).to_be_hidden()
    await page.check("#note")
    await is_for(page, "note", "hasty note")
    await expect(page.locator("#chosen > li")).to_have_text(["list.txt×"])
    assert stored(site, customer) == []


async def test_taking_back_works_in_every_tab(
    site: Site, open_window: OpenWindow, preferences: object
) -> None:
    """A second tab neither hurries it nor keeps it; what one tab takes back no tab sends."""
    await preferences(undoSeconds=10)  # type: ignore[operator]
    window = await open_window()
    customer, number, page = await open_thread(site, window)
    await page.fill(FIELD, "too hasty")
    await page.press(FIELD, "Enter")
    other = await window.open(f"/inbox/c/{number}")
    await other.click('#messages > li[data-state="undo"] [data-act=edit]:visible')
    await expect(other.locator(FIELD)).to_have_value("too hasty")
    await expect(page.locator('#messages > li[data-state="undo"]')).to_have_count(0)
    await page.fill(FIELD, "well considered")
    await page.press(FIELD, "Enter")
    await expect(other.locator('#messages > li[data-state="undo"]')).to_have_count(1)
    await page.close()  # the other one has to send it now
    await expect(other.locator('#messages > li[data-state="sent"]')).to_have_count(
        1, timeout=60_000
    )
    assert stored(site, customer) == [("well considered", False)]


async def test_a_draft_sent_in_one_tab_leaves_the_other(
    site: Site, open_window: OpenWindow
) -> None:
    """Two tabs on one conversation show one draft; sent in one, it does not stand in the other to
    be sent again.
    """
    window = await open_window()
    customer, number, page = await open_thread(site, window)
    other = await window.open(f"/inbox/c/{number}")
    await page.fill(FIELD, "once is enough")
    await expect(other.locator(FIELD)).to_have_value("once is enough")
    await page.press(FIELD, "Enter")
    await expect(other.locator(FIELD)).to_have_value("")
    await expect(other.locator('#messages > li[data-state="sent"]')).to_have_count(1)
    await other.press(FIELD, "Enter")
    await other.reload()
    await expect(other.locator(FIELD)).to_have_value("")
    assert stored(site, customer) == [("once is enough", False)]


async def test_a_draft_of_an_earlier_version_is_a_note(site: Site, open_window: OpenWindow) -> None:
    """It did not say what it was: it is shown to nobody outside until somebody decides so."""
    window = await open_window()
    _, number, page = await open_thread(site, window)
    me = await page.evaluate("JSON.parse(document.querySelector('#boot').textContent).agent.id")
    await page.evaluate(
        "([key, text]) => localStorage.setItem(key, text)",
        [f"omni:draft:{me}:{number}", "was it one?"],
    )
    await page.reload()
    await says(page, "live")
    await is_for(page, "reply", "")
    await page.check("#note")
    await is_for(page, "note", "was it one?")


# as much as the browser takes, to the last byte
FILL = """() => {
  for (let size = 1 << 22; size >= 1; size >>= 1)
    for (let n = 0; ; n++) try { localStorage.setItem(`fill-${size}-${n}`, "x".repeat(size)); } catch { break; }
}"""  # noqa: E501


async def test_a_full_browser_keeps_the_text_in_the_field(
    site: Site, open_window: OpenWindow
) -> None:
    """It says so, and loses nothing; with room again the same text goes out, once."""
    customer, _number, page = await open_thread(site, await open_window())
    other = await site.writes(site.new_customer(), "another one")
    await page.evaluate(FILL)
    await page.fill(FIELD, "no room for this")
    await page.press(FIELD, "Enter")
    await expect(page.locator(FIELD)).to_have_value("no room for this")
    assert "no room left" in await page.eval_on_selector(FIELD, "(node) => node.validationMessage")
    await page.click(f'#rows > li[data-key="{other}"] a')
    await is_for(page, "reply", "")
    await page.go_back()
    await is_for(page, "reply", "no room for this")
    assert stored(site, customer) == []
    await page.evaluate(
        "() => { for (const key of Object.keys(localStorage)) if (key.startsWith('fill')) "
        "localStorage.removeItem(key); }"
    )
    await page.press(FIELD, "Enter")
    await expect(page.locator('#messages > li[data-state="sent"]')).to_have_count(1)
    assert stored(site, customer) == [("no room for this", False)]


async def sign_in(context: BrowserContext, site: Site, agent: str) -> None:
    """In this browser, as another person at the same desk does."""
    await context.add_cookies(
        [{"name": SESSION_COOKIE, "value": site.sessions[agent], "url": site.omni.base_url}]
    )


async def test_nobody_sends_in_another_s_name(site: Site, open_window: OpenWindow) -> None:
    """A tab made for one agent, in a browser where another has signed in: refused, and the text is
    the writer's still.
    """
    window = await open_window("asha")
    window.expected += ["409", "401"]
    customer, number, page = await open_thread(site, window)
    await page.check("#note")
    await page.fill(FIELD, "asha's note")
    await page.check("#answer")
    await sign_in(window.context, site, "tomas")
    await page.fill(FIELD, "from asha")
    await page.press(FIELD, "Enter")
    failed = page.locator('#messages > li[data-state="failed"]')
    await expect(failed).to_contain_text("Somebody else is signed in in this browser now")
    theirs = await window.open(f"/inbox/c/{number}")
    await is_for(theirs, "reply", "")
    await theirs.check("#note")
    await is_for(theirs, "note", "")
    await expect(theirs.locator("#messages > li")).to_have_count(1)
    await expect(theirs.locator(f'#rows > li[data-key="{number}"] [data-f=draft]')).to_be_hidden()
    await sign_in(window.context, site, "asha")
    again = await window.open(f"/inbox/c/{number}")
    await again.click('#messages > li[data-state="failed"] [data-act=retry]:visible')
    await expect(again.locator('#messages > li[data-state="sent"]')).to_have_count(1)
    (reply,) = [m for m in await site.messages(number) if m["senderType"] == "agent"]
    assert (reply["content"], reply["senderName"]) == ("from asha", "Asha Rahman")
    assert stored(site, customer) == [("from asha", False)]
    await again.check("#note")
    await is_for(again, "note", "asha's note")


async def test_what_comes_above_a_failed_reply_is_marked_as_new(
    site: Site, open_window: OpenWindow
) -> None:
    """The server never took the reply: it stands below all that is stored, and one who looks at it
    sees the line above what the customer wrote later.
    """
    window = await open_window()
    window.expected.append("400")
    customer, _, page = await open_thread(site, window)
    await page.fill(FIELD, "x" * (MAX_CONTENT_CHARACTERS + 1))
    await page.press(FIELD, "Enter")
    last = page.locator("#messages > li").last
    await expect(last).to_have_attribute("data-state", "failed")
    await site.writes(customer, "are you there?")
    late = page.locator("#messages > li", has_text="are you there?")
    await expect(late).to_be_visible()
    await expect(last).to_have_attribute("data-state", "failed")
    await expect(late.locator("[data-f=new]")).to_be_visible()
    await expect(page.locator("#messages [data-f=new]:visible")).to_have_count(1)


@pytest.mark.parametrize("button", ["Add note", "Send"])
async def test_without_a_script_the_button_says_what_it_is(
    site: Site, open_window: OpenWindow, button: str
) -> None:
    """And pressed twice it is one message."""
    customer = site.new_customer()
    number = await site.writes(customer, "plain?")
    page = await (await open_window(java_script_enabled=False)).open(
        f"/inbox/c/{number}", until=None
    )
    await expect(page.locator("#note")).to_be_hidden()
    await page.fill(FIELD, "as plain as it gets")
    form = {
        name: await page.get_attribute(f"#composer [name={name}]", "value")
        for name in ("client_id", "agent")
    }
    await page.get_by_role("button", name=button).click()
    await expect(page.locator("#messages > li")).to_have_count(2)
    body = {
        **form,
        "content": "as plain as it gets",
        "mode": "note" if button == "Add note" else "reply",
    }
    again = await site.http.post(
        f"/inbox/c/{number}/reply", data=body, headers={"Origin": site.omni.base_url}
    )
    assert again.status_code == httpx.codes.SEE_OTHER
    other = {**body, "mode": "reply" if button == "Add note" else "note"}
    refused = await site.http.post(
        f"/inbox/c/{number}/reply", data=other, headers={"Origin": site.omni.base_url}
    )
    assert refused.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert "This form was sent before" in refused.text
    await eventually(
        lambda: stored(site, customer) == [("as plain as it gets", button == "Add note")]
    )
