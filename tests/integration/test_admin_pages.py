"""The pages of administrators as a browser without script uses them: read, fill in, submit,
follow.
"""

import html
import re

import httpx
import pytest

from server.lab.chatwoot_sim import ChatwootSim
from tests.integration.integration_admin import admin, hook_url, one_stack, registered
from tests.integration.test_misconfigured_integrations import WAYS
from tests.kit.company import Company
from tests.kit.eventually import eventually


def text_of(answer: httpx.Response) -> str:
    """What a person reads of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


async def submit(http: httpx.AsyncClient, path: str, **fields: str) -> httpx.Response:
    """As a form does: the answer leads on, and the page it leads to is returned."""
    answer = await http.post(path, data=fields, headers={"Origin": str(http.base_url).rstrip("/")})
    return await http.get(answer.headers["Location"]) if answer.status_code == 303 else answer


async def test_an_inbox_is_connected_by_the_page_alone(company: Company, sim: ChatwootSim) -> None:
    """One form; then the page says that everything works, and a customer's message arrives."""
    async with admin(company) as http:
        assert "Connect an inbox" in text_of(await http.get("/admin/integrations"))
        values = {
            "account_id": str(sim.account.id),
            "inbox_id": str(sim.inbox.id),
            "access_token": sim.admin.access_token,
        }
        page = await submit(http, "/admin/integrations", base_url=sim.base_url, **values)
        assert page.status_code == 200
        assert "Everything works" in text_of(page)
        assert sim.admin.access_token not in page.text
        assert [hook.url for hook in sim.hooks] == [hook_url(company)]
        again = await submit(http, "/admin/integrations", base_url=sim.base_url, **values)
        assert again.status_code == 409
        assert "is this Chatwoot inbox already" in text_of(again)
        assert sim.admin.access_token not in again.text
    sim.customer_says("Léa", "Hello")
    await sim.webhooks.flushed()
    assert await eventually(company.conversations)


@one_stack
@pytest.mark.parametrize("way", WAYS)
async def test_each_way_to_misconfigure_is_on_the_page(
    shop: Company, sim: ChatwootSim, way: str
) -> None:
    """The sentences of the check, escaped, with what to do."""
    breaking, _, state, cause, remedy = WAYS[way]
    await registered(shop)
    if changes := breaking(shop, sim):
        await shop.change_integration(**changes)
    async with admin(shop) as http:
        place = f"/admin/integrations/{shop.integration_id}"
        page = text_of(await http.get(place))
        bengali = text_of(await http.get(place, headers={"Accept-Language": "bn-BD"}))
    assert re.search(cause, page), page
    assert remedy in page
    assert ("Something does not work" in page) == (state == "failed")
    assert not re.search(cause, bengali), bengali
    assert ("কিছু একটা কাজ করছে না" in bengali) == (state == "failed")


async def test_what_is_wrong_is_put_right_on_the_page(shop: Company, sim: ChatwootSim) -> None:
    """Register, switch, renew: each a button, each answered with a sentence."""
    async with admin(shop) as http:
        place = f"/admin/integrations/{shop.integration_id}"
        assert "registered in Chatwoot" in text_of(await submit(http, f"{place}/register"))
        assert "webhooks are kept and ignored" in text_of(await submit(http, f"{place}/disable"))
        assert "switched off" in text_of(await http.get("/admin/integrations"))
        assert "Switched on" in text_of(await submit(http, f"{place}/enable"))
        refused = await submit(http, f"{place}/token", value="wrong")
        assert refused.status_code == 422
        assert "was not kept" in text_of(refused)
        assert "was empty" in text_of(await submit(http, f"{place}/secret", value=""))
        assert (await submit(http, f"{place}/no-such-act")).status_code == 404


async def test_unsigned_is_said(shop: Company) -> None:
    """Until a secret is known, whoever knows the address can write."""
    async with admin(shop) as http:
        assert "unsigned" in text_of(await http.get("/admin/integrations"))


async def test_others_are_kept_out(shop: Company, company: Company) -> None:
    """Nobody: to the sign-in and back. An agent: a page that says so. Another company's
    administrator: not found, and nothing is done.
    """
    place = f"/admin/integrations/{shop.integration_id}"
    async with shop.omni.client() as nobody:
        answer = await nobody.get(place)
        assert (answer.status_code, answer.headers["Location"]) == (
            303,
            "/sign-in?next=" + place.replace("/", "%2F"),
        )
    async with shop.client() as agent:
        assert (await agent.get(place)).status_code == 403
    async with admin(company) as stranger:
        assert (await stranger.get(place)).status_code == 404
        assert (await submit(stranger, f"{place}/disable")).status_code == 404
    assert [
        one.is_active for one in await shop.integrations() if one.id == shop.integration_id
    ] == [True]


async def test_pages_carry_the_policy(shop: Company) -> None:
    """No script of others, no frame, kept by no cache."""
    async with admin(shop) as http:
        headers = (await http.get("/admin/integrations")).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"


async def test_every_act_is_in_the_audit_log(shop: Company, sim: ChatwootSim) -> None:
    """Who, what, to what, newest first; on the page, and by API for those who keep it elsewhere;
    without a secret.
    """
    async with admin(shop) as http:
        await http.post(f"/api/integrations/{shop.integration_id}/register")
        await http.patch(
            f"/api/integrations/{shop.integration_id}", json={"accessToken": sim.admin.access_token}
        )
        acts = (await http.get("/api/audit", params={"limit": 2})).json()
        assert [(act["act"], act["actor"]) for act in acts] == [
            ("integration.change", "Chief"),
            ("integration.register", "Chief"),
        ]
        assert acts[0]["detail"] == {"renewed": ["access_token"]}
        assert (await http.get("/api/audit", params={"before": acts[1]["id"]})).json() == []
        page = await http.get("/admin/audit")
    assert f"integration {shop.integration_id}" in text_of(page)
    assert sim.admin.access_token not in page.text
    async with shop.client() as agent:
        assert (await agent.get("/api/audit")).status_code == 403
