"""Whose a delivery is: another company writes the victim's numbers, with an address and a token of
its own, and gets nothing.
"""

import asyncio
import time
from typing import Any

import pytest

from server.core.times import SECOND
from server.lab.chatwoot_sim import ChatwootSim
from tests.integration.integration_admin import admin, command, findings, registered
from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.webhook import WEBHOOK_PATH, delivery_of, encode_body

SECRET = "u7Qm3ZtJ1xYb9Kc2Vw5Rn8Ld"  # pragma: allowlist secret


async def added(company: Company, **values: Any) -> Json:
    """An integration, by the API, as any administrator adds one."""
    given = {
        "accessToken": "anything",
        "baseUrl": "http://127.0.0.1:9",
        "acceptUnproved": True,
    } | values
    async with admin(company) as http:
        answer = await http.post("/api/integrations", json=given)
    assert answer.status_code == 201, answer.text
    await company.tell_server()
    found: Json = answer.json()
    return found


async def _claimed(company: Company, sim: ChatwootSim, **values: Any) -> Json:
    """Added while Chatwoot does not answer: what it says no to is not kept."""
    sim.switches.set(rate_limited=True)
    try:
        return await added(company, **values)
    finally:
        sim.switches.set(rate_limited=False)


@pytest.mark.parametrize("is_next_inbox", [False, True])
@pytest.mark.parametrize("is_signed", [False, True])
async def test_nothing_of_a_company_s_account_goes_to_another_that_wrote_its_numbers(
    server: Omni, is_signed: bool, is_next_inbox: bool
) -> None:
    """The same inbox, or another of the account, which the account's webhook brings as well: with
    the secret, or with another one.
    """
    async with (
        Company(server, webhook_secret=SECRET if is_signed else None) as victim,
        Company(server) as other,
    ):
        numbers = (victim.account_id, victim.inbox_id + is_next_inbox * 1_000_000)
        claim = await added(other, accountId=numbers[0], inboxId=numbers[1])
        assert (claim["isProved"], claim["isReceiving"], claim["isSigned"]) == (False, False, False)
        payload = victim.message(1)
        payload["inbox"]["id"] = numbers[1]
        payload["conversation"]["inbox_id"] = numbers[1]
        delivery = await victim.post(payload)
        entry = await victim.outcome(delivery)
        if is_next_inbox:
            assert (entry.state, entry.reason) == (
                "ignored",
                f"no integration for account {numbers[0]}, inbox {numbers[1]}",
            )
        else:
            assert entry.state == "done"
        refused = await delivery_of(victim.message(2), secret="of an inbox's callback").post(
            victim.http
        )
        assert refused.status_code == 401
        assert await other.conversations() == []
        async with admin(other) as http:
            assert (await http.get("/api/deliveries")).json() == []


async def test_a_claim_without_proof_is_no_hindrance_and_no_oracle(
    company: Company, sim: ChatwootSim
) -> None:
    """Written first, with a token that proves nothing: the owner adds the inbox as if nobody had;
    the claim is answered as before.
    """
    numbers = {"accountId": sim.account.id, "inboxId": sim.inbox.id, "baseUrl": sim.base_url}
    async with Company(company.omni) as owner:
        before = await _claimed(company, sim, **numbers, accessToken="garbage")
        mine = await added(owner, **numbers, accessToken=sim.admin.access_token)
        assert (mine["isProved"], mine["isReceiving"]) == (True, True)
        async with admin(owner) as http:
            assert (await http.post(f"/api/integrations/{mine['id']}/register")).json()["isSigned"]
        sim.customer_says("Léa", "for the owner")
        await sim.webhooks.flushed()
        await eventually(owner.conversations)
        assert await company.conversations() == []
        await company.execute("DELETE FROM integrations WHERE id = :id", id=before["id"])
        after = await _claimed(company, sim, **numbers, accessToken="garbage")
        assert {**after, "id": 0} == {**before, "id": 0}


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
async def test_a_check_proves_once_the_token_sees_the_inbox(
    company: Company, sim: ChatwootSim
) -> None:
    """Not yet a member: said with its cause, by API, command and status page; then proved by
    looking again, without registering anew.
    """
    outsider = sim.add_user(
        "Omar", account=sim.add_account("Elsewhere", id=99_000_001), role="administrator"
    )
    numbers = {"accountId": sim.account.id, "inboxId": sim.inbox.id, "baseUrl": sim.base_url}
    place = (await _claimed(company, sim, **numbers, accessToken=outsider.access_token))["id"]
    company.integration_id = place
    proof = (await findings(company))["proof"]
    assert proof["state"] == "failed"
    assert f"does not belong to account {sim.account.id}" in proof["text"]
    done = await command(company.omni, "integration", "check", "--integration-id", str(place))
    assert (done.returncode, proof["text"] in done.stdout) == (1, True)
    async with admin(company) as http:
        [line] = [
            one
            for one in (await http.get("/api/status")).json()["integrations"]
            if one["id"] == place
        ]
        assert "nothing is received yet" in line["text"]
        page = (await http.get("/admin/integrations")).text
        assert "not proved yet" in page
        outsider.roles[sim.account.id] = "administrator"
        assert (await findings(company))["proof"]["state"] == "ok"
        [shown] = [
            one for one in (await http.get("/api/integrations")).json() if one["id"] == place
        ]
        assert (shown["isProved"], shown["isReceiving"]) == (True, True)
    acts = await company.rows(
        "SELECT act FROM omni_audit_log WHERE target = :target", target=f"integration {place}"
    )
    assert "integration.proved" in {act for (act,) in acts}


async def test_an_old_chatwoot_calls_an_address_with_a_key(shop: Company, sim: ChatwootSim) -> None:
    """It does not sign: refused at first; with a key registered it arrives, and without that key
    nothing does.
    """
    await shop.change_integration(unsigned_webhooks="refused")
    assert (await delivery_of(shop.message(1)).post(shop.http)).status_code == 401
    async with admin(shop) as http:
        keyed = (
            await http.patch(
                f"/api/integrations/{shop.integration_id}", json={"unsignedWebhooks": "keyed"}
            )
        ).json()
        assert keyed["unsignedWebhooks"] == "keyed"
        address, _, key = keyed["webhookUrl"].partition("?key=")
        assert (address, len(key) >= 32) == (shop.omni.base_url + WEBHOOK_PATH, True)
        refused = await http.patch(
            f"/api/integrations/{shop.integration_id}", json={"unsignedWebhooks": "accepted"}
        )
        assert refused.status_code == 400
    body = encode_body(shop.message(2))
    for query, status in (("", 401), ("?key=wrong", 401), (f"?key={key}", 200)):
        assert (await shop.http.post(WEBHOOK_PATH + query, content=body)).status_code == status
    await shop.conversation_with(1)
    assert not await shop.rows(
        "SELECT 1 FROM omni_webhook_deliveries WHERE headers LIKE :key", key=f"%{key}%"
    )
    rows = await shop.rows(
        "SELECT omni_webhook_key FROM integrations WHERE id = :id", id=shop.integration_id
    )
    assert rows[0][0].startswith("enc1:")
    stranger = sim.add_webhook(f"{address}?key=another-company-s")
    await registered(shop)
    # another company's stays
    assert {hook.url for hook in sim.hooks} == {keyed["webhookUrl"], stranger.url}


async def test_a_replaced_secret_ends(shop: Company, sim: ChatwootSim) -> None:
    """By hand: a day, shown, or at once. By rotation: minutes after the old webhook has gone."""
    await registered(shop)
    place = f"/api/integrations/{shop.integration_id}"
    async with admin(shop) as http:
        assert (await http.get("/api/integrations")).json()[0]["previousSecretEndsAt"] is None
        changed = (await http.patch(place, json={"webhookSecret": "renewed"})).json()
        assert changed["previousSecretEndsAt"]
        old = sim.hooks[0].secret
        await shop.post(shop.message(1), secret=old)
        ended = (await http.patch(place, json={"endPreviousSecret": True})).json()
        assert ended["previousSecretEndsAt"] is None
        assert (await delivery_of(shop.message(2), secret=old).post(shop.http)).status_code == 401
        await shop.post(shop.message(3), secret="renewed")
        began = time.time()
        assert (await http.post(f"{place}/rotate")).json()["previousSecretEndsAt"]
    [(until,)] = await shop.rows(
        "SELECT omni_previous_secret_until FROM integrations WHERE id = :id", id=shop.integration_id
    )
    assert began < until / SECOND <= time.time() + 300
    await shop.change_integration(previous_secret_until=1)
    assert (await delivery_of(shop.message(4), secret="renewed").post(shop.http)).status_code == 401


async def test_renewing_keeps_another_company_of_the_account_connected(
    server: Omni, sim: ChatwootSim
) -> None:
    """Two companies have an inbox each of one account, which has one webhook: the secret is renewed
    by one, and both go on.
    """
    second = sim.add_inbox("Second", account=sim.account, id=sim.inbox.id + 500_000)
    async with Company(server) as one, Company(server) as two:
        places = []
        for company, inbox_id in ((one, sim.inbox.id), (two, second.id)):
            numbers = {
                "accountId": sim.account.id,
                "inboxId": inbox_id,
                "baseUrl": sim.base_url,
                "accessToken": sim.admin.access_token,
            }
            places.append((await added(company, **numbers))["id"])
            async with admin(company) as http:
                assert (
                    await http.post(f"/api/integrations/{places[-1]}/register")
                ).status_code == 200
        async with admin(one) as http:
            assert (await http.post(f"/api/integrations/{places[0]}/rotate")).status_code == 200
        assert len(sim.hooks) == 1
        sim.customer_says(sim.add_contact("Ben"), "to the second", inbox_id=second.id)
        sim.customer_says(sim.add_contact("Ana"), "to the first", inbox_id=sim.inbox.id)
        await sim.webhooks.flushed()
        assert {delivery.http_status for delivery in sim.webhooks.log} == {200}
        for company, text in ((one, "to the first"), (two, "to the second")):

            async def shown(company: Company = company, text: str = text) -> bool:
                return [
                    row["preview"]["content"]
                    for row in await company.conversations()
                    if row["preview"]
                ] == [text]

            await eventually(shown)
        acts = await two.rows("SELECT act FROM omni_audit_log WHERE company_id = :id", id=two.id)
        assert "integration.secret-renewed" in {act for (act,) in acts}


async def test_erasing_touches_no_delivery_that_was_never_the_company_s(server: Omni) -> None:
    """Parked, of an account whose number another company wrote for itself, in another inbox, and
    with the same contact's number.
    """
    async with Company(server) as company:
        foreign = company.message(7, "another company's customer", conversation_id=481)
        foreign["inbox"]["id"] = foreign["conversation"]["inbox_id"] = company.inbox_id + 1_000_000
        parked = await company.post(foreign)
        own = await company.post(company.message(1))
        assert (await company.outcome(parked)).state == "ignored"
        await company.outcome(own)
        await company.change_integration(is_active=False)
        [conversation] = await company.conversations()
        async with admin(company) as http:
            erased = await http.post(f"/api/conversations/{conversation['id']}/erase-contact")
            assert erased.status_code == 200, erased.text
        rows = await company.rows(
            "SELECT body FROM omni_webhook_deliveries WHERE body LIKE :text",
            text="%another company's customer%",
        )
        assert len(rows) == 1


async def test_two_proofs_at_once_leave_one_receiver(server: Omni, sim: ChatwootSim) -> None:
    """Both have a token of that Chatwoot: one has the inbox."""
    numbers = {
        "accountId": sim.account.id,
        "inboxId": sim.inbox.id,
        "baseUrl": sim.base_url,
        "accessToken": sim.admin.access_token,
    }
    async with Company(server) as one, Company(server) as two:
        async with asyncio.TaskGroup() as group:
            both = [group.create_task(added(company, **numbers)) for company in (one, two)]
        assert sorted(task.result()["isReceiving"] for task in both) == [False, True]
