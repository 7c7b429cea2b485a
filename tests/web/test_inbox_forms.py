"""Messages of every kind in a real browser: live and after a reload, in both languages and
appearances, on a phone, by keyboard and for screen readers.
"""

from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.web.conftest import OpenWindow
from tests.web.site import Site
from tests.web.test_inbox_access import AXE, violations

MAIL = "My own words\n\n> On Monday they wrote:\n> Hello"
# of the customer, as Chatwoot stores them: text, content type, content attributes
KINDS: list[tuple[str | None, dict[str, Any], dict[str, Any]]] = [
    ("**বোল্ড** and [page](https://shop.example/a_b)\n- one\n- দুই\n\n> quoted\n\n`code`", {}, {}),
    ("Call ০১৭১২৩৪৫৬৭৮ or mail lea@example.org", {}, {}),
    ("<img src=x onerror=alert(1)> [x](javascript:alert(1)) \u202egnp.exe", {}, {}),
    (
        "From the ad",
        {"referral": {"headline": "Eid sale", "body": "All", "source_url": "https://ad.example/"}},
        {},
    ),
    ("Now right", {"previous_content": "Not right"}, {}),
    (
        MAIL,
        {
            "email": {
                "subject": "Order #5512",
                "from": ["other@example.org"],
                "to": ["shop@example.org"],
                "cc": ["a@example.org"],
                "text_content": {"quoted": "My own words"},
            }
        },
        {"content_type": "incoming_email"},
    ),
    (
        None,
        {"data": {"call_direction": "inbound", "status": "no-answer"}},
        {"content_type": "voice_call"},
    ),
    (None, {"is_unsupported": True}, {}),
    (None, {}, {"content_type": "kind_of_tomorrow"}),
    ("Hola", {"translations": {"bn": "ওহে"}}, {}),
    ("Where to?", {"items": [{"title": "Dhaka", "value": "d"}]}, {"content_type": "input_select"}),
    (
        "Rate",
        {"submitted_values": {"csat_survey_response": {"rating": 4, "feedback_message": "Good"}}},
        {"content_type": "input_csat"},
    ),
    ("line\n" * 200, {}, {}),
]
# nothing wider than the log, and no bubble that says nothing
FAULTS = """() => [
  ...[...document.querySelectorAll("#log *")].filter((node) => node.clientWidth > document.querySelector("#log").clientWidth)
    .map((node) => `wide: ${node.className} ${node.localName}`),
  ...[...document.querySelectorAll("#messages > li .bubble")].filter((node) => !node.innerText.trim() && !node.querySelector("img, audio, video"))
    .map((node) => `empty: ${node.outerHTML}`),
  ...(document.scrollingElement.scrollWidth > innerWidth ? ["the page scrolls sideways"] : []),
]"""  # noqa: E501


@pytest.fixture(scope="module", autouse=True)
def _has_axe() -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm ci in tests/node")


async def _all_kinds(site: Site, customer: str) -> int:
    """Send one of each; returns our number of the conversation."""
    number = await site.writes(customer, "first")
    for text, attributes, fields in KINDS:
        site.sim.customer_says(customer, text, content_attributes=attributes, **fields)
    await site.sim.webhooks.flushed()
    return number


def _bubble(page: Page, text: str) -> Any:
    return page.locator("#messages > li", has_text=text)


@pytest.mark.parametrize(
    ("lang", "theme", "width"), [("en", "light", 1440), ("bn", "dark", 1440), ("bn", "light", 390)]
)
async def test_all_kinds_are_shown_to_everybody(
    site: Site, open_window: OpenWindow, lang: str, theme: str, width: int
) -> None:
    """Live as after a reload: nothing that axe finds, nothing wider than its room, nothing empty,
    and nothing the page's policy had to stop.
    """
    customer = site.new_customer("Léa স্ত্রী")
    number = await _all_kinds(site, customer)
    window = await open_window(lang=lang, theme=theme, viewport={"width": width, "height": 844})
    page = await window.open(f"/inbox/c/{number}")
    # as the server printed it; then by scripts alone
    for count in (len(KINDS) + 1, len(KINDS) + 2):
        await expect(page.locator("#messages > li")).to_have_count(count)
        await expect(_bubble(page, "From the ad").locator(".aside a")).to_have_attribute(
            "href", "https://ad.example/"
        )
        await expect(_bubble(page, "Hola").locator("[lang=bn]")).to_have_text("ওহে")
        await expect(_bubble(page, "Order #5512").locator("details")).not_to_have_attribute(
            "open", ""
        )
        await expect(page.locator(".stars")).to_have_text("★★★★☆")
        await expect(_bubble(page, "kind_of_tomorrow")).to_have_count(1)
        await expect(page.locator("#log a[href='tel:01712345678']")).to_have_text("০১৭১২৩৪৫৬৭৮")
        await expect(page.locator("#log a[href^=javascript]")).to_have_count(0)
        assert await page.evaluate(FAULTS) == []
        assert await violations(page) == []
        await page.evaluate("document.querySelector('#messages').replaceChildren()")
        site.sim.customer_says(customer, "one more")


async def test_a_long_text_and_an_earlier_one_unfold_by_keyboard(
    site: Site, open_window: OpenWindow
) -> None:
    """Folded at first; what is open stays open when something else comes."""
    number = await _all_kinds(site, site.new_customer())
    page = await (await open_window()).open(f"/inbox/c/{number}")
    earlier = _bubble(page, "Now right").locator("details")
    await expect(earlier.locator("p")).to_be_hidden()
    await earlier.locator("summary").focus()
    await page.keyboard.press("Enter")
    await expect(earlier.locator("p")).to_have_text("Not right")
    await expect(earlier.locator("p")).to_be_visible()
    mail = _bubble(page, "Order #5512")
    await expect(mail.locator("blockquote, details p")).to_be_hidden()
    await expect(mail.locator(".body > p")).to_have_text("My own words")


async def test_a_quote_leads_to_its_message_also_far_back(
    site: Site, open_window: OpenWindow
) -> None:
    """Pressed by keyboard; the message is fetched where the page does not have it, and gets the
    focus.
    """
    customer = site.new_customer()
    number = await site.writes(customer, "the one that is quoted", *(f"say {n}" for n in range(60)))
    contact = site.sim.find_contact(customer, site.sim.account)
    assert contact is not None
    quoted = site.sim.conversations_of(contact)[0].messages[0]
    site.sim.customer_says(customer, "That one", content_attributes={"in_reply_to": quoted.id})
    await site.sim.webhooks.flushed()
    page = await (await open_window()).open(f"/inbox/c/{number}")
    quote = _bubble(page, "That one").locator("[data-quote]")
    await expect(quote).to_have_count(1)
    await expect(_bubble(page, "the one that is quoted")).to_have_count(0)
    await quote.focus()
    await page.keyboard.press("Enter")
    wanted = page.locator("#messages > li[data-wanted]")
    await expect(wanted).to_contain_text("the one that is quoted")
    await expect(wanted).to_be_in_viewport()
    await expect(wanted).to_be_focused()
    # the quote now says what it quotes
    await expect(_bubble(page, "That one").locator("[data-quote]")).to_contain_text(
        "the one that is quoted"
    )


async def test_a_row_says_in_the_readers_language_what_came_without_a_text(
    site: Site, open_window: OpenWindow
) -> None:
    """Chatwoot's own words and ours in English are nobody's language here."""
    customer = site.new_customer()
    await site.writes(customer, "first")
    fields: dict[str, Any] = {"content_type": "voice_call"}
    site.sim.customer_says(customer, None, content_attributes={}, **fields)
    await site.sim.webhooks.flushed()
    page = await (await open_window(lang="bn")).open("/inbox")
    row = page.locator("#rows > li", has_text=customer)
    await expect(row.locator("[data-f=preview]")).to_have_text("কল")


async def test_a_deletion_is_painted_while_the_forms_cannot_be_loaded(
    site: Site, open_window: OpenWindow
) -> None:
    """What the server printed does not stay as it was while the chip says live: the deleted one
    is gone with its mail's head, an edited one has its new text.
    """
    customer = site.new_customer()
    email = {"subject": "Order #5512", "from": ["other@example.org"]}
    number = await site.writes(customer, "first")
    fields: dict[str, Any] = {"content_type": "incoming_email"}
    mail = site.sim.customer_says(
        customer, "a secret", content_attributes={"email": email}, **fields
    )
    edited = site.sim.customer_says(customer, "before the edit")
    await site.sim.webhooks.flushed()
    window = await open_window()
    window.expected.append("net::ERR_FAILED|dynamically imported module")
    await window.context.route("**/later/forms.js", lambda route: route.abort())
    page = await window.open(f"/inbox/c/{number}")
    rows = page.locator("#messages > li")
    await expect(rows).to_have_count(3)
    await expect(rows.nth(1)).to_contain_text("Order #5512")
    site.sim.delete_message(mail)
    site.sim.edit_message(edited, "after the edit")
    await expect(rows.nth(1).locator("[data-f=body]")).to_have_text("This message was deleted.")
    await expect(rows.nth(1)).not_to_contain_text("Order #5512")
    await expect(rows.nth(2).locator("[data-f=body]")).to_have_text("after the edit")
    await expect(rows.nth(0).locator("[data-f=body]")).to_have_text("first")
