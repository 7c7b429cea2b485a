"""An agent connects their own name in Chatwoot on the page of their account; the composer says
under which name replies go out, and when Chatwoot refuses it.
"""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Page, expect

from server.access.authentication import SESSION_COOKIE
from server.lab.chatwoot_sim.model import User
from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.site import Site
from tests.web.test_inbox_access import violations

PATH = "/api/me/own-tokens"
LOCALE = Path(__file__).parents[2] / "web" / "locale"
TEXTS: dict[str, dict[str, str]] = {
    lang: {
        key: text
        for folder in (LOCALE, LOCALE / "admin")
        for key, text in json.loads((folder / f"{lang}.json").read_text(encoding="utf-8")).items()
    }
    for lang in ("en", "bn")
}
LOOKS = [("en", "light", 1280), ("bn", "dark", 390), ("bn", "light", 1280), ("en", "dark", 390)]


# tries are counted for each agent
AGENT = {"en": "asha", "bn": "tomas"}


@pytest.fixture
async def ada(site: Site) -> AsyncIterator[User]:
    """An agent of the simulated Chatwoot; nothing of hers stays connected."""
    user = site.sim.add_user("Ada Okoye", account=site.sim.account, inboxes=(site.sim.inbox,))
    yield user
    for agent in AGENT.values():
        async with client(site, agent) as http:
            [one] = (await http.get(PATH)).json()
            if one["isConnected"]:
                answer = await http.delete(f"{PATH}/{one['integrationId']}")
                assert answer.status_code == 204, answer.text


def client(site: Site, agent: str) -> httpx.AsyncClient:
    cookies = {SESSION_COOKIE: site.sessions[agent]}
    return site.omni.client(cookies=cookies, headers={"Origin": site.omni.base_url})


async def own(site: Site, agent: str) -> dict[str, Any]:
    async with client(site, agent) as http:
        [one] = (await http.get(PATH)).json()
    found: dict[str, Any] = one
    return found


def said(lang: str, state: str, name: str) -> str:
    return TEXTS[lang][f"composer.sender.{state}"].replace("{name}", name)


async def is_told_quietly(page: Page, words: str) -> None:
    """By the button alone, to the eye and to the ear."""
    button = page.locator("#composer .primary")
    await expect(button).to_have_attribute("title", words)
    await expect(button).to_have_accessible_description(words)
    await expect(page.locator("#sender")).to_be_hidden()


@pytest.mark.parametrize(("lang", "theme", "width"), LOOKS)
async def test_the_page_says_under_which_name_a_reply_goes_out(
    site: Site, open_window: OpenWindow, ada: User, lang: str, theme: str, width: int
) -> None:
    """The integration's, then one's own, connected by the page: both as is expected, so that only
    the button tells; refused, a warning that leads to the account; accepted again, one's own.
    """
    customer = site.new_customer()
    number = await site.writes(customer, "who are you?")
    size = {"width": width, "height": 844}
    window = await open_window(AGENT[lang], lang=lang, theme=theme, viewport=size)
    window.expected.append("Failed to load resource")  # the page that refuses a token is 422
    page = await window.open(f"/inbox/c/{number}")
    before = await own(site, AGENT[lang])
    await is_told_quietly(page, said(lang, "integration", before["sender"]["name"]))
    await page.goto(f"{window.base_url}/account")
    assert await violations(page) == []
    form = page.locator("#own-tokens form.fields")
    await form.locator("input[type=password]").fill("nobody's")
    await form.get_by_role("button").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    assert "nobody's" not in await page.content()
    await form.locator("input[type=password]").fill(ada.access_token)
    await form.get_by_role("button").click()
    await expect(page.get_by_role("status").first).to_have_text(
        TEXTS[lang]["admin.account.done.token-connect"]
    )
    await expect(page.locator("#own-tokens")).to_contain_text("Ada Okoye")
    assert ada.access_token not in await page.content()
    assert await violations(page) == []
    await look(page, f"account-{lang}-{width}")
    page = await window.open(f"/inbox/c/{number}")
    line, text = page.locator("#sender"), page.locator("#sender span")
    await is_told_quietly(page, said(lang, "own", "Ada Okoye"))
    await look(page, f"own-{lang}-{width}")
    del site.sim.tokens[ada.access_token]
    await page.fill("#reply", "as myself")
    await page.click("#composer .primary")
    await expect(page.locator("#messages > li").last).to_contain_text(
        TEXTS[lang]["error.own_token_refused"]
    )
    await expect(text).to_have_text(said(lang, "refused", "Ada Okoye"))
    await expect(text).to_be_visible()
    assert await page.locator("#composer .primary").get_attribute("title") is None
    await expect(line.get_by_role("link")).to_have_attribute("href", "/account#own-tokens")
    assert await violations(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await look(page, f"refused-{lang}-{width}")
    assert site.replies_to(customer) == []
    await page.reload()
    await expect(text).to_have_text(said(lang, "refused", "Ada Okoye"))
    await line.get_by_role("link").click()
    await expect(page.locator("#own-tokens .state")).to_have_text(
        TEXTS[lang]["admin.account.ownToken.refused"]
    )
    assert await violations(page) == []
    await look(page, f"account-refused-{lang}-{width}")
    site.sim.tokens[ada.access_token] = ada
    await page.get_by_role("button", name=TEXTS[lang]["admin.account.ownToken.check"]).click()
    await expect(page.locator("#own-tokens .state")).to_have_text(
        TEXTS[lang]["admin.account.ownToken.yes"]
    )
    await page.get_by_role("button", name=TEXTS[lang]["admin.account.ownToken.remove"]).click()
    await expect(page.locator("#own-tokens .state")).to_have_text(
        TEXTS[lang]["admin.account.ownToken.no"]
    )


@pytest.mark.parametrize("lang", ["en", "bn"])
async def test_administrators_choose_and_remove(
    site: Site, open_window: OpenWindow, ada: User, lang: str
) -> None:
    """People shows who is connected, and takes it away; an open inbox says what the integration
    does when a token is refused, as soon as the agent has written.
    """
    async with client(site, AGENT[lang]) as http:
        [one] = (await http.get(PATH)).json()
        place = f"{PATH}/{one['integrationId']}"
        answer = await http.put(place, json={"accessToken": ada.access_token})
    assert answer.status_code == 200, answer.text
    token = site.omni.token(1, "chief", role="admin", name="Chief")
    chief = await open_window(
        None, lang=lang, extra_http_headers={"Authorization": f"Bearer {token}"}
    )
    page = await chief.open(f"/admin/integrations/{one['integrationId']}", until=None)
    choice = TEXTS[lang]["admin.integration.own-tokens-fallback"]
    await page.get_by_role("button", name=choice).click()
    await expect(page.get_by_role("status").first).to_have_text(
        TEXTS[lang]["admin.integration.done.own-tokens-fallback"]
    )
    try:
        customer = site.new_customer()
        number = await site.writes(customer, "hello")
        window = await open_window(AGENT[lang], lang=lang)
        inbox = await window.open(f"/inbox/c/{number}")
        del site.sim.tokens[ada.access_token]
        await inbox.fill("#reply", "all the same")
        await inbox.click("#composer .primary")

        async def sent() -> bool:
            return site.replies_to(customer) == ["all the same"]

        await eventually(sent)
        await expect(inbox.locator("#sender span")).to_have_text(
            said(lang, "fallback", one["sender"]["name"])
        )
        await look(inbox, f"fallback-{lang}")
        await page.goto(f"{chief.base_url}/admin/people")
        await expect(page.locator("table").first).to_contain_text("Ada Okoye")
        assert await violations(page) == []
        await look(page, f"people-{lang}")
        remove = TEXTS[lang]["admin.people.act.remove-own-tokens"]
        await page.get_by_role("button", name=remove).click()
        await expect(page.locator("main")).not_to_contain_text("Ada Okoye")
    finally:
        await page.goto(f"{chief.base_url}/admin/integrations/{one['integrationId']}")
        await look(page, f"integration-{lang}")
        choice = TEXTS[lang]["admin.integration.own-tokens-fail"]
        await page.get_by_role("button", name=choice).click()
        await expect(page.get_by_role("status").first).to_have_text(
            TEXTS[lang]["admin.integration.done.own-tokens-fail"]
        )


async def look(page: Page, name: str) -> None:
    folder = os.environ.get("OWN_SHOTS")
    if folder:
        await page.screenshot(path=f"{folder}/{name}.png", full_page=True)
