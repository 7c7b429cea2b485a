"""Registering makes the webhook in Chatwoot that an integration needs, and puts right one that is
not as it should be.
"""

import json

from server.lab.chatwoot_sim import ChatwootSim
from tests.integration.integration_admin import (
    NEEDED,
    TYPING,
    command,
    findings,
    hook_url,
    registered,
)
from tests.kit.company import Company
from tests.kit.eventually import eventually


async def test_registering_makes_everything_well(shop: Company, sim: ChatwootSim) -> None:
    """One call: the webhook with the five events and those of typing, its secret kept; a customer's
    message then arrives, signed.
    """
    await registered(shop)
    [hook] = sim.hooks
    assert hook.url == hook_url(shop)
    assert set(hook.subscriptions) == NEEDED | TYPING
    found = await findings(shop)
    # all of this runs on one machine, which a real Chatwoot would refuse to call
    assert {name for name, finding in found.items() if finding["state"] != "ok"} == {
        "public address"
    }
    assert "SAFE_FETCH_ALLOW_PRIVATE_NETWORK" in found["public address"]["remedy"]
    sim.customer_says("Léa", "Hello")
    await sim.webhooks.flushed()
    assert [delivery.state for delivery in sim.webhooks.log] == ["acknowledged"] * len(
        sim.webhooks.log
    )
    await eventually(lambda: shop.conversations())
    [integration] = [one for one in await shop.integrations() if one.id == shop.integration_id]
    assert integration.webhook_secret == hook.secret


async def test_registering_again_puts_right_what_is_not(shop: Company, sim: ChatwootSim) -> None:
    """Missing events are set, a second webhook with our address goes, a secret that changed is
    fetched; nothing is made twice.
    """
    await registered(shop)
    sim.hooks[0].subscriptions = ("message_created", "contact_updated")
    sim.hooks[0].secret = "renewed-by-somebody"
    sim.add_webhook(hook_url(shop) + "?v=1")
    await registered(shop)
    [hook] = sim.hooks
    assert set(hook.subscriptions) == NEEDED | TYPING
    assert (await findings(shop))["signature"]["state"] == "ok"


async def test_an_older_chatwoot_is_asked_for_what_it_knows(
    shop: Company, sim: ChatwootSim
) -> None:
    """It refuses events of typing: the five are set, made anew and put right, and all is well
    without them.
    """
    sim.switches.set(knows_typing=False)
    await registered(shop)
    assert set(sim.hooks[0].subscriptions) == NEEDED
    sim.hooks[0].subscriptions = ("message_created",)
    await registered(shop)
    assert set(sim.hooks[0].subscriptions) == NEEDED
    assert (await findings(shop))["events"]["state"] == "ok"


async def test_local_mode_registers_the_tunnel(shop: Company, sim: ChatwootSim) -> None:
    """A developer's server is registered under its tunnel's address, the live one under
    PUBLIC_URL.
    """
    developer = shop.omni.another(
        env={"PUBLIC_URL": shop.omni.base_url, "TUNNEL_URL": "https://tunnel.example.com/"}
    )
    done = await command(
        developer,
        "integration",
        "register",
        "--integration-id",
        str(shop.integration_id),
        "--mode",
        "local",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["webhookMode"] == "local"
    assert [hook.url for hook in sim.hooks] == ["https://tunnel.example.com/api/webhooks/chatwoot"]
