"""What people say and what they sign in with stands in the database alone: not in the log, the
metrics, nor an answer to somebody else.
"""

import asyncio
from pathlib import Path

import httpx

from server.lab.chatwoot_sim import ChatwootSim
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.socket_client import AgentSocket
from tests.kit.webhook import WEBHOOK_PATH

_WORDS = "kept-between-two-people"  # stands in everything that a person writes
_SECRET = "webhook-secret-of-this-test"
_WRONG = "wrong-password-of-this-test"


async def test_logs_metrics_and_errors_tell_no_words_and_no_secrets(
    sim: ChatwootSim, tmp_path: Path
) -> None:
    """At the level DEBUG, through everything that goes well and much that does not."""
    server = Omni(
        tmp_path, database_url=f"sqlite:///{tmp_path / 'omni.db'}", env={"LOG_LEVEL": "DEBUG"}
    )
    await asyncio.to_thread(server.prepare)
    try:
        await asyncio.to_thread(server.start)
        async with (
            Company(server, chatwoot=sim, webhook_secret=_SECRET, unsigned="refused") as company,
            company.socket() as agent,
        ):
            secrets, answers = await _everything(company, sim, agent)
            text = server.log + await _public(server) + "".join(answers)
    finally:
        await asyncio.to_thread(server.kill9)
    told = {name: value for name, value in secrets.items() if value in text}
    assert not told, [
        line for line in text.splitlines() if any(value in line for value in told.values())
    ][:5]
    assert "Traceback" not in server.log
    assert "fan-out" in server.log  # else it was not at DEBUG, and says nothing of it


async def _everything(
    company: Company, sim: ChatwootSim, agent: AgentSocket
) -> tuple[dict[str, str], list[str]]:
    """What must be found nowhere, and the answers that were errors."""
    errors: list[str] = []
    delivery = await company.post(company.message(1, f"{_WORDS} hello"))
    sim.add_webhook(company.omni.base_url + WEBHOOK_PATH, secret=_SECRET)
    said = sim.customer_says("Rahima", f"{_WORDS} {_WORDS}")
    conversation = (await company.conversation_with(1, display_id=said.conversation.display_id))[
        "id"
    ]
    await agent.wait_until(lambda: len(agent.events) >= 1)
    secrets = {
        "words": _WORDS,
        "webhook secret": _SECRET,
        "agent's token": company.token(),
        "password": _WRONG,
    }
    secrets |= {
        "Chatwoot's token": sim.admin.access_token,
        "signature": delivery.headers["X-Chatwoot-Signature"].removeprefix("sha256="),
    }
    errors += await _webhooks_that_fail(company)
    reply = f"/api/conversations/{conversation}/reply"
    sim.switches.set(fail_next=1, fail_status=422)
    for content in (f"{_WORDS} reply", f"{_WORDS} again"):
        await company.http.post(reply, json={"content": content})
    await eventually(
        lambda: any(m.content == f"{_WORDS} again" for m in sim.messages.values()), limit=30
    )
    async with company.client(agent_id=2) as other:
        for answer in (
            await other.post(reply, content=f'{{"content": "{_WORDS}'),
            await other.post(reply, json={"content": _WORDS, "clientId": {"no": _WORDS}}),
            await other.get("/api/conversations", params={"search": _WORDS}),
            await other.get(f"/api/events?cursor={_WORDS}"),
            await other.post(
                "/api/sessions", json={"email": "agent@example.com", "password": _WRONG}
            ),
        ):
            errors += [answer.text] if answer.status_code >= 400 else []
    async with httpx.AsyncClient(base_url=company.omni.base_url, trust_env=False) as stranger:
        for headers in (
            {},
            {"Authorization": f"Bearer {company.token()}x"},
            {"Cookie": f"omni_session={_WRONG}"},
        ):
            errors.append(
                (
                    await stranger.get(
                        f"/api/conversations/{conversation}/messages", headers=headers
                    )
                ).text
            )
    return secrets, errors


async def _webhooks_that_fail(company: Company) -> list[str]:
    """Broken, unknown, wrongly signed."""
    errors = []
    half, odd = (
        f'{{"event": "message_created", "content": "{_WORDS}',
        f'{{"event": "{_WORDS}", "account": {{"id": {company.account_id}}}}}',
    )
    for body in (half, odd):
        answer = await company.http.post("/api/webhooks/chatwoot", content=body)
        errors.append(answer.text)
    await company.post(company.message(2, f"{_WORDS} poison", sender={"id": _WORDS, "type": 7}))
    await company.post(company.message(3, _WORDS, message_type={"odd": _WORDS}))
    return errors


async def _public(server: Omni) -> str:
    """What is there for those who look after the server."""
    async with httpx.AsyncClient(base_url=server.base_url, trust_env=False) as http:
        return "".join(
            [
                (await http.get(path)).text
                for path in ("/metrics", "/readyz", "/livez", "/status", "/login")
            ]
        )
