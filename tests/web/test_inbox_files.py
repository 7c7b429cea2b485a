"""Files with replies: chosen, pasted, dropped; sent once; kept over a reload; refused with a
sentence. Customers' files that are gone.
"""

import re

import pytest
from playwright.async_api import FilePayload, Page, Route, expect

from server.lab.chatwoot_sim.model import Message
from server.lab.chatwoot_sim.samples import Upload, file_named, picture
from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.site import Site

SENT = '#messages > li[data-state="sent"]'
# hands files over as a browser does when they are pasted or dropped
HAND_OVER = """([kind, names]) => {
  const data = new DataTransfer();
  for (const name of names) data.items.add(new File(["content of " + name], name, { type: "text/plain" }));
  const field = document.querySelector("#reply");
  field.dispatchEvent(kind === "paste" ? new ClipboardEvent(kind, { clipboardData: data, bubbles: true, cancelable: true })
    : new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
}"""  # noqa: E501


def document(
    name: str, content: bytes = b"some text", media_type: str = "text/plain"
) -> FilePayload:
    return {"name": name, "mimeType": media_type, "buffer": content}


async def open_thread(site: Site, open_window: OpenWindow) -> tuple[str, int, Page]:
    customer = site.new_customer()
    number = await site.writes(customer, "please send it")
    window = await open_window()
    window.expected.append("415|net::ERR_FAILED")
    return customer, number, await window.open(f"/inbox/c/{number}")


def with_files(site: Site, customer: str) -> list[Message]:
    contact = site.sim.find_contact(customer, site.sim.account)
    assert contact is not None
    return [
        m
        for c in site.sim.conversations_of(contact)
        for m in c.messages
        if m.message_type == 1 and m.attachments
    ]


async def test_chosen_files_reach_chatwoot_once(site: Site, open_window: OpenWindow) -> None:
    """With their text; the ones taken away again do not."""
    customer, _, page = await open_thread(site, open_window)
    await page.set_input_files("#attach", [document("invoice.txt"), document("wrong.txt")])
    await page.get_by_role("button", name="Remove wrong.txt").click()
    await page.fill("#reply", "Here it is")
    await page.press("#reply", "Enter")
    await expect(page.locator("#chosen > li")).to_have_count(0)
    await expect(page.locator(SENT)).to_have_count(1)
    await expect(page.locator(f"{SENT} .file a")).to_have_text("invoice.txt")
    (sent,) = with_files(site, customer)
    assert (sent.content, [(a.name, a.content) for a in sent.attachments]) == (
        "Here it is",
        [("invoice.txt", b"some text")],
    )
    await page.reload()
    await expect(page.locator("#messages .file a")).to_have_attribute(
        "href", "/api/attachments/" + await _own_address(site, page)
    )


async def _own_address(site: Site, page: Page) -> str:
    number = int(page.url.rsplit("/", 1)[1])
    message = (await site.messages(number))[-1]
    return f"{message['id']}/id-{message['attachments'][0]['id']}"


async def test_pasted_and_dropped_files_are_taken(site: Site, open_window: OpenWindow) -> None:
    """Without a text too."""
    customer, _, page = await open_thread(site, open_window)
    await page.evaluate(HAND_OVER, ["paste", ["pasted.txt"]])
    await page.evaluate(HAND_OVER, ["drop", ["dropped.txt"]])
    await expect(page.locator("#chosen > li [data-f=name]")).to_have_text(
        ["pasted.txt", "dropped.txt"]
    )
    await page.press("#reply", "Enter")
    await expect(page.locator(SENT)).to_have_count(1)
    (sent,) = with_files(site, customer)
    assert [a.name for a in sent.attachments] == ["pasted.txt", "dropped.txt"]


async def test_a_refused_file_says_why_and_comes_back(site: Site, open_window: OpenWindow) -> None:
    """The sentence of the server stands in the bubble; text and files can be had back."""
    _, _, page = await open_thread(site, open_window)
    await page.set_input_files(
        "#attach", [document("virus.exe", b"MZ", "application/x-msdownload")]
    )
    await page.fill("#reply", "run this")
    await page.route("**/reply", _refuse)
    await page.press("#reply", "Enter")
    failed = page.locator('#messages > li[data-state="failed"]')
    await expect(failed.locator("[data-f=reason]")).to_have_text(
        "Chatwoot takes no files of this kind"
    )
    await failed.get_by_role("button", name="Edit").click()
    await expect(page.locator("#reply")).to_have_value("run this")
    await expect(page.locator("#chosen > li")).to_have_count(1)


async def _refuse(route: Route) -> None:
    body = (
        '{"code": "unsupported_media_type_of_tests", "message": "Chatwoot takes no files of '
        'this kind", "status": 415}'
    )
    await route.fulfill(status=415, body=body, content_type="application/problem+json")


async def test_files_survive_a_reload(site: Site, open_window: OpenWindow) -> None:
    """What had not gone yet is sent by the next page, once."""
    customer, _, page = await open_thread(site, open_window)
    await page.route("**/reply", lambda route: route.abort())
    await page.set_input_files("#attach", [document("late.txt")])
    await page.fill("#reply", "after the reload")
    await page.press("#reply", "Enter")
    await expect(page.locator('#messages > li[data-state="waiting"]')).to_have_count(1)
    await page.unroute("**/reply")
    await page.reload()
    await expect(page.locator(SENT)).to_have_count(1)
    assert await eventually(lambda: len(with_files(site, customer)) == 1)
    assert [a.content for a in with_files(site, customer)[0].attachments] == [b"some text"]


async def test_chosen_files_stay_with_their_conversation(
    site: Site, open_window: OpenWindow
) -> None:
    """Looking elsewhere in between neither loses them nor sends them to somebody else."""
    other = await site.writes(site.new_customer(), "something else")
    _, number, page = await open_thread(site, open_window)
    await page.set_input_files("#attach", document("mine.txt"))
    await page.click(f'#rows > li[data-key="{other}"] a')
    await expect(page.locator("#chosen > li")).to_have_count(0)
    await page.click(f'#rows > li[data-key="{number}"] a')
    await expect(page.locator("#chosen > li [data-f=name]")).to_have_text("mine.txt")


@pytest.mark.parametrize("is_gone", [True, False], ids=["gone", "out of reach"])
async def test_a_picture_that_cannot_be_had_says_why(
    site: Site, open_window: OpenWindow, is_gone: bool
) -> None:
    """No longer in Chatwoot: a sentence; out of reach: a sentence and a way to try again. No broken
    picture.
    """
    customer = site.new_customer()
    known = set(site.sim.attachments)
    number = await site.writes(customer, "see", attachments=[picture()])
    window = await open_window()
    window.expected.append("404|net::ERR_FAILED")
    if is_gone:
        for key in set(site.sim.attachments) - known:
            del site.sim.attachments[key]
    else:
        await window.context.route("**/api/attachments/**", lambda route: route.abort())
    page = await window.open(f"/inbox/c/{number}")
    link = page.locator("#messages [data-f=files] .file a")
    await expect(link).to_have_text(
        re.compile("no longer in Chatwoot" if is_gone else "open it to try again")
    )
    assert (await link.get_attribute("href") is None) == is_gone
    assert await page.locator("#messages img").count() == 0


@pytest.mark.parametrize(
    ("file", "tag"),
    [(Upload("photo.png", b"no picture", "image/png"), "img"), (file_named("clip.mp4"), "video")],
    ids=["picture", "video"],
)
async def test_what_the_browser_cannot_show_can_be_opened(
    site: Site, open_window: OpenWindow, file: Upload, tag: str
) -> None:
    """It is there, and broken or of a kind that this browser does not know: no broken picture and
    no player without anything to play, but its name and the way to it.
    """
    number = await site.writes(site.new_customer(), "see", attachments=[file])
    page = await (await open_window()).open(f"/inbox/c/{number}")
    link = page.locator("#messages [data-f=files] .file a")
    await expect(link).to_have_text(f"{file.name}: cannot be shown here; open it")
    await expect(link).to_have_attribute("href", re.compile(r"^/api/attachments/\d+/id-\d+$"))
    assert await page.locator(f"#messages {tag}").count() == 0
