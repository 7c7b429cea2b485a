"""What somebody takes away in Chatwoot is noticed by itself, said everywhere in its own words, and
put right by one act or by itself.
"""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from server.lab.chatwoot_sim import ChatwootSim
from tests.integration.integration_admin import admin, registered
from tests.integration.test_admin_pages import submit, text_of
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import running


@pytest.fixture
async def watched(
    request: pytest.FixtureRequest, tmp_path: Path, sim: ChatwootSim
) -> AsyncIterator[Company]:
    """A company whose server looks every second; `param`: further settings."""
    env = {"INTEGRATION_WATCH_SECONDS": "1", **getattr(request, "param", {})}
    with running(tmp_path, env=env) as server:
        async with Company(server, chatwoot=sim) as company:
            await registered(company)
            yield company


async def _problem(company: Company) -> str | None:
    async with admin(company) as http:
        [own] = [
            one
            for one in (await http.get("/api/integrations")).json()
            if one["id"] == company.integration_id
        ]
        found: str | None = own["problem"]
        return found


async def _is_said(company: Company, *words: str) -> bool:
    """In the list, by the page, in /readyz and in the company's status."""
    problem = await _problem(company) or ""
    assert all(word in problem for word in words), problem
    async with admin(company) as http:
        page = text_of(await http.get("/admin/integrations"))
        ready = (await http.get("/readyz")).text
        status = (await http.get("/api/status")).text
    for word in words:
        assert word in page
        assert word in ready
        assert word in status
    return True


async def _is_well(company: Company) -> bool:
    assert await _problem(company) is None
    return True


def _delete_hook(sim: ChatwootSim) -> None:
    sim.hooks.clear()


def _unsubscribe(sim: ChatwootSim) -> None:
    sim.hooks[0].subscriptions = ("conversation_updated",)


def _renew_secret(sim: ChatwootSim) -> None:
    sim.hooks[0].secret = "another-one"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_delete_hook, "has no webhook"),
        (_unsubscribe, "does not send message_created"),
        (_renew_secret, "not the one Chatwoot signs with"),
    ],
)
async def test_a_webhook_that_somebody_changed_is_noticed_and_put_right_by_one_button(
    watched: Company, sim: ChatwootSim, change: Callable[[ChatwootSim], None], words: str
) -> None:
    """Deleted, cut down, or with another secret: messages would be lost in silence."""
    assert await eventually(lambda: _is_well(watched))
    change(sim)
    assert await eventually(lambda: _is_said(watched, words), 30)
    async with admin(watched) as http:
        assert (
            await submit(http, f"/admin/integrations/{watched.integration_id}/register")
        ).status_code == 200
    assert await eventually(lambda: _is_well(watched), 30)
    sim.customer_says("Rahima", "Are you there?")
    assert await eventually(watched.conversations, 30)


@pytest.mark.parametrize("watched", [{"WEBHOOK_REPAIR": "true"}], indirect=True)
async def test_a_webhook_is_put_right_by_itself_where_that_is_wished(
    watched: Company, sim: ChatwootSim
) -> None:
    """Nobody needs to notice."""
    sim.hooks.clear()

    def is_back() -> bool:
        return len(sim.hooks) == 1

    assert await eventually(is_back, 30)
    assert await eventually(lambda: _is_well(watched), 30)

    async def is_told() -> bool:
        acts = await watched.rows(
            "SELECT actor FROM omni_audit_log WHERE act = 'integration.register' ORDER BY id "
            "DESC LIMIT 1"
        )
        return str(acts[0][0]) == "server"

    assert await eventually(is_told, 30)


async def test_what_chatwoot_says_no_to_is_told_in_its_words(
    watched: Company, sim: ChatwootSim
) -> None:
    """A suspended account is not the token; an ended token is; an inbox that is gone is named. Each
    goes when it is over.
    """
    sim.account.status = "suspended"
    assert await eventually(lambda: _is_said(watched, "suspended"), 30)
    async with admin(watched) as http, watched.client() as agent:
        assert "data-trouble" in (await http.get("/inbox")).text
        assert "data-trouble" not in (await agent.get("/inbox")).text
    assert "access token:" not in (await _problem(watched) or "")
    sim.account.status = "active"
    assert await eventually(lambda: _is_well(watched), 30)
    sim.switches.set(unauthorized=True)
    assert await eventually(
        lambda: _is_said(watched, "does not accept the access token", "Invalid Access Token"), 30
    )
    sim.switches.set(unauthorized=False)
    assert await eventually(lambda: _is_well(watched), 30)
    gone = sim.inboxes.pop(sim.inbox.id)
    assert await eventually(lambda: _is_said(watched, f"inbox {gone.id} is gone in Chatwoot"), 30)
    sim.inboxes[gone.id] = gone
    assert await eventually(lambda: _is_well(watched), 30)


async def test_a_chatwoot_that_is_away_changes_nothing(watched: Company, sim: ChatwootSim) -> None:
    """That is reconcile's to tell; what was known stays."""
    sim.hooks.clear()
    assert await eventually(lambda: _is_said(watched, "has no webhook"), 30)
    before = len(await watched.rows("SELECT id FROM omni_audit_log"))
    sim.switches.set(fail_next=6, fail_status=503)

    def is_over() -> bool:
        return sim.switches.fail_next == 0

    assert await eventually(is_over, 30)
    assert "has no webhook" in (await _problem(watched) or "")
    assert len(await watched.rows("SELECT id FROM omni_audit_log")) == before


async def test_a_new_name_of_an_inbox_is_that_of_all_its_conversations(
    watched: Company, sim: ChatwootSim
) -> None:
    """Nothing tells it where there is no socket: the regular check asks. One event tells clients;
    what is closed and old has the name as well.
    """
    for name in ("Lea", "Bo", "Asha"):
        conversation = sim.customer_says(name, "Hello").conversation
    sim.set_status(conversation, "resolved")
    await sim.webhooks.flushed()

    async def names() -> set[str | None]:
        async with watched.client() as agent:
            found = (await agent.get("/api/conversations")).json()
            return {one["inboxName"] for one in found} if len(found) == 3 else set()

    before = sim.inbox.name

    async def all_have(name: str) -> bool:
        return await names() == {name}

    assert await eventually(lambda: all_have(before), 30)
    [[known]] = await watched.rows("SELECT head FROM omni_inbox_streams")
    sim.rename_inbox(sim.inbox, "ঢাকা & Co")
    assert await eventually(lambda: all_have("ঢাকা & Co"), 30)

    async def is_kept() -> bool:
        return await watched.rows("SELECT omni_inbox_name FROM integrations") == [("ঢাকা & Co",)]

    assert await eventually(is_kept, 30)
    assert await watched.rows("SELECT head FROM omni_inbox_streams") == [(known + 1,)]
    told = await watched.rows("SELECT body FROM omni_inbox_events ORDER BY seq DESC LIMIT 1")
    assert "ঢাকা & Co" in told[0][0]


async def test_where_mail_to_an_inbox_goes_is_known(watched: Company, sim: ChatwootSim) -> None:
    """The page has it, so that no answer has ourselves in copy; a change is noticed."""
    for addresses in (("help@shop.example", None), ("hi@shop.example", "in+1@mail.example")):
        sim.inbox.email, sim.inbox.forward_to_email = addresses
        known = json.dumps(sorted(one for one in addresses if one))

        async def is_known(known: str = known) -> bool:
            async with admin(watched) as http:
                page = (await http.get("/inbox")).text
            assert f'"own":{known}'.replace(" ", "") in page.replace(" ", "")
            return True

        await eventually(is_known)
