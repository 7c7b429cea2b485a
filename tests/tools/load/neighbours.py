"""An administrator of another company, who also runs the Chatwoot and the file store that this
company's integrations name.
"""

import asyncio
import itertools

import httpx

from tests.faults.webhook_flow import message_payload
from tests.kit.webhook import delivery_of
from tests.tools.load.attackers import Haul, Target, repeated


async def be_neighbour(
    target: Target, token: str, chatwoot_url: str, haul: Haul, stopped: asyncio.Event
) -> None:
    """Claims the victim's numbers with a Chatwoot of its own, signs with its own secrets, walks
    through foreign numbers.
    """
    secret = "neighbours-own-secret"  # gitleaks:allow
    ids = itertools.cycle(range(1, 12))

    async def claim_and_sign(turn: int) -> None:
        async with target.client(turn, 20, token) as http:
            claim = {
                "accountId": target.account_id,
                "inboxId": target.inbox_id + turn % 3,
                "baseUrl": chatwoot_url,
            }
            claim |= {"accessToken": "honest" if turn % 2 else "rude", "webhookSecret": secret}
            claim |= {"unsignedWebhooks": ("refused", "keyed")[turn % 2]}
            haul.answer("claim", await http.post("/api/integrations", json=claim))
            for text in ("of the neighbour", "of the neighbour again"):
                payload = message_payload(
                    text,
                    1,
                    50_000 + turn,
                    account={"id": target.account_id},
                    inbox={"id": claim["inboxId"]},
                )
                payload["attachments"] = [
                    {"id": 1, "file_type": "image", "data_url": f"{chatwoot_url}/file/{turn}"}
                ]
                delivery = delivery_of(payload, secret=secret)
                haul.answer("own webhook", await delivery.post(http))

    async def call_own_chatwoot(turn: int) -> None:
        async with target.client(turn, 21, token) as http:
            own = (await http.get("/api/integrations")).json()
            for one in own[:2]:
                haul.answer(
                    "check",
                    await http.post(
                        f"/api/integrations/{one['id']}/{('check', 'register', 'rotate')[turn % 3]}"
                    ),
                )

    async def walk(turn: int) -> None:
        async with target.client(turn, 22, token) as http:
            await _try_foreign_ids(http, haul, next(ids), target)

    async def fetch_files(turn: int) -> None:
        async with target.client(turn, 23, token) as http:
            for conversation in (await http.get("/api/conversations")).json()[:1]:
                thread = (
                    await http.get(f"/api/conversations/{conversation['id']}/messages")
                ).json()
                for message in thread["messages"][-2:]:
                    haul.answer("file", await http.get(f"/api/attachments/{message['id']}/0"))

    await repeated(stopped, haul, claim_and_sign, call_own_chatwoot, walk, fetch_files)


async def _try_foreign_ids(
    http: httpx.AsyncClient, haul: Haul, number: int, target: Target
) -> None:
    """Numbers of the victim, which are small, in every address. Company 2's own numbers are among
    them, so a 2xx alone says nothing.
    """
    for path in (
        f"/api/conversations/{number}",
        f"/api/conversations/{number}/messages",
        f"/api/attachments/{number}/0",
        f"/api/integrations/{number}",
        "/api/events?cursor=0.0",
        "/api/deliveries",
        f"/api/conversations?q={target.mark[:6]}",
        f"/admin/ledger?q={number}",
        f"/admin/ledger/messages/{number}",
        f"/admin/ledger/deliveries/{number}",
        f"/inbox/c/{number}",
        "/api/audit",
        "/api/people",
    ):
        haul.answer(path, await http.get(path))
    haul.answer("erase", await http.post(f"/api/conversations/{number}/erase-contact"))
    invitation = {"email": target.email, "name": "Ghost", "role": "admin"}
    haul.answer("invite", await http.post("/api/invitations", json=invitation))
