"""Where is my message: the way of deliveries, messages and replies, and nothing of another
company's.
"""

import json

from server.core.times import SECOND
from server.lab.chatwoot_sim import ChatwootSim
from tests.integration.integration_admin import admin, command, registered
from tests.integration.test_admin_pages import submit, text_of
from tests.kit.company import Company
from tests.kit.eventually import eventually


async def way(company: Company, message_id: int) -> list[str]:
    async with admin(company) as http:
        answer = await http.get(f"/api/messages/{message_id}/trace")
    assert answer.status_code == 200, answer.text
    return [step["what"] for step in answer.json()["steps"]]


async def only_message(company: Company) -> int:
    async def there() -> int | None:
        found = await company.conversations()
        messages = await company.thread(found[0]["id"]) if found else []
        return int(messages[0]["id"]) if messages else None

    return await eventually(there)


async def test_a_customer_s_message_is_followed_to_the_agents(
    shop: Company, sim: ChatwootSim
) -> None:
    """Written, received, stored with its seq, published, first and last socket: in that order, by
    API and by command.
    """
    await registered(shop)
    async with shop.socket(1) as first, shop.socket(2) as second:
        await first.wait_for_frame("welcome")
        await second.wait_for_frame("welcome")
        sim.customer_says("Léa", "Where is my parcel?")
        await sim.webhooks.flushed()
        number = await only_message(shop)

        async def reached() -> bool:
            steps = await way(shop, number)
            assert any("written to the last of 2 sockets" in step for step in steps), steps
            return True

        await eventually(reached)
    steps = await way(shop, number)
    places = [
        next(n for n, step in enumerate(steps) if text in step)
        for text in (
            "written, as Chatwoot says",
            "webhook received (delivery",
            "stored as event",
            "to the first of",
            "to the last of",
        )
    ]
    assert places == sorted(places), steps
    assert not any("by asking" in step for step in steps)
    printed = json.loads((await command(shop.omni, "trace", "message", str(number))).stdout)
    assert [step["what"] for step in printed["steps"]] == steps
    by_delivery = json.loads(
        (await command(shop.omni, "trace", "delivery", str(printed["deliveries"][0]))).stdout
    )
    assert by_delivery["way"]["message"]["id"] == number


async def test_a_reply_is_followed_to_chatwoot_and_back(shop: Company, sim: ChatwootSim) -> None:
    """Written here, waits, sent, confirmed by the webhook."""
    await registered(shop)
    sim.customer_says("Léa", "Hello")
    await sim.webhooks.flushed()
    await only_message(shop)
    [conversation] = await shop.conversations()
    reply = (
        await shop.http.post(
            f"/api/conversations/{conversation['id']}/reply", json={"content": "On its way"}
        )
    ).json()

    async def sent() -> bool:
        await sim.webhooks.flushed()
        steps = await way(shop, reply["id"])
        assert any(step.startswith("sent: ") for step in steps), steps
        return True

    await eventually(sent)
    steps = await way(shop, reply["id"])
    assert "written here by an agent" in steps
    assert "waits to be sent to Chatwoot" in steps


async def test_what_no_webhook_told_is_said_so(shop: Company, sim: ChatwootSim) -> None:
    """Found by sync: stored, with the words that nobody delivered it."""
    sim.customer_says("Léa", "Lost on its way")
    answer = await shop.http.post("/api/chatwoot/sync", json={"integrationId": shop.integration_id})
    assert answer.status_code == 200
    assert any(
        "found by asking Chatwoot" in step for step in await way(shop, await only_message(shop))
    )


async def test_what_asking_found_first_is_said_to_be_late_or_lost(
    shop: Company, sim: ChatwootSim
) -> None:
    """Its webhook comes after all; another one never does."""
    await registered(shop)
    sim.switches.set(holds_webhooks=True)
    late = sim.customer_says("Léa", "Late")
    late.created_at -= 60.0  # older than what is left to its webhook
    asked_us = shop.database.clock.now_us()
    await shop.change_integration(lease_until=0, walked_at=0, reconciled_at=asked_us - 120 * SECOND)

    async def is_asked() -> bool:
        found = await shop.rows(
            "SELECT number FROM omni_found_by_asking WHERE kind = 'message' AND integration_id = "
            ":i",
            i=shop.integration_id,
        )
        return [row[0] for row in found] == [late.id]

    await eventually(is_asked, limit=60)
    number = await only_message(shop)
    words = "asking Chatwoot found it before any webhook told"
    assert words in await way(shop, number)
    sim.switches.set(holds_webhooks=False)
    await sim.webhooks.flushed()

    async def is_late() -> bool:
        steps = await way(shop, number)
        assert any(step.startswith("its webhook came after all") for step in steps), steps
        return words in steps and any("webhook received (delivery" in step for step in steps)

    await eventually(is_late, limit=60)
    await shop.execute(
        "UPDATE omni_found_by_asking SET state = 'lost', came_at = NULL WHERE integration_id = :i",
        i=shop.integration_id,
    )
    assert f"{words}; its webhook has not come in time and counts as lost" in await way(
        shop, number
    )


async def test_a_dead_delivery_is_found_and_put_back(company: Company) -> None:
    """By page: in the list with its reason; back in line by its button; a line in the audit log."""
    await company.change_integration(is_webhook_active=False)
    delivery = await company.post(company.simple("While it was off"))
    assert (await company.outcome(delivery)).state == "ignored"
    await company.change_integration(is_webhook_active=True)
    async with admin(company) as http:
        [entry] = (await http.get("/api/deliveries", params={"state": "ignored"})).json()
        assert "is_webhook_active" in entry["reason"]
        page = text_of(await http.get("/admin/ledger?state=ignored"))
        assert "is_webhook_active" in page
        place = f"/admin/ledger/deliveries/{entry['id']}"
        assert "nothing proves that this delivery is your company's" in text_of(
            await http.get(place)
        )
        assert "back in line" in text_of(await submit(http, f"{place}/retry"))
        assert await eventually(company.conversations)
        assert (await http.post(f"/api/deliveries/{entry['id']}/retry")).status_code == 409
        assert (
            "While it was off" in (await http.get(f"/api/deliveries/{entry['id']}")).json()["body"]
        )
    acts = await company.rows(
        "SELECT act FROM omni_audit_log WHERE company_id = :company", company=company.id
    )
    assert [act for (act,) in acts] == ["delivery.retry"]


async def test_a_message_is_searched_by_what_one_knows_of_it(
    shop: Company, sim: ChatwootSim
) -> None:
    """Text, the customer's name, our number or Chatwoot's; a percent sign is a percent sign."""
    await registered(shop)
    told = sim.customer_says("Léa <b>Moreau</b>", "Order 100% <script>lost</script>")
    await sim.webhooks.flushed()
    number = await only_message(shop)
    async with admin(shop) as http:
        for q in ("100%", "Moreau", str(number), str(told.id)):
            page = await http.get("/admin/ledger", params={"q": q})
            assert f"/admin/ledger/messages/{number}" in page.text, q
            assert "<script>lost" not in page.text
        assert (
            f"/admin/ledger/messages/{number}"
            not in (await http.get("/admin/ledger", params={"q": "100_"})).text
        )
        assert "Order 100% <script>lost</script>" in text_of(
            await http.get(f"/admin/ledger/messages/{number}")
        )


async def test_nothing_of_another_company_is_found(
    shop: Company, company: Company, sim: ChatwootSim
) -> None:
    """Neither listed, nor by number, nor by search, nor put back in line."""
    await registered(shop)
    sim.customer_says("Léa", "a word of theirs")
    await sim.webhooks.flushed()
    number = await only_message(shop)
    async with admin(shop) as http:
        [entry, *_] = (await http.get("/api/deliveries")).json()
    async with admin(company) as stranger:
        assert (await stranger.get("/api/deliveries")).json() == []
        assert (
            await stranger.get("/api/deliveries", params={"integrationId": shop.integration_id})
        ).status_code == 404
        for path in (
            f"/api/deliveries/{entry['id']}",
            f"/api/messages/{number}/trace",
            f"/admin/ledger/messages/{number}",
        ):
            assert (await stranger.get(path)).status_code == 404
        assert (await stranger.post(f"/api/deliveries/{entry['id']}/retry")).status_code == 404
        assert "a word of theirs" not in (
            await stranger.get("/admin/ledger", params={"q": "a word"})
        ).text.replace('value="a word"', "")
    async with shop.client() as agent:
        assert (await agent.get("/api/deliveries")).status_code == 403
