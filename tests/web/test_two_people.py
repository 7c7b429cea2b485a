"""One browser, two people: nothing goes out in the name of somebody else, and no page goes on as if
it were still theirs.
"""

import re
from urllib.parse import urlencode

import httpx
from playwright.async_api import Page, Route, expect

from server.access.authentication import SESSION_COOKIE
from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.site import (
    PASSWORD,
    Site,
    Window,
    email_of,
    says,
)

FIELD = "#reply"
_POST_FORM = re.compile(
    r'<form\b[^>]*\bmethod="post"[^>]*>(<input type="hidden" name="agent" value="(\d+)">)?'
)


async def _own_window(site: Site, open_window: OpenWindow, agent: str) -> Window:
    """With a session of its own, as it will be ended."""
    window = await open_window(None)
    window.expected += ["401", "409", "net::ERR_FAILED"]
    async with site.omni.client() as http:
        answer = await http.post(
            "/api/sessions", json={"email": email_of(agent), "password": PASSWORD}
        )
    cookie = {
        "name": SESSION_COOKIE,
        "value": answer.cookies[SESSION_COOKIE],
        "url": site.omni.base_url,
    }
    await window.context.add_cookies([cookie])  # type: ignore[list-item]
    return window


async def _sign_in_over(page: Page, site: Site, agent: str) -> None:
    """By the page, as somebody else at the same desk does."""
    await page.goto(f"{site.omni.base_url}/sign-in")
    await page.fill("[name=email]", email_of(agent))
    await page.fill("[name=password]", PASSWORD)
    await page.press("[name=password]", "Enter")
    await page.wait_for_url("**/inbox*")


async def test_somebody_signs_in_beside_an_open_tab(site: Site, open_window: OpenWindow) -> None:
    """The sign-in says who is there already; the other tab stops by itself and says why, sends
    nothing, and keeps the text.
    """
    customer = site.new_customer()
    number = await site.writes(customer, "hello?")
    window = await _own_window(site, open_window, "tomas")
    theirs = await window.open(f"/inbox/c/{number}")
    mine = await window.open("/sign-in", until=None)
    await expect(mine.get_by_role("status")).to_contain_text(
        "Tomas Berg is signed in in this browser"
    )
    await _sign_in_over(mine, site, "asha")
    await says(theirs, "stopped")
    await expect(theirs.locator("#chip")).to_contain_text("Somebody else is signed in")
    await theirs.fill(FIELD, "from tomas")
    await theirs.press(FIELD, "Enter")
    await expect(theirs.locator('#messages > li[data-state="failed"]')).to_contain_text(
        "from tomas"
    )
    assert site.replies_to(customer) == []
    assert [m["content"] for m in await site.messages(number)] == ["hello?"]


async def test_a_reply_that_waits_is_sent_by_nobody_else(
    site: Site, open_window: OpenWindow
) -> None:
    """Written without a line; then its writer signs out and a colleague in. It goes out when the
    writer is back, in their name.
    """
    customer = site.new_customer()
    number = await site.writes(customer, "hello?")
    window = await _own_window(site, open_window, "tomas")
    theirs = await window.open(f"/inbox/c/{number}")
    path = "**/reply"

    async def refuse(route: Route) -> None:
        await route.abort()

    await window.context.route(path, refuse)
    await theirs.fill(FIELD, "it waits")
    await theirs.press(FIELD, "Enter")
    await expect(theirs.locator('#messages > li[data-state="waiting"]')).to_have_count(1)
    mine = await window.open(f"/inbox/c/{number}")
    await mine.click(".menu summary")
    await mine.click("#sign-out button")
    await mine.wait_for_url("**/sign-in")
    await says(theirs, "stopped")
    await _sign_in_over(mine, site, "asha")
    await window.context.unroute(path)
    await expect(theirs.locator('#messages > li[data-state="failed"]')).to_have_count(
        1, timeout=45_000
    )
    await mine.goto(f"{site.omni.base_url}/inbox/c/{number}")
    await expect(mine.locator("#messages > li")).to_have_count(1)
    assert site.replies_to(customer) == []
    await _sign_in_over(mine, site, "tomas")
    await mine.goto(f"{site.omni.base_url}/inbox/c/{number}")
    await mine.click('#messages > li[data-state="failed"] [data-act=retry]:visible')
    await eventually(lambda: site.replies_to(customer) == ["it waits"], limit=30)
    (reply,) = [m for m in await site.messages(number) if m["senderType"] == "agent"]
    assert reply["senderName"] == "Tomas Berg"


async def test_a_tab_that_heard_nothing_looks_when_it_is_shown(
    site: Site, open_window: OpenWindow
) -> None:
    """Another cookie came without any page of ours, and its line still lives: the first look at the
    tab tells.
    """
    window = await _own_window(site, open_window, "tomas")
    theirs = await window.open()
    cookie = {"name": SESSION_COOKIE, "value": site.sessions["asha"], "url": site.omni.base_url}
    await window.context.add_cookies([cookie])  # type: ignore[list-item]
    await theirs.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await says(theirs, "stopped")
    await expect(theirs.locator("#chip")).to_contain_text("Somebody else is signed in")


async def test_every_form_says_for_whom_it_was_made(site: Site) -> None:
    """And is refused from anybody else's browser; a sign-out of an old page leaves the one who is
    signed in.
    """
    origin = {"Origin": site.omni.base_url}
    async with (
        site.omni.client(cookies={SESSION_COOKIE: site.sessions["tomas"]}) as tomas,
        site.omni.client(cookies={SESSION_COOKIE: site.sessions["asha"]}, headers=origin) as asha,
    ):
        own = {str((await one.get("/api/me")).json()["id"]) for one in (tomas, asha)}
        number = await site.writes(site.new_customer(), "hello?")
        for path in ("/inbox", f"/inbox/c/{number}", "/inbox/settings", "/account"):
            forms = [match[2] for match in _POST_FORM.finditer((await tomas.get(path)).text)]
            assert set(forms) == {str((await tomas.get("/api/me")).json()["id"])}, path
        (theirs,) = own - {str((await asha.get("/api/me")).json()["id"])}
        form = {
            "agent": theirs,
            "theme": "dark",
            "present": PASSWORD,
            "new": "another long password",
        }
        for path in (
            "/inbox/settings",
            "/account/password",
            "/account/sign-out",
            "/account/sessions/end-others",
        ):
            answer = await _post(asha, path, form)
            assert (answer.status_code, "Somebody else is signed in" in answer.text) == (
                409,
                True,
            ), path
        assert (await _post(asha, "/sign-out", form)).headers["Location"] == "/sign-in"
        me = (await asha.get("/api/me")).json()
        assert (me["name"], me["preferences"]["theme"]) == ("Asha Rahman", "auto")


async def _post(http: httpx.AsyncClient, path: str, form: dict[str, str]) -> httpx.Response:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return await http.post(path, content=urlencode(form), headers=headers, follow_redirects=False)
