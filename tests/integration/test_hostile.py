"""A hostile run: an administrator of another company puts the victim's numbers into every path,
query, body, frame and cursor.
"""

import asyncio
import json
import re
from typing import Any

import httpx
import pytest
from starlette.routing import BaseRoute, Route

from server.app import create_app
from server.lab.chatwoot_sim import ChatwootSim
from server.settings import Settings
from tests.integration.integration_admin import admin, registered
from tests.kit.company import Company
from tests.kit.eventually import eventually

SECRET_WORD = "quincunx"  # what only the victim's customer wrote
# of nobody's company: the webhook, signing in, probes, files, pages before the sign-in
OPEN = re.compile(
    r"/api/webhooks|/api/sessions|/livez|/readyz|/metrics|/static|/sign-|/invitation|/asyncapi|/openapi|/ws|^/$"
)
# of the attacker's own company, whatever is in the address: these are refused for what they hold,
# or do harm to the attacker alone
OWN = re.compile(r"^/account|^/api/me/(sessions|password)")


def addresses(routes: list[BaseRoute]) -> list[tuple[str, str]]:
    found = [
        (method, route.path)
        for route in routes
        if isinstance(route, Route)
        for method in sorted(route.methods or ())
    ]
    return [
        (method, path)
        for method, path in found
        if method != "HEAD" and not OPEN.search(path) and not OWN.search(path)
    ]


@pytest.fixture
async def loot(shop: Company, sim: ChatwootSim) -> dict[str, int]:
    """What the victim has: the numbers by the word that stands before them in an address."""
    await registered(shop)
    sim.customer_says("Quirine", f"my word is {SECRET_WORD}")
    await sim.webhooks.flushed()

    async def stored() -> dict[str, Any] | None:
        found = await shop.conversations()
        return found[0] if found and found[0]["preview"] else None

    conversation = await eventually(stored)
    message = (await shop.thread(conversation["id"]))[0]["id"]
    async with admin(shop) as http:
        canned = (
            await http.post("/api/canned-replies", json={"shortcut": "q", "content": SECRET_WORD})
        ).json()["id"]
        people = (await http.get("/api/me")).json()["id"]
        [delivery, *_] = (await http.get("/api/deliveries")).json()
    return {
        "conversations": conversation["id"],
        "c": conversation["id"],
        "messages": message,
        "attachments": message,
        "integrations": shop.integration_id,
        "canned-replies": canned,
        "people": people,
        "deliveries": delivery["id"],
    }


def filled(path: str, loot: dict[str, int]) -> str:
    """The address with the victim's numbers in the place of its parameters."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "{act}":
            part = "disable"
        elif part.startswith("{"):
            part = str(loot.get(parts[-1], loot["conversations"]))
        parts.append(part)
    return "/".join(parts)


async def belongings(shop: Company) -> str:
    """Everything of the victim that a change would show in; times of access excepted."""
    tables = {
        "social_conversations": "company_id = :id",
        "social_messages": (
            "conversation_id IN (SELECT id FROM social_conversations WHERE company_id = :id)"
        ),
        "omni_canned_replies": "company_id = :id",
        "omni_conversation_reads": (
            "conversation_id IN (SELECT id FROM social_conversations WHERE company_id = :id)"
        ),
    }
    found: dict[str, Any] = {
        name: await shop.rows(f"SELECT * FROM {name} WHERE {where} ORDER BY 1", id=shop.id)
        for name, where in tables.items()
    }
    found["agents"] = await shop.rows(
        "SELECT id, role, is_active, valid_after, password_hash FROM omni_agents WHERE "
        "company_id = :id ORDER BY id",
        id=shop.id,
    )
    found["integrations"] = await shop.rows(
        "SELECT id, is_active, is_webhook_active, access_token, omni_webhook_secret, "
        "webhook_mode FROM integrations WHERE company_id = :id",
        id=shop.id,
    )
    return json.dumps(found, default=str)


async def test_no_number_of_another_company_opens_anything(
    shop: Company, company: Company, sim: ChatwootSim, loot: dict[str, int], tmp_path: Any
) -> None:
    """Every address of the application, each method: nothing read, nothing changed, and the
    attempts are in the audit log.
    """
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'x.db'}",
        spool_path=str(tmp_path / "s.db"),
        jwt_secret="x" * 32,
    )
    body = {
        "content": "x",
        "status": "Closed",
        "messageId": loot["messages"],
        "lastSeenMessageId": loot["messages"],
        "conversationId": loot["conversations"],
        "integrationId": loot["integrations"],
        "agentId": loot["people"],
        "companyId": shop.id,
        "isActive": False,
        "role": "agent",
        "shortcut": "q",
        "webhookSecret": "mine",
    }
    query = f"integrationId={loot['integrations']}&companyId={shop.id}&before={loot['messages']}&cursor=0.1&q={SECRET_WORD}"  # noqa: E501
    before, reached = await belongings(shop), 0
    async with admin(company) as attacker:
        for method, path in addresses(create_app(settings).routes):
            for target in {filled(path, loot), f"{filled(path, loot)}?{query}"}:
                if path.startswith(("/inbox", "/admin", "/account")):
                    origin = {"Origin": company.omni.base_url}
                    answer = await attacker.request(
                        method, target, data={k: str(v) for k, v in body.items()}, headers=origin
                    )
                else:
                    answer = await attacker.request(method, target, json=body)
                told = answer.text.replace(f'value="{SECRET_WORD}"', "").replace(
                    f"q={SECRET_WORD}", ""
                )
                assert SECRET_WORD not in told, f"{method} {target}"
                assert answer.status_code < 500 or answer.status_code in (502, 503), (
                    f"{method} {target}: {answer.text}"
                )
                if "{" in path:
                    assert answer.status_code not in (200, 201, 204), (
                        f"{method} {target}: {answer.status_code}"
                    )
                    reached += 1
    assert reached > 30
    assert await belongings(shop) == before
    lines = await company.rows(
        "SELECT target FROM omni_audit_log WHERE company_id = :id AND act = 'foreign.refused'",
        id=company.id,
    )
    kinds = {target.split()[1] for (target,) in lines}
    assert kinds >= {
        "conversations",
        "messages",
        "attachments",
        "integrations",
        "canned-replies",
        "people",
        "deliveries",
    }
    assert f"GET conversations {loot['conversations']}" in {target for (target,) in lines}
    assert not await shop.rows(
        "SELECT 1 FROM omni_audit_log WHERE company_id = :id AND act = 'foreign.refused'",
        id=shop.id,
    )


async def test_a_foreign_cursor_and_foreign_frames_bring_nothing(
    shop: Company, company: Company, sim: ChatwootSim, loot: dict[str, int]
) -> None:
    """The victim's cursor is answered with reset; typing and viewing in its conversation reach
    nobody there.
    """
    cursor = (await shop.http.get("/api/conversations")).headers["Inbox-Cursor"]
    answer = (await company.http.get("/api/events", params={"cursor": cursor})).json()
    assert (answer["events"], "reset" in answer) == ([], True)
    async with company.socket(cursor=cursor) as attacker, shop.socket() as victim:
        welcome = await attacker.wait_for_frame("welcome")
        assert (welcome["companyId"], welcome["mode"]) == (company.id, "reset")
        await victim.wait_for_frame("welcome")
        for kind in ("typing", "viewing"):
            await attacker.send(
                kind,
                conversationId=loot["conversations"],
                on=True,
                companyId=shop.id,
                agentId=loot["people"],
            )
        sim.customer_says("Quirine", f"{SECRET_WORD} again")
        await victim.wait_for(lambda event: event.kind == "message.created")
        assert SECRET_WORD not in json.dumps(attacker.frames)
        told = [
            frame for frame in victim.frames if frame["type"] in ("typing", "viewing", "presence")
        ]
        assert str(company.id) not in json.dumps([frame.get("companyId") for frame in told])

    async def noted() -> list[Any]:
        lines = await company.rows(
            "SELECT target FROM omni_audit_log WHERE company_id = :id AND act = 'foreign.refused'",
            id=company.id,
        )
        return [target for (target,) in lines]

    await eventually(noted)
    # one line, however many frames
    assert await noted() == [f"socket conversations {loot['conversations']}"]


async def test_an_agent_s_number_at_another_company_s_address_is_no_sign_in(
    shop: Company, company: Company
) -> None:
    """The same `sub` in two companies is two people."""
    one, other = [(await each.http.get("/api/me")).json() for each in (shop, company)]
    assert one["id"] != other["id"]
    assert (one["companyId"], other["companyId"]) == (shop.id, company.id)


# a second process is needed, and SQLite serves one
@pytest.mark.parametrize("server", ["production"], indirect=True)
async def test_asking_too_often_is_answered_429(company: Company) -> None:
    """One agent alone is held back, with the seconds to wait; colleagues and polls of what has not
    changed go on; pages count.
    """
    server = company.omni.another(
        env={"API_REQUESTS_PER_MINUTE": "20", "WEBHOOK_STRANGERS_PER_MINUTE": "5"}
    )
    await asyncio.to_thread(server.start)
    try:
        async with (
            server.client(company.token(1)) as http,
            server.client(company.token(2)) as colleague,
        ):
            # more than the minute's and what comes back meanwhile
            answers = [await http.get("/api/me") for _ in range(60)]
            refused = [answer for answer in answers if answer.status_code == 429]
            assert {answer.status_code for answer in answers[:20]} == {200}
            assert refused
            assert (refused[0].json()["code"], int(refused[0].headers["Retry-After"]) >= 1) == (
                "too_many_requests",
                True,
            )
            tag = (await colleague.get("/api/conversations")).headers["ETag"]
            polls = [
                await colleague.get("/api/conversations", headers={"If-None-Match": tag})
                for _ in range(40)
            ]
            assert {poll.status_code for poll in polls} == {304}
        async with server.client(company.token(3)) as reader:
            pages = [await reader.get("/inbox")]  # a page counts as a call
            while pages[-1].status_code == 200 and len(pages) < 300:
                pages.append(await reader.get("/inbox"))
            assert len(pages) > 20
            assert (pages[-1].status_code, pages[-1].headers["content-type"].partition(";")[0]) == (
                429,
                "text/html",
            )
            assert int(pages[-1].headers["Retry-After"]) >= 1
        async with server.client() as stranger:
            sent = [
                await stranger.post(
                    "/api/webhooks/chatwoot", json={"event": "x", "account": {"id": 9_999_999}}
                )
                for _ in range(8)
            ]
            assert [answer.status_code for answer in sent[:5]] == [200] * 5
            assert 429 in {answer.status_code for answer in sent[5:]}
    finally:
        server.kill9()


async def test_every_answer_carries_the_usual_headers(company: Company) -> None:
    """Shown in nobody's frame, nothing in it runs, no type is guessed: JSON, problems, pages,
    probes, the webhook's answer.
    """
    async with httpx.AsyncClient(base_url=company.omni.base_url, trust_env=False) as http:
        answers = [
            await http.get(path)
            for path in (
                "/api/me",
                "/livez",
                "/readyz",
                "/sign-in",
                "/nowhere",
                "/admin/integrations",
            )
        ]
        answers.append(await http.post("/api/webhooks/chatwoot", content=b"{}"))
    for answer in answers:
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"], answer.url
        assert answer.headers.get_list("x-frame-options") == ["DENY"], answer.url
        assert len(answer.headers.get_list("content-security-policy")) == 1, answer.url
        assert "default-src 'none'" in answer.headers["content-security-policy"], answer.url
