"""Every way to misconfigure an integration is told with its cause and remedy, on the API and by the
command.
"""

import json
import re
from collections.abc import Callable

import pytest

from server.lab.chatwoot_sim import ChatwootSim
from tests.integration.integration_admin import command, findings, hook_url, one_stack, registered
from tests.kit.company import Company
from tests.kit.omni import Omni


def _break_token(shop: Company, sim: ChatwootSim) -> dict[str, object]:
    return {"access_token": "wrong"}


def _demote(shop: Company, sim: ChatwootSim) -> dict[str, object]:
    sim.admin.roles[sim.account.id] = "agent"
    sim.inbox.member_ids.add(sim.admin.id)
    return {}


def _unsubscribe(shop: Company, sim: ChatwootSim) -> dict[str, object]:
    sim.hooks[0].subscriptions = ("message_created",)
    return {}


def _call_back_too(shop: Company, sim: ChatwootSim) -> dict[str, object]:
    sim.inbox.channel, sim.inbox.webhook_url = "Channel::Api", hook_url(shop)
    return {}


def _take_hook_away(shop: Company, sim: ChatwootSim) -> dict[str, object]:
    sim.hooks.clear()
    return {}


def _move_hook(shop: Company, sim: ChatwootSim) -> dict[str, object]:
    sim.hooks[0].url = "https://old.example.com/api/webhooks/chatwoot"
    return {}


def _older_chatwoot(shop: Company, sim: ChatwootSim) -> dict[str, object]:
    sim.hooks[0].secret = ""
    return {"webhook_secret": None}


Break = Callable[[Company, ChatwootSim], dict[str, object]]

# what is broken: (how, the finding, its state, its cause, its remedy)
WAYS: dict[str, tuple[Break, str, str, str, str]] = {
    "wrong token": (
        _break_token,
        "access token",
        "failed",
        "does not accept the access token: Invalid Access Token",
        "Copy it anew",
    ),
    "agent instead of administrator": (
        _demote,
        "role",
        "failed",
        "is agent in account",
        "administrator in Chatwoot",
    ),
    "wrong account": (
        lambda c, s: {"account_id": "77777"},
        "account",
        "failed",
        "does not belong to account 77777",
        "/app/accounts/",
    ),
    "wrong inbox": (
        lambda c, s: {"page_id": "77777"},
        "inbox",
        "failed",
        r"no inbox 77777 .* there are: \d+ \(Website\)",
        "/settings/inboxes/",
    ),
    "unreachable": (
        lambda c, s: {"base_url": "http://127.0.0.1:9"},
        "Chatwoot",
        "failed",
        "cannot be reached",
        "Open http://127.0.0.1:9",
    ),
    "not Chatwoot": (
        lambda c, s: {"base_url": c.omni.base_url},
        "Chatwoot",
        "failed",
        "is not Chatwoot's API",
        "what stands before /app",
    ),
    "inactive": (
        lambda c, s: {"is_active": False},
        "switched on",
        "failed",
        "switched off \\(is_active\\)",
        "integration enable",
    ),
    "webhooks inactive": (
        lambda c, s: {"is_webhook_active": False},
        "switched on",
        "failed",
        "switched off \\(is_webhook_active\\)",
        "integration enable",
    ),
    "no webhook": (
        _take_hook_away,
        "webhook",
        "failed",
        "has no webhook with the address",
        "integration register",
    ),
    "webhook elsewhere": (
        _move_hook,
        "webhook",
        "failed",
        "but one with https://old.example.com/",
        "integration register",
    ),
    "missing event": (
        _unsubscribe,
        "events",
        "failed",
        "does not send message_updated",
        "Register it again",
    ),
    "wrong secret": (
        lambda c, s: {"webhook_secret": "other"},
        "signature",
        "failed",
        "not the one Chatwoot signs with",
        "Register it again",
    ),
    "secret unknown": (
        lambda c, s: {"webhook_secret": None},
        "signature",
        "warning",
        "secret is not known here",
        "Register it again",
    ),
    "older Chatwoot": (
        _older_chatwoot,
        "signature",
        "warning",
        "older than 4.12",
        "Update Chatwoot",
    ),
    "callback as well": (
        _call_back_too,
        "callback",
        "warning",
        "sends each message twice",
        "Empty the field",
    ),
}


@one_stack
@pytest.mark.parametrize("way", WAYS)
async def test_each_way_to_misconfigure_is_told(shop: Company, sim: ChatwootSim, way: str) -> None:
    """The same sentence on the API and by the command, with what to do; no secret in either."""
    breaking, name, state, cause, remedy = WAYS[way]
    await registered(shop)
    changes = breaking(shop, sim)
    if changes:
        await shop.change_integration(**changes)
    found = (await findings(shop))[name]
    assert found["state"] == state
    assert re.search(cause, found["text"]), found["text"]
    assert remedy in found["remedy"]
    done = await command(
        shop.omni, "integration", "check", "--integration-id", str(shop.integration_id)
    )
    assert found["text"] in done.stdout, done.stdout + done.stderr
    assert found["remedy"] in done.stdout
    assert done.returncode == (state == "failed")
    for secret in (sim.admin.access_token, *(hook.secret for hook in sim.hooks if hook.secret)):
        assert secret not in done.stdout + done.stderr + json.dumps(found)


@one_stack
async def test_our_own_address_is_tried(shop: Company, sim: ChatwootSim) -> None:
    """A PUBLIC_URL that leads to somebody else, or nowhere, is told."""
    arguments = ("integration", "check", "--integration-id", str(shop.integration_id), "--json")
    for url, cause in (
        (sim.base_url, "Something else answers at"),
        ("http://127.0.0.1:9", "Nothing answers at"),
    ):
        elsewhere = Omni(
            shop.omni.directory, database_url=shop.omni.env["DATABASE_URL"], env={"PUBLIC_URL": url}
        )
        found = {
            finding["name"]: finding
            for finding in json.loads((await command(elsewhere, *arguments)).stdout)["findings"]
        }
        assert found["our address"]["text"].startswith(cause)
        assert "PUBLIC_URL" in found["our address"]["remedy"]
