"""Companies and Chatwoots in every combination: each delivery finds the one integration it belongs
to, or is parked with a reason.
"""

import itertools
from collections.abc import AsyncIterator

import pytest

from server.lab.chatwoot_sim import ChatwootSim, serving
from server.problems import decode, english
from tests.integration.integration_admin import admin, hook_url
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni

_numbers = itertools.count(90_001)


async def connect(
    company: Company, sim: ChatwootSim, account_id: int, inbox_id: int, token: str
) -> int:
    values = {
        "accountId": account_id,
        "inboxId": inbox_id,
        "baseUrl": sim.base_url,
        "accessToken": token,
    }
    async with admin(company) as http:
        added = await http.post("/api/integrations", json=values)
        assert added.status_code == 201, added.text
        number = int(added.json()["id"])
        assert (await http.post(f"/api/integrations/{number}/register")).status_code == 200
    return number


async def previews(company: Company) -> set[str]:
    """What the list shows; a conversation whose message is still under way has none."""
    return {one["preview"]["content"] for one in await company.conversations() if one["preview"]}


@pytest.fixture
async def twin(sim: ChatwootSim) -> AsyncIterator[ChatwootSim]:
    """Another Chatwoot that gave out the same numbers."""
    twin = ChatwootSim(account_id=sim.account.id, inbox_id=sim.inbox.id)
    async with serving(twin):
        yield twin


async def test_the_same_numbers_on_two_chatwoots(
    server: Omni, sim: ChatwootSim, twin: ChatwootSim
) -> None:
    """Two Chatwoots of one company with equal account and inbox numbers, and a second company on
    the first: nothing goes astray.
    """
    first, second = sim, twin
    other = first.add_account("Other", id=next(_numbers))
    other_inbox = first.add_inbox("Website", account=other, id=next(_numbers))
    other_admin = first.add_user("Omar", account=other, role="administrator")
    async with Company(server) as one, Company(server) as two:
        await connect(one, first, sim.account.id, sim.inbox.id, first.admin.access_token)
        await connect(one, second, sim.account.id, sim.inbox.id, second.admin.access_token)
        await connect(two, first, other.id, other_inbox.id, other_admin.access_token)
        first.customer_says("Ana", "to the first")
        second.customer_says("Ben", "to the second")
        first.customer_says(
            first.add_contact("Cleo", account=other), "to the other", inbox_id=other_inbox.id
        )
        for chatwoot in (first, second):
            await chatwoot.webhooks.flushed()

        async def arrived() -> bool:
            return await previews(one) == {"to the first", "to the second"} and await previews(
                two
            ) == {"to the other"}

        await eventually(arrived)
        chatwoots = {conversation["integrationId"] for conversation in await one.conversations()}
        assert len(chatwoots) == 2


async def test_an_inbox_that_another_company_proved_is_proved_by_nobody_else(
    server: Omni, sim: ChatwootSim
) -> None:
    """Who has a token of that Chatwoot is told that the inbox is taken, not by whom; who has none
    is told nothing of it.
    """
    async with Company(server, chatwoot=sim), Company(server) as other, admin(other) as http:
        for token, cause in (
            ("x", "does not accept the access token"),
            (sim.admin.access_token, "another integration on this server"),
        ):
            values = {
                "accountId": sim.account.id,
                "inboxId": sim.inbox.id,
                "baseUrl": sim.base_url,
                "accessToken": token,
            }
            sim.switches.set(rate_limited=token == "x")  # else it says no, and nothing is kept
            added = await http.post("/api/integrations", json=values | {"acceptUnproved": True})
            sim.switches.set(rate_limited=False)
            assert (added.status_code, added.json()["isReceiving"]) == (201, False)
            found = (await http.post(f"/api/integrations/{added.json()['id']}/check")).json()[
                "findings"
            ]
            [proof] = [finding for finding in found if finding["name"] == "proof"]
            assert proof["state"] == "failed"
            assert cause in proof["text"]
            await other.execute("DELETE FROM integrations WHERE id = :id", id=added.json()["id"])


async def test_a_delivery_that_fits_nobody_says_why(company: Company, sim: ChatwootSim) -> None:
    """Of an account that was never connected: kept, ignored, with the numbers to look for."""
    sim.add_webhook(hook_url(company))
    sim.customer_says("Dora", "to nobody")
    await sim.webhooks.flushed()

    async def parked() -> bool:
        rows = await company.rows(
            "SELECT state, reason FROM omni_webhook_deliveries WHERE reason IS NOT NULL"
        )
        states = {
            state
            for state, reason in rows
            if f"account {sim.account.id}," in english(decode(reason) or "")
        }
        return states == {"ignored"}

    await eventually(parked)
