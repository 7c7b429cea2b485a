"""Integrations administered: every way to misconfigure one is told with its cause and remedy, on
the API and by the command.
"""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import anyio
import httpx
import pytest

from server.lab.chatwoot_sim import ChatwootSim
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni

NEEDED = {
    "message_created",
    "message_updated",
    "conversation_created",
    "conversation_updated",
    "conversation_status_changed",
}
TYPING = {"conversation_typing_on", "conversation_typing_off"}


def admin(company: Company) -> httpx.AsyncClient:
    return company.omni.client(company.token("chief", role="admin", name="Chief"), timeout=30.0)


def hook_url(company: Company) -> str:
    return f"{company.omni.base_url}/api/webhooks/chatwoot"


async def command(
    omni: Omni, *arguments: str, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """In a thread: the simulated Chatwoot answers from this event loop."""
    return await anyio.to_thread.run_sync(lambda: omni.cli(*arguments, input=stdin))


async def findings(company: Company) -> dict[str, dict[str, str]]:
    async with admin(company) as http:
        answer = await http.post(f"/api/integrations/{company.integration_id}/check")
    assert answer.status_code == 200, answer.text
    return {finding["name"]: finding for finding in answer.json()["findings"]}


async def registered(company: Company) -> None:
    async with admin(company) as http:
        answer = await http.post(f"/api/integrations/{company.integration_id}/register")
    assert answer.status_code == 200, answer.text


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


# what is asked of Chatwoot alone is the same on either stack
one_stack = pytest.mark.parametrize("server", ["embedded"], indirect=True)
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


async def test_rotation_loses_nothing(shop: Company, sim: ChatwootSim) -> None:
    """The new webhook is there before the old one goes; messages written all the while are there
    once each.
    """
    await registered(shop)
    old = sim.hooks[0].secret
    sim.customer_says("Léa", "before")
    async with admin(shop) as http:
        rotating = http.build_request("POST", f"/api/integrations/{shop.integration_id}/rotate")
        answer = await http.send(rotating)
        assert answer.status_code == 200, answer.text
    [hook] = sim.hooks
    assert hook.secret != old
    sim.customer_says("Léa", "after")
    await sim.webhooks.flushed()
    assert {delivery.http_status for delivery in sim.webhooks.log} == {200}

    async def written() -> bool:
        [conversation] = await shop.conversations()
        return [message["content"] for message in await shop.thread(conversation["id"])] == [
            "before",
            "after",
        ]

    await eventually(written)
    assert (await findings(shop))["signature"]["state"] == "ok"


async def test_a_token_that_does_not_work_never_replaces_one_that_may(
    shop: Company, sim: ChatwootSim
) -> None:
    """Tried first; a good one is kept and used at once."""
    other = sim.add_user("Ravi", account=sim.account, role="administrator")
    async with admin(shop) as http:
        path = f"/api/integrations/{shop.integration_id}"
        refused = await http.patch(path, json={"accessToken": "wrong"})
        assert (refused.status_code, refused.json()["code"]) == (422, "unprocessable")
        assert "not kept" in refused.json()["message"]
        assert (await findings(shop))["access token"]["state"] == "ok"
        assert (await http.patch(path, json={"accessToken": other.access_token})).status_code == 200
    assert "Ravi" in (await findings(shop))["access token"]["text"]


async def test_add_by_api_and_command(company: Company, sim: ChatwootSim) -> None:
    """Added and registered; a second time is noticed; the answer holds no secret, the database
    holds it sealed.
    """
    values = {
        "accountId": sim.account.id,
        "inboxId": sim.inbox.id,
        "baseUrl": sim.base_url + "/",
        "accessToken": sim.admin.access_token,
    }
    async with admin(company) as http:
        added = await http.post("/api/integrations", json=values)
        assert added.status_code == 201, added.text
        again = await http.post("/api/integrations", json=values)
        assert (again.status_code, again.json()["code"]) == (409, "duplicate")
        listed = (await http.get("/api/integrations")).text
    assert added.json()["baseUrl"] == sim.base_url
    assert sim.admin.access_token not in added.text + listed
    rows = await company.rows(
        "SELECT access_token FROM integrations WHERE id = :id", id=added.json()["id"]
    )
    assert rows[0][0].startswith("enc1:")
    options = [
        "--company-id",
        str(company.id),
        "--account-id",
        str(sim.account.id),
        "--inbox-id",
        str(sim.inbox.id),
    ]
    options += ["--base-url", sim.base_url, "--access-token-stdin", "--register"]
    done = await command(
        company.omni, "integration", "add", *options, stdin=f"{sim.admin.access_token}\n"
    )
    assert done.returncode == 1
    assert f"Integration {added.json()['id']} is this Chatwoot inbox already" in done.stderr


@one_stack
@pytest.mark.parametrize(
    ("base_url", "sentence"),
    [
        ("chat.example.com", "must begin with http"),
        ("ftp://chat.example.com", "must begin with http"),
        ("https://user:pw@chat.example.com", "holds no user"),
        ("http://169.254.169.254", "private or local address"),
        ("http://[fe80::1]", "private or local address"),
        ("http://0.0.0.0:8000", "private or local address"),
        ("http://[::ffff:169.254.169.254]/", "private or local address"),
    ],
)
async def test_an_address_that_cannot_be_chatwoot_s_is_refused(
    company: Company, base_url: str, sentence: str
) -> None:
    """Before it is kept, also where private addresses are allowed."""
    values = {"accountId": 1, "inboxId": 2, "baseUrl": base_url, "accessToken": "x"}
    async with admin(company) as http:
        answer = await http.post("/api/integrations", json=values)
    assert answer.status_code == 400, answer.text
    assert sentence in answer.json()["message"]


async def test_only_administrators_and_only_their_own(shop: Company, company: Company) -> None:
    """An agent is refused; another company's administrator finds nothing there, and changes
    nothing.
    """
    async with shop.client() as agent:
        for method, path in (
            ("GET", ""),
            ("POST", ""),
            ("PATCH", "/1"),
            ("POST", "/1/check"),
            ("POST", "/1/register"),
            ("POST", "/1/rotate"),
        ):
            assert (
                await agent.request(method, f"/api/integrations{path}", json={})
            ).status_code == 403
    async with admin(company) as stranger:
        place = f"/api/integrations/{shop.integration_id}"
        assert (await stranger.patch(place, json={"isActive": False})).status_code == 404
        for act in ("check", "register", "rotate"):
            assert (await stranger.post(f"{place}/{act}")).status_code == 404
        assert shop.integration_id not in [
            one["id"] for one in (await stranger.get("/api/integrations")).json()
        ]
    rows = await shop.rows(
        "SELECT is_active FROM integrations WHERE id = :id", id=shop.integration_id
    )
    assert rows[0][0]


async def test_switched_off_and_on_again_by_command(company: Company) -> None:
    """Off means kept and ignored; each act is in the audit log, with who did it."""
    number = str(company.integration_id)
    assert (
        await command(company.omni, "integration", "disable", "--integration-id", number)
    ).returncode == 0
    await company.tell_server()
    entry = await company.outcome(await company.post(company.simple()))
    assert entry.state == "ignored"
    assert "is_active" in (entry.reason or "")
    line = json.loads(
        (await command(company.omni, "integration", "enable", "--integration-id", number)).stdout
    )
    assert (line["isActive"], line["isWebhookActive"]) == (True, True)
    acts = await company.rows(
        "SELECT act, actor, detail FROM omni_audit_log WHERE company_id = :company ORDER BY id",
        company=company.id,
    )
    assert [(act, actor) for act, actor, _ in acts] == [
        ("integration.change", "command on the server")
    ] * 2
    assert json.loads(acts[0][2]) == {"is_active": False}


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


def test_a_changed_secret_key_opens_and_seals_anew(database_url: str, tmp_path: Path) -> None:
    """SECRET_KEY_PREVIOUS is read; `db upgrade` seals with the new key, clear text as well; then
    the old key is needed no more.
    """

    def server(key: str, previous: str = "") -> Omni:
        return Omni(
            tmp_path,
            database_url=database_url,
            env={"SECRET_KEY": key, "SECRET_KEY_PREVIOUS": previous},
        )

    def problems(omni: Omni) -> list[tuple[str | None, bool]]:
        lines = [json.loads(line) for line in omni.cli("integration", "list").stdout.splitlines()]
        return [(line["problem"], line["isSigned"]) for line in lines]

    first = server("first")
    first.prepare()
    first.add_integration(company_id=1, inbox_id=1, webhook_secret="s")
    server("").add_integration(company_id=1, inbox_id=2, webhook_secret="clear")
    assert "2 tokens and secrets encrypted" in first.cli("db", "upgrade").stdout
    assert all(
        "SECRET_KEY_PREVIOUS" in (problem or "") for problem, _ in problems(server("second"))
    )
    changed = server("second", "zeroth, first")
    assert problems(changed) == [(None, True), (None, True)]
    assert "4 tokens and secrets encrypted" in changed.cli("db", "upgrade").stdout
    assert "nothing to do" in changed.cli("db", "upgrade").stdout
    assert problems(server("second")) == [(None, True), (None, True)]
