"""Listening to Chatwoot's socket is switched off and on again on an integration's page, and what
the page says is so.
"""

from pathlib import Path

from playwright.async_api import Browser, expect

from tests.kit.eventually import eventually
from tests.web.site import new_window, running_site


async def test_the_socket_is_switched_off_and_on_again(browser: Browser, tmp_path: Path) -> None:
    """Off: Chatwoot has nobody who listens, news comes by webhook, and the page and its check say
    so.
    """
    env = {"CHATWOOT_SOCKETS": "true", "CHATWOOT_SOCKET_WAIT_SECONDS": "0.1"}
    async with running_site(tmp_path, env) as site:
        token = site.omni.token(1, "chief", role="admin", name="Chief")
        window = await new_window(
            site, browser, None, extra_http_headers={"Authorization": f"Bearer {token}"}
        )
        sim = site.sim
        await eventually(lambda: sim.cable.subscriptions, limit=30)
        page = await window.open("/admin/integrations/1", until=None)
        await expect(page.get_by_text("is listened to as")).to_be_visible()

        await page.get_by_role("button", name="Do not listen to its socket").click()
        await expect(page.locator("p.notice")).to_be_visible()
        await expect(
            page.get_by_text("is not listened to: news comes by webhook alone")
        ).to_be_visible()
        await eventually(lambda: not sim.cable.subscriptions, limit=30)
        connects = sim.cable.connects
        await site.writes("Lea", "by webhook")
        assert sim.cable.connects == connects

        await page.get_by_role("button", name="Listen to its socket", exact=True).click()
        await expect(page.get_by_text("is listened to as")).to_be_visible()
        await eventually(lambda: sim.cable.subscriptions, limit=30)
        sim.switches.set(holds_webhooks=True)
        sim.customer_says("Lea", "by socket")
        await eventually(lambda: _has(site.http, "by socket"), limit=30)
        sim.switches.set(holds_webhooks=False)
        assert window.faults == []
        await window.context.close()


async def _has(http: object, text: str) -> bool:
    found = (await http.get("/api/conversations", params={"q": "Lea"})).json()  # type: ignore[attr-defined]
    return bool(found) and found[0]["preview"]["content"] == text
