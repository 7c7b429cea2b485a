"""The composer says under which name replies go out where an agent may expect another one."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import expect

from tests.kit.eventually import eventually
from tests.web.conftest import OpenWindow
from tests.web.site import Site, connect_inbox, running_site
from tests.web.test_own_names import PATH, client, said


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Site]:
    """One whose company has two inboxes; one agent has an own token in one of them."""
    async with running_site(tmp_path_factory.mktemp("senders")) as running:
        sim = running.sim
        support = sim.add_inbox("Support", account=sim.account)
        user = sim.add_user("Ada Okoye", account=sim.account, inboxes=(support,))
        number = await connect_inbox(running, support.id)
        async with client(running, "asha") as http:

            async def is_connected() -> bool:
                sent = {"accessToken": user.access_token}
                return (await http.put(f"{PATH}/{number}", json=sent)).status_code == 200

            await eventually(is_connected)
        yield running


@pytest.mark.parametrize("has_script", [True, False])
async def test_who_has_an_own_name_elsewhere_is_told_of_the_other(
    site: Site, open_window: OpenWindow, has_script: bool
) -> None:
    """Printed by the server and by the scripts alike, with the way to the account's page; nobody
    else is told but by the button.
    """
    number = await site.writes(site.new_customer(), "who are you?")
    async with client(site, "asha") as http:
        senders = [one["sender"] for one in (await http.get(PATH)).json()]
    assert sorted(one["state"] for one in senders) == ["integration", "own"]
    [name] = [one["name"] for one in senders if one["state"] == "integration"]
    until = "live" if has_script else None
    window = await open_window("asha", java_script_enabled=has_script)
    page = await window.open(f"/inbox/c/{number}", until=until)
    line, button = page.locator("#sender"), page.locator("#composer .primary")
    await expect(line).to_be_visible()
    await expect(line.locator("span")).to_have_text(said("en", "integration", name))
    await expect(line.get_by_role("link")).to_have_attribute("href", "/account#own-tokens")
    assert await button.get_attribute("title") is None
    other = await open_window("tomas", java_script_enabled=has_script)
    page = await other.open(f"/inbox/c/{number}", until=until)
    line, button = page.locator("#sender"), page.locator("#composer .primary")
    await expect(button).to_have_attribute("title", said("en", "integration", name))
    await expect(line).to_be_hidden()
