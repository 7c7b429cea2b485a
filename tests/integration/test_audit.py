"""Every administrative act leaves a line in the audit log: the routes are walked, so that a new one
cannot be forgotten.
"""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.app import create_app
from server.lab.chatwoot_sim import ChatwootSim
from server.settings import Settings
from tests.integration.integration_admin import registered
from tests.integration.test_admin_pages import submit
from tests.kit.company import Company
from tests.unit.test_docs import _addresses

# what agents do in their daily work, or to themselves; signing in and out; what comes from Chatwoot
OF_AGENTS = {
    *(
        "POST /api/webhooks/chatwoot",
        "POST /api/sessions",
        "DELETE /api/sessions",
        "PATCH /api/me",
        "POST /api/chatwoot/sync",
    ),
    *(
        "DELETE /api/me/sessions/{}",
        "POST /api/me/sessions/end-others",
        "POST /account/sessions/{}/end",
    ),
    *(
        "POST /account/sessions/end-others",
        "POST /api/me/second-factor",
        "PUT /api/me/second-factor",
    ),
    *(
        "DELETE /api/me/second-factor",
        "POST /account/second-factor",
        "POST /account/second-factor/confirm",
    ),
    "POST /account/second-factor/off",
    *(
        "PATCH /api/conversations/{}",
        "POST /api/conversations/{}/read",
        "POST /api/conversations/{}/reply",
    ),
    *(
        "POST /api/conversations/{}/messages/{}/retry",
        "POST /api/conversations/{}/messages/{}/discard",
        "POST /inbox/c/{}/reply",
        "POST /inbox/settings",
        "POST /sign-in",
        "POST /sign-out",
    ),
}
# looks at Chatwoot and changes nothing
ASKS = {"POST /api/integrations/{}/check", "POST /api/me/own-tokens/{}/check"}
# each with a test of its own, as it needs a server, or a person, of its own
ELSEWHERE = {
    "POST /setup": "test_set_up.py::test_the_address_makes_the_first_administrator_once",
    "POST /invitation": "test_people.py::test_roles_and_access_are_given_and_taken",
    "DELETE /api/invitations/{}": "access/test_invitations.py",
    "POST /admin/people/invitations/{}/end": "access/test_invitations.py",
    "DELETE /api/people/{}/second-factor": "access/test_second_factor.py",
    "POST /account/own-tokens/{}/{}": "test_own_tokens.py",
    "PUT /api/me/own-tokens/{}": "test_own_tokens.py",
    "DELETE /api/me/own-tokens/{}": "test_own_tokens.py",
    "DELETE /api/people/{}/own-tokens": "test_own_tokens.py",
    "PUT /api/policy": "access/test_second_factor.py",
    "POST /admin/people/policy": "access/test_second_factor.py",
    "PUT /api/me/password": "test_people.py::test_a_password_is_changed_and_all_else_ends",
    "POST /account/password": "test_people.py::test_a_password_is_changed_and_all_else_ends",
    "POST /api/conversations/{}/erase-contact": "test_erasure.py",
    "POST /admin/ledger/messages/{}/erase": "test_erasure.py",
}

Call = Callable[["Ground"], Awaitable[httpx.Response]]


class Ground:
    """An administrator's client, and the numbers of things that acts are done to."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        shop: Company,
        sim: ChatwootSim,
        person: int,
        delivery: int,
        canned: int,
    ) -> None:
        self.http = http
        self.shop = shop
        self.sim = sim
        self.one = f"/api/integrations/{shop.integration_id}"
        self.person = person
        self.delivery = delivery
        self.canned = canned
        self.page = f"/admin/integrations/{shop.integration_id}"

    def another_inbox(self) -> dict[str, Any]:
        inbox = self.sim.add_inbox("Another", account=self.sim.account)
        token = self.sim.admin.access_token
        return {
            "accountId": self.sim.account.id,
            "inboxId": inbox.id,
            "baseUrl": self.sim.base_url,
            "accessToken": token,
        }

    def form_of_another(self) -> dict[str, str]:
        given = self.another_inbox()
        names = {
            "account_id": "accountId",
            "inbox_id": "inboxId",
            "base_url": "baseUrl",
            "access_token": "accessToken",
        }
        return {name: str(given[key]) for name, key in names.items()}

    async def delete_another(self) -> httpx.Response:
        added = await self.http.post("/api/integrations", json=self.another_inbox())
        return await self.http.delete(f"/api/integrations/{added.json()['id']}")

    async def delete_another_by_form(self) -> httpx.Response:
        added = await self.http.post("/api/integrations", json=self.another_inbox())
        return await submit(
            self.http, f"/admin/integrations/{added.json()['id']}/delete", confirm="yes"
        )


CALLS: dict[str, list[tuple[str, Call]]] = {
    "POST /api/integrations": [
        ("integration.add", lambda g: g.http.post("/api/integrations", json=g.another_inbox()))
    ],
    "PATCH /api/integrations/{}": [
        ("integration.change", lambda g: g.http.patch(g.one, json={"isActive": True}))
    ],
    "DELETE /api/integrations/{}": [("integration.delete", lambda g: g.delete_another())],
    "POST /api/integrations/{}/register": [
        ("integration.register", lambda g: g.http.post(f"{g.one}/register"))
    ],
    "POST /api/integrations/{}/rotate": [
        ("integration.rotate-secret", lambda g: g.http.post(f"{g.one}/rotate"))
    ],
    "POST /api/integrations/{}/sync": [("sync.start", lambda g: g.http.post(f"{g.one}/sync"))],
    "DELETE /api/integrations/{}/sync": [("sync.stop", lambda g: g.http.delete(f"{g.one}/sync"))],
    "PATCH /api/people/{}": [
        ("agent.change", lambda g: g.http.patch(f"/api/people/{g.person}", json={"role": "agent"}))
    ],
    "DELETE /api/people/{}/sessions": [
        ("agent.sign-out", lambda g: g.http.delete(f"/api/people/{g.person}/sessions"))
    ],
    "POST /api/invitations": [
        ("agent.invite", lambda g: g.http.post("/api/invitations", json=_invitee(g, "a")))
    ],
    "POST /api/deliveries/{}/retry": [
        ("delivery.retry", lambda g: g.http.post(f"/api/deliveries/{g.delivery}/retry"))
    ],
    "POST /api/canned-replies": [
        ("canned-reply.add", lambda g: g.http.post("/api/canned-replies", json=_canned("new")))
    ],
    "PUT /api/canned-replies/{}": [
        (
            "canned-reply.change",
            lambda g: g.http.put(f"/api/canned-replies/{g.canned}", json=_canned("other")),
        )
    ],
    "DELETE /api/canned-replies/{}": [
        ("canned-reply.delete", lambda g: g.http.delete(f"/api/canned-replies/{g.canned}"))
    ],
    "DELETE /api/me/sessions": [("agent.sign-out", lambda g: g.http.delete("/api/me/sessions"))],
    "POST /account/sign-out": [("agent.sign-out", lambda g: submit(g.http, "/account/sign-out"))],
    "POST /admin/integrations": [
        (
            "integration.register",
            lambda g: submit(g.http, "/admin/integrations", **g.form_of_another()),
        )
    ],
    "POST /admin/integrations/{}/{}": [
        ("integration.change", lambda g: submit(g.http, f"{g.page}/disable")),
        ("integration.change", lambda g: submit(g.http, f"{g.page}/enable")),
        ("integration.change", lambda g: submit(g.http, f"{g.page}/webhooks-off")),
        ("integration.change", lambda g: submit(g.http, f"{g.page}/webhooks-on")),
        (
            "integration.change",
            lambda g: submit(g.http, f"{g.page}/token", value=g.sim.admin.access_token),
        ),
        ("integration.change", lambda g: submit(g.http, f"{g.page}/secret", value="renewed")),
        ("integration.change", lambda g: submit(g.http, f"{g.page}/mode", value="live")),
        ("integration.change", lambda g: submit(g.http, f"{g.page}/address", value=g.sim.base_url)),
        (
            "integration.change",
            lambda g: submit(g.http, f"{g.page}/inbox", value=str(g.sim.inbox.id)),
        ),
        ("integration.delete", lambda g: g.delete_another_by_form()),
        ("integration.register", lambda g: submit(g.http, f"{g.page}/register")),
        ("sync.start", lambda g: submit(g.http, f"{g.page}/sync")),
        ("sync.stop", lambda g: submit(g.http, f"{g.page}/sync-stop")),
    ],
    "POST /admin/people": [
        ("agent.invite", lambda g: submit(g.http, "/admin/people", **_invitee(g, "b")))
    ],
    "POST /admin/people/{}/{}": [
        ("agent.change", lambda g: submit(g.http, f"/admin/people/{g.person}/admin")),
        ("agent.change", lambda g: submit(g.http, f"/admin/people/{g.person}/disable")),
        ("agent.sign-out", lambda g: submit(g.http, f"/admin/people/{g.person}/sign-out")),
    ],
    "POST /admin/ledger/deliveries/{}/retry": [
        (
            "delivery.retry",
            lambda g: submit(g.http, f"/admin/ledger/deliveries/{g.delivery}/retry"),
        ),
    ],
}


def _invitee(ground: Ground, name: str) -> dict[str, str]:
    return {"email": f"{name}{ground.shop.id}@example.org", "name": "Rahim", "role": "agent"}


def _canned(shortcut: str) -> dict[str, str]:
    return {"shortcut": shortcut, "content": "We are open from 9 to 5."}


def test_every_write_is_an_act_or_said_to_be_none(tmp_path: Path) -> None:
    """A route that is added is put into one of the lists above."""
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'omni.db'}",
        spool_path=str(tmp_path / "spool.db"),
        jwt_secret="x" * 32,
    )
    routes = {
        f"{method} {re.sub(r'{[^}]*}', '{}', path)}"
        for method, path in _addresses(create_app(settings).routes)
    }
    writes = {route for route in routes if not route.startswith("GET ")}
    assert writes == OF_AGENTS | ASKS | set(ELSEWHERE) | set(CALLS)


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
async def test_every_act_leaves_its_line(shop: Company, sim: ChatwootSim) -> None:
    """With who did it, from where, and to what; one line for each."""
    await registered(shop)
    for route, acts in CALLS.items():
        # an administrator for each: some of the acts end everything that was issued to them
        token = shop.token(f"chief {route}", role="admin", name="Chief")
        for act, call in acts:
            async with shop.omni.client(token, timeout=30.0) as http:
                ground = await _ground(http, shop, sim)
                before = (await http.get("/api/audit", params={"limit": 1})).json()[0]["id"]
                answer = await call(ground)
                assert answer.status_code < 400, (route, answer.text)
            rows = await shop.rows(
                "SELECT act, actor, target, address, client FROM omni_audit_log WHERE company_id "
                "= :company AND id > :before ORDER BY id",
                company=shop.id,
                before=before,
            )
            # that an inbox was proved is nobody's act
            rows = [row for row in rows if row[1] != "server"]
            assert rows[-1][0] == act, (route, [tuple(row) for row in rows])
            assert rows[-1][1] == "Chief"
            assert rows[-1][2], route
            # where from: as sign-ins say it
            assert (rows[-1][3], (rows[-1][4] or "")[:6]) == ("127.0.0.1", "python"), route


async def _ground(http: httpx.AsyncClient, shop: Company, sim: ChatwootSim) -> Ground:
    """Something to act on, made anew where an act has used it up."""
    async with shop.client("somebody") as other:
        # whoever comes with a token is listed; later acts withdraw the access
        await other.get("/api/me")
    [row] = await shop.rows(
        "SELECT id FROM omni_agents WHERE company_id = :company AND subject = 'somebody'",
        company=shop.id,
    )
    delivery = await shop.post(
        shop.message(1) | {"event": "not_used_here"}, secret=sim.hooks[0].secret
    )
    await shop.outcome(delivery)
    entry = (await http.get("/api/deliveries", params={"state": "ignored"})).json()[0]
    known = (await http.get("/api/canned-replies")).json()
    canned = (
        known[0]["id"]
        if known
        else (await http.post("/api/canned-replies", json=_canned("first"))).json()["id"]
    )
    return Ground(http, shop, sim, row[0], entry["id"], canned)
