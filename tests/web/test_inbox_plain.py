"""The inbox where the browser does less, or the customer more, than usual: no script, wrong
passwords, hostile texts.
"""

from playwright.async_api import expect

from server.lab.chatwoot_sim import Upload, webhook_bodies
from server.lab.chatwoot_sim.samples import picture
from tests.kit.eventually import eventually
from tests.kit.webhook import delivery_of
from tests.web.conftest import OpenWindow
from tests.web.site import (
    PASSWORD,
    Site,
    email_of,
    says,
)

UNFOLD = "Show the whole message"
HOSTILE = (
    "<img src=x onerror=\"document.title='taken'\">",
    "<script>document.title='taken'</script><svg/onload=alert(1)>",
    "{{ 7*7 }} ${7*7} </script><!-- &lt;b&gt;",
    "\u202egnp.exe \u2066hidden\u2069 \u200b" + "w" * 5_000,
    "👩‍👩‍👧‍👦" * 200,
)


async def test_signing_in_and_out(site: Site, open_window: OpenWindow) -> None:
    """A wrong password says so; the right one leads to where one wanted; after signing out nothing
    is shown.
    """
    customer = site.new_customer()
    number = await site.writes(customer, "hello")
    window = await open_window(None)
    window.expected.append("422")
    page = await window.open(f"/inbox/c/{number}", until=None)
    await page.fill("#email", email_of("tomas"))
    await page.fill("#password", "wrong")
    await page.press("#password", "Enter")
    await expect(page.get_by_role("alert")).to_have_text("E-mail or password is wrong.")
    await page.fill("#password", PASSWORD)
    await page.press("#password", "Enter")
    await says(page, "live")
    await expect(page.locator("#thread-name")).to_have_text(customer)
    second = await window.open()
    await page.click(".menu summary")
    await page.click("#sign-out button")
    await expect(page.locator("#email")).to_be_visible()
    await says(second, "stopped")
    await page.goto(f"{site.omni.base_url}/inbox/c/{number}")
    await expect(page.locator("#email")).to_be_visible()


async def test_all_of_it_works_without_a_script(site: Site, open_window: OpenWindow) -> None:
    """List, thread, search and reply are links and forms."""
    customer = site.new_customer("Plain")
    number = await site.writes(customer, "is this plain HTML?")
    window = await open_window(java_script_enabled=False)
    page = await window.open(until=None)
    await page.fill("#q", customer)
    await page.press("#q", "Enter")
    await page.click(f'#rows > li[data-key="{number}"] a')
    await expect(page.locator("#thread-name")).to_have_text(customer)
    await expect(page.locator("#messages")).to_contain_text("is this plain HTML?")
    await expect(page.locator("#toggle")).to_be_hidden()
    await page.fill("#reply", "as plain\nas it gets")
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator("#messages > li").last).to_contain_text("as plain")
    await eventually(lambda: site.replies_to(customer) == ["as plain\nas it gets"])


async def test_hostile_texts_stay_texts(site: Site, open_window: OpenWindow) -> None:
    """In names, messages, live or printed by the server, and without a script: shown as written,
    never carried out.
    """
    customer = site.new_customer(HOSTILE[0])
    number = await site.writes(customer, *HOSTILE[:2])
    page = await (await open_window("asha")).open(f"/inbox/c/{number}")
    await site.writes(customer, *HOSTILE[2:])
    plain = await (await open_window("tomas", java_script_enabled=False)).open(
        f"/inbox/c/{number}", until=None
    )
    for shown in (page, plain):
        bodies = shown.locator("#messages [data-f=body]")
        await expect(bodies).to_have_count(len(HOSTILE))
        # the rest of a long text is folded, and is there
        texts = [text.replace(UNFOLD, "") for text in await bodies.all_text_contents()]
        assert texts == list(HOSTILE)
        await expect(shown.locator("#thread-name")).to_have_text(customer)
        await expect(
            shown.locator("#messages img, #messages script, #rows img, #messages svg")
        ).to_have_count(0)
    assert "taken" not in await page.title()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_attachments_with_other_schemes_are_no_links(
    site: Site, open_window: OpenWindow
) -> None:
    """An address that would run, or read a file, is not offered; an honest one beside it is."""
    customer = site.new_customer()
    number = await site.writes(customer, "files follow")
    site.sim.switches.set(drop_next=1_000)
    said = site.sim.customer_says(
        customer, "look", attachments=[Upload(f"{n}.txt", b"x", "text/plain") for n in range(4)]
    )
    await site.sim.webhooks.flushed()
    told = webhook_bodies.message_event("message_created", said, site.sim.base_url)
    schemes = (
        "javascript:document.title='taken'",
        "data:text/html,<script>1</script>",
        "file:///etc/passwd",
    )
    for attachment, address in zip(told["attachments"], schemes, strict=False):
        attachment["data_url"] = address
    page = await (await open_window()).open(f"/inbox/c/{number}")
    answer = await delivery_of(told, secret=site.hook.secret).post(site.http)
    assert answer.status_code == 200
    await expect(page.locator("#messages > li").last.locator("[data-f=body]")).to_have_text("look")
    links = await page.eval_on_selector_all(
        "#messages a[href]", "nodes => nodes.map(({ protocol }) => protocol)"
    )
    assert set(links) == {"http:"}


async def test_pictures_are_shown(site: Site, open_window: OpenWindow) -> None:
    """A customer's picture is loaded from Chatwoot, and the policy lets it."""
    customer = site.new_customer()
    number = await site.writes(customer, "see", attachments=[picture()])
    page = await (await open_window()).open(f"/inbox/c/{number}")
    await eventually(
        lambda: page.evaluate("document.querySelector('#messages img')?.naturalWidth === 96")
    )


async def test_a_phone_shows_one_pane_at_a_time(site: Site, open_window: OpenWindow) -> None:
    """List, then thread; Back, the browser's or ours, leads to the list again."""
    customer = site.new_customer()
    number = await site.writes(customer, "from a phone")
    page = await (
        await open_window(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    ).open()
    row, listing = page.locator(f'#rows > li[data-key="{number}"] a'), page.locator("#list")
    await row.tap()
    await expect(page.locator("#thread-name")).to_be_visible()
    await expect(listing).to_be_hidden()
    await page.go_back()
    await expect(listing).to_be_visible()
    await row.tap()
    await page.tap(".back")
    await expect(listing).to_be_visible()
    await expect(page.locator("#thread")).to_be_hidden()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
