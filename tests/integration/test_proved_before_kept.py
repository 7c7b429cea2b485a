"""Integrations are tried before they are kept: what is wrong is said in words and not stored; what
cannot be known is a person's choice.
"""

import json
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from server.core.bidi import without_turning
from server.lab.chatwoot_sim import ChatwootSim
from tests.integration.integration_admin import (
    TYPING,
    admin,
    command,
    findings,
    one_stack,
    registered,
)
from tests.integration.test_admin_pages import submit, text_of
from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.overhearing import overhearing

pytestmark = one_stack


@pytest.fixture
async def chief(company: Company) -> AsyncIterator[httpx.AsyncClient]:
    async with admin(company) as http:
        yield http


def _values(sim: ChatwootSim, **changes: Any) -> Json:
    own = {
        "accountId": sim.account.id,
        "inboxId": sim.inbox.id,
        "baseUrl": sim.base_url,
        "accessToken": sim.admin.access_token,
    }
    return own | changes


async def _own(http: httpx.AsyncClient, sim: ChatwootSim) -> list[Json]:
    """What was added of this Chatwoot."""
    return [
        one
        for one in (await http.get("/api/integrations")).json()
        if one["baseUrl"] == sim.base_url
    ]


def _closed_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


async def _refused(http: httpx.AsyncClient, values: Json, *words: str) -> Json:
    before = (await http.get("/api/integrations")).json()
    answer = await http.post("/api/integrations", json=values)
    assert answer.status_code == 422, answer.text
    for word in words:
        assert word in answer.json()["message"], answer.text
    assert (await http.get("/api/integrations")).json() == before, "something was kept"
    found: Json = answer.json()
    return found


async def test_each_thing_that_is_wrong_is_said_and_nothing_is_kept(
    chief: httpx.AsyncClient, sim: ChatwootSim
) -> None:
    """Token, account, role, inbox: with Chatwoot's own words, and what there is instead."""
    agent = sim.add_user("Ola", account=sim.account, role="agent")
    sim.inbox.member_ids.add(agent.id)
    await _refused(
        chief,
        _values(sim, accessToken="wrong"),
        "does not accept the access token",
        "Invalid Access Token",
        "Profile settings",
    )
    await _refused(
        chief, _values(sim, accountId=4711), "does not belong to account 4711", sim.account.name
    )
    await _refused(
        chief, _values(sim, accessToken=agent.access_token), "Ola is agent", "not an administrator"
    )
    await _refused(
        chief,
        _values(sim, inboxId=sim.inbox.id + 77),
        f"no inbox {sim.inbox.id + 77}",
        sim.inbox.name,
    )
    sim.account.status = "suspended"
    await _refused(chief, _values(sim), "suspended")


async def test_a_wrong_address_is_said_by_what_is_wrong_with_it(
    chief: httpx.AsyncClient, company: Company, sim: ChatwootSim
) -> None:
    """Its name, its port, its certificate, or that something else answers there."""
    port = _closed_port()
    place = sim.base_url.removeprefix("http://")
    away = [
        ("http://no-such-host.invalid", "DNS does not know"),
        (f"http://127.0.0.1:{port}", "nothing listens at this port"),
        (f"https://{place}", "does not speak TLS at this port"),
    ]
    for address, words in away:
        assert (await _refused(chief, _values(sim, baseUrl=address), words))[
            "code"
        ] == "chatwoot_away"
    other = await _refused(
        chief, _values(sim, baseUrl=company.omni.base_url), "is not Chatwoot's API", "/app"
    )
    assert other["code"] == "unprocessable"


async def test_the_address_of_a_page_is_cut(chief: httpx.AsyncClient, sim: ChatwootSim) -> None:
    """People paste what their browser shows."""
    added = await chief.post(
        "/api/integrations", json=_values(sim, baseUrl=f"{sim.base_url}/app/accounts/1/dashboard")
    )
    assert (added.status_code, added.json()["baseUrl"]) == (201, sim.base_url), added.text
    assert added.json()["inboxName"] == sim.inbox.name


async def test_what_cannot_be_known_is_kept_by_choice_and_marked(
    chief: httpx.AsyncClient, company: Company, sim: ChatwootSim
) -> None:
    """Chatwoot is away: refused, then kept as not proved; by the form as well, which keeps what was
    typed but for the token.
    """
    sim.switches.set(fail_next=99, fail_status=503)
    assert (await _refused(chief, _values(sim), "cannot be asked now"))["code"] == "chatwoot_away"
    form = {"base_url": sim.base_url, "access_token": sim.admin.access_token}
    page = await submit(chief, "/admin/integrations", **form)
    assert "marked as not proved" in text_of(page)
    assert f'value="{sim.base_url}"' in page.text
    assert sim.admin.access_token not in page.text
    numbers = {
        "account_id": str(sim.account.id),
        "inbox_id": str(sim.inbox.id),
        "accept_unproved": "on",
    }
    kept = re.search(r'name="kept_token" value="([^"]+)"', page.text)
    assert kept
    page = await submit(
        chief, "/admin/integrations", base_url=sim.base_url, kept_token=kept[1], **numbers
    )
    assert page.status_code == 200
    assert "not proved yet" in text_of(await chief.get("/admin/integrations"))
    [listed] = await _own(chief, sim)
    assert (listed["isProved"], listed["isReceiving"]) == (False, False)
    sim.switches.set(fail_next=0)
    company.integration_id = listed["id"]
    assert (await findings(company))["proof"]["state"] == "ok"


async def test_inboxes_are_chosen_by_name_several_at_once(
    chief: httpx.AsyncClient, sim: ChatwootSim
) -> None:
    """Address and token first; then the inboxes that Chatwoot shows; one webhook for all. The token
    is written once and never sent back.
    """
    second = sim.add_inbox("Späti WhatsApp", account=sim.account, channel="Channel::Whatsapp")
    page = await submit(
        chief,
        "/admin/integrations",
        base_url=f"{sim.base_url}/app",
        access_token=sim.admin.access_token,
    )
    assert page.status_code == 200
    for words in (sim.inbox.name, "Späti WhatsApp", "Whatsapp"):
        assert words in without_turning(text_of(page))
    assert sim.admin.access_token not in page.text
    kept = re.search(r'name="kept_token" value="([^"]+)"', page.text)
    assert kept
    form = {"base_url": sim.base_url, "kept_token": kept[1], "account_id": str(sim.account.id)}
    form |= {f"inbox_{sim.inbox.id}": "on", f"inbox_{second.id}": "on"}
    page = await submit(chief, "/admin/integrations", **form)
    assert page.status_code == 200, text_of(page)
    listed = await _own(chief, sim)
    assert {(one["inboxName"], one["isProved"], one["isSigned"]) for one in listed} == {
        (sim.inbox.name, True, True),
        ("Späti WhatsApp", True, True),
    }
    assert len(sim.hooks) == 1
    assert "Späti WhatsApp" in text_of(page)


async def test_a_token_of_the_database_is_not_sent_by_a_form(
    chief: httpx.AsyncClient, shop: Company, sim: ChatwootSim
) -> None:
    """Somebody who has read a row must not have it opened and sent to an address of theirs."""
    [(sealed,)] = await shop.rows(
        "SELECT access_token FROM integrations WHERE id = :id", id=shop.integration_id
    )
    async with overhearing() as (elsewhere, heard):
        page = await submit(
            chief, "/admin/integrations", base_url=elsewhere, kept_token=sealed or "enc1:x"
        )
        assert page.status_code == 400
        assert heard == []
        await submit(
            chief, "/admin/integrations", base_url=elsewhere, access_token="written-by-hand"
        )
        assert any("written-by-hand" in one for one in heard), (
            "else nothing would be heard of the other one, either"
        )


async def test_a_stored_token_is_sent_to_no_new_address(shop: Company, sim: ChatwootSim) -> None:
    """No administrator can read a token here; moving the integration to a server of one's own must
    not show it, either.
    """
    async with overhearing() as (elsewhere, heard), admin(shop) as http:
        refused = await http.patch(
            f"/api/integrations/{shop.integration_id}", json={"baseUrl": elsewhere}
        )
        assert (refused.status_code, "access token as well" in refused.json()["message"]) == (
            422,
            True,
        )
        refused = await http.patch(
            f"/api/integrations/{shop.integration_id}",
            json={"baseUrl": elsewhere, "inboxId": sim.inbox.id},
        )
        assert refused.status_code == 422
        page = await submit(
            http, f"/admin/integrations/{shop.integration_id}/address", value=elsewhere
        )
        assert page.status_code == 422
        assert heard == []
        given = await http.patch(
            f"/api/integrations/{shop.integration_id}",
            json={"baseUrl": elsewhere, "accessToken": "written-by-hand"},
        )
        assert given.status_code == 422, "it is no Chatwoot"
        assert any("written-by-hand" in one for one in heard)
        assert not any(sim.admin.access_token in one for one in heard)


async def test_address_and_inbox_are_corrected_when_they_work(
    shop: Company, sim: ChatwootSim
) -> None:
    """What does not work changes nothing; another Chatwoot is none of this one's conversations."""
    sim.customer_says("Léa", "Hello")
    second = sim.add_inbox("Second", account=sim.account)
    await registered(shop)
    sim.customer_says("Léa", "Hello again")
    await eventually(shop.conversations)
    place = f"/api/integrations/{shop.integration_id}"
    async with admin(shop) as http:
        wrong = await http.patch(place, json={"inboxId": second.id + 9})
        assert (wrong.status_code, "no inbox" in wrong.json()["message"]) == (422, True)
        away = await http.patch(
            place, json={"baseUrl": f"http://127.0.0.1:{_closed_port()}", "accessToken": "x"}
        )
        assert (away.status_code, away.json()["code"]) == (422, "chatwoot_away")
        changed = await http.patch(
            place, json={"inboxId": second.id, "baseUrl": f"{sim.base_url}/app"}
        )
        assert (changed.status_code, changed.json()["inboxName"]) == (200, "Second"), changed.text
        for there in list(sim.conversations.values()):
            sim.delete_conversation(there)
        moved = await http.patch(place, json={"baseUrl": sim.base_url + "/"})
        assert moved.status_code == 422
        assert "another Chatwoot answers" in moved.json()["message"]


async def test_a_deleted_integration_leaves_its_conversations(
    shop: Company, sim: ChatwootSim
) -> None:
    """Said before, by page and command; read and closed afterwards, not answered; connected again,
    they go on under its number.
    """
    await registered(shop)
    sim.customer_says("Léa", "Hello")
    [conversation] = await eventually(shop.conversations)
    async with admin(shop) as http:
        page = f"/admin/integrations/{shop.integration_id}"
        assert "Its 1 conversation stays here" in text_of(await http.get(page))
        assert (await submit(http, f"{page}/delete")).status_code == 400
        assert (await http.delete(f"/api/integrations/{shop.integration_id}")).status_code == 204
        assert sim.hooks == []
        assert (await http.get("/api/integrations")).json() == []
        assert (await http.get(page)).status_code == 404
        [(token, secret)] = await shop.rows(
            "SELECT access_token, omni_webhook_secret FROM integrations WHERE id = :id",
            id=shop.integration_id,
        )
        assert (token, secret) == (None, None)
        answer = await shop.http.post(
            f"/api/conversations/{conversation['id']}/reply", json={"content": "x"}
        )
        assert answer.json()["code"] == "no_chatwoot_integration"
        assert (
            await shop.http.patch(
                f"/api/conversations/{conversation['id']}", json={"status": "Closed"}
            )
        ).status_code == 200
        assert len(await shop.thread(conversation["id"])) == 1
        again = await http.post("/api/integrations", json=_values(sim))
        assert (again.status_code, again.json()["id"]) == (201, shop.integration_id)
    await registered(shop)
    sim.customer_says("Léa", "Me again")
    whole = await shop.conversation_with(2, display_id=conversation["chatwootConversationId"])
    assert whole["id"] == conversation["id"]


async def test_by_command(company: Company, sim: ChatwootSim) -> None:
    """Inboxes are listed, several are added at once, what is wrong is refused with its cause, one
    is deleted after a question.
    """
    second = sim.add_inbox("Second", account=sim.account)
    place = ["--base-url", f"{sim.base_url}/app", "--access-token-stdin"]
    shown = await command(
        company.omni, "integration", "inboxes", *place, stdin=sim.admin.access_token
    )
    assert {one["name"] for one in json.loads(shown.stdout)["inboxes"]} == {
        sim.inbox.name,
        "Second",
    }
    own = ["--company-id", str(company.id), "--account-id", str(sim.account.id)]
    wrong = await command(
        company.omni,
        "integration",
        "add",
        *own,
        "--inbox-id",
        "4711",
        *place,
        stdin=sim.admin.access_token,
    )
    assert wrong.returncode == 1
    assert "no inbox 4711" in wrong.stderr
    both = ["--inbox-id", str(sim.inbox.id), "--inbox-id", str(second.id)]
    done = await command(
        company.omni,
        "integration",
        "add",
        *own,
        *both,
        *place,
        "--register",
        stdin=sim.admin.access_token,
    )
    added = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["isProved"] for one in added] == [True, True]
    number = str(added[0]["id"])
    edited = await command(
        company.omni, "integration", "edit", "--integration-id", number, "--base-url", sim.base_url
    )
    assert json.loads(edited.stdout)["baseUrl"] == sim.base_url
    no = await command(company.omni, "integration", "delete", "--integration-id", number, stdin="n")
    assert no.returncode == 1
    yes = await command(company.omni, "integration", "delete", "--integration-id", number, "--yes")
    assert json.loads(yes.stdout) == {"id": int(number), "conversations": 0}
    assert len(sim.hooks) == 1, "the other inbox uses it"


async def test_renewing_the_secret_keeps_typing(shop: Company, sim: ChatwootSim) -> None:
    """The new webhook sends what the old one sent."""
    await registered(shop)
    async with admin(shop) as http:
        assert (
            await http.post(f"/api/integrations/{shop.integration_id}/rotate")
        ).status_code == 200
    [hook] = sim.hooks
    assert set(hook.subscriptions) >= TYPING
