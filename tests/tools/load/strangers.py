"""Attackers without credentials: webhooks, half requests, cookies, tokens, sign-ins, sockets."""

import asyncio
import json
import secrets
from collections.abc import Mapping

import httpx

from tests.faults.webhook_flow import message_payload
from tests.kit.webhook import WEBHOOK_PATH, delivery_of
from tests.tools.load.attackers import Haul, Target, repeated, send_bad_frames


def forged(target: Target) -> list[tuple[bytes, Mapping[str, str]]]:
    """Webhooks of the victim's account that nobody signed, or not so."""
    payload = message_payload(
        "forged by a stranger",
        1,
        77,
        account={"id": target.account_id},
        inbox={"id": target.inbox_id},
    )
    good = delivery_of(payload, secret="a guess")
    body, headers = good.body, dict(good.headers)
    return [
        (body, {}),
        (body, headers),
        (body[:-1] + b" }", headers),
        (body, headers | {"X-Chatwoot-Timestamp": "1"}),
        (body, headers | {"X-Chatwoot-Timestamp": "-" * 12}),
        (body, headers | {"X-Chatwoot-Signature": "sha256=" + "é" * 10}),
        (body, headers | {"X-Chatwoot-Signature": ""}),
        (body, headers | {"X-Chatwoot-Delivery": "A" * 70_000}),
        (body, headers | {"X-Chatwoot-Delivery": '"' * 8_000, "X-Chatwoot-Signature": '"' * 8_000}),
        (b"", {}),
        (b"[]", {}),
        (b"{" * 30_000, {}),
        (b'{"event":"x","account":5,"s":"\\ud800","a":[' + b"[]," * 10_000 + b"1]}", {}),
        (body, {"Content-Encoding": "gzip"}),
        (json.dumps(payload | {"account": {"id": True}}).encode(), {}),
        (
            json.dumps(
                {"event": "conversation_typing_on", "inbox": {"id": target.inbox_id}}
            ).encode(),
            headers,
        ),
        (
            b'{"event":"message_created","account":{"id":%d},"s":"%s"}'
            % (target.account_id, b"x" * 400_000),
            headers,
        ),
    ]


async def be_stranger(target: Target, haul: Haul, stopped: asyncio.Event) -> None:
    """No credentials at all: webhooks, half requests, cookies, tokens, sign-ins, sockets."""
    requests = forged(target)
    paths = (
        "/api/conversations",
        "/api/me",
        "/inbox",
        "/api/events?cursor=0.0",
        "/api/attachments/1/0",
        "/invitation?token=x",
    )
    halves: list[asyncio.StreamWriter] = []

    async def forge(turn: int) -> None:
        body, headers = requests[turn % len(requests)]
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        async with target.client(turn // len(requests), 2 + turn % 6) as http:
            haul.answer("webhook", await http.post(WEBHOOK_PATH, content=body, headers=encoded))
            haul.answer(
                "keyed",
                await http.post(WEBHOOK_PATH + "?key=" + "k" * 40, content=body, headers=encoded),
            )

    async def ask(turn: int) -> None:
        async with target.client(turn, 2 + turn % 6) as http:
            for headers in (
                {"Cookie": f"omni_session={secrets.token_urlsafe(32)}"},
                {"Authorization": "Bearer " + "a." * 2 + "b"},
            ):
                path = paths[turn % len(paths)]
                haul.answer(
                    path, await http.get(path, headers=headers), refused="token" not in path
                )

    async def guess_passwords(turn: int) -> None:
        async with target.client(turn, 2 + turn % 6) as http:
            guess = {"email": target.email, "password": f"guess {turn}"}
            haul.answer("sign-in", await http.post("/api/sessions", json=guess), refused=True)
            haul.answer(
                "code",
                await http.post("/api/sessions", json={"ticket": "x" * 43, "code": "000000"}),
                refused=True,
            )

    async def hold(turn: int) -> None:
        await _hold_half(target, turn, halves)
        await send_bad_frames(target, turn, haul)

    try:
        await repeated(stopped, haul, forge, ask, guess_passwords, hold)
    finally:
        for writer in halves:
            writer.transport.abort()


async def _hold_half(target: Target, turn: int, halves: list[asyncio.StreamWriter]) -> None:
    if len(halves) < 60:
        host, port = (
            httpx.URL(target.urls[turn % len(target.urls)]).host,
            httpx.URL(target.urls[turn % len(target.urls)]).port,
        )
        _, writer = await asyncio.open_connection(
            host, port, local_addr=(f"127.0.1.{10 + turn % 6}", 0)
        )
        halves.append(writer)
        writer.write(
            b"POST /api/webhooks/chatwoot HTTP/1.1\r\nHost: a\r\n"
            + (b"Content-Length: 60000\r\n\r\n{" if turn % 2 else b"")
        )
