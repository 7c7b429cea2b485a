"""Attackers out of the victim's own company: an agent, and somebody whose access was withdrawn."""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.faults.webhook_flow import message_payload
from tests.kit.eventually import scaled
from tests.kit.webhook import delivery_of
from tests.tools.load.attackers import Haul, Target, repeated, send_bad_frames


async def be_agent(target: Target, token: str, haul: Haul, stopped: asyncio.Event) -> None:
    """Reads what it may; asks for all that is an administrator's, and floods typing and REST."""
    admins = [
        ("GET", "/api/people"),
        ("PATCH", "/api/people/1"),
        ("POST", "/api/invitations"),
        ("GET", "/api/integrations"),
        ("POST", "/api/integrations"),
        ("POST", "/api/integrations/1/rotate"),
        ("PATCH", "/api/integrations/1"),
        ("GET", "/api/audit"),
        ("PUT", "/api/policy"),
        ("POST", "/api/conversations/1/erase-contact"),
        ("POST", "/api/canned-replies"),
        ("GET", "/admin/people"),
        ("GET", "/api/deliveries"),
    ]

    async def ask(turn: int) -> None:
        async with target.client(turn, 30, token) as http:
            for method, path in admins:
                body = {
                    "role": "admin",
                    "isActive": True,
                    "requiresSecondFactor": True,
                    "email": "x@example.net",
                    "name": "x",
                }
                haul.statuses[
                    str((answer := await http.request(method, path, json=body)).status_code)
                ] += 1
                if answer.is_success:
                    haul.granted.append(f"{method} {path}: {answer.status_code}")
            for _ in range(20):
                haul.statuses[str((await http.get("/api/conversations")).status_code)] += 1

    async def type_on(turn: int) -> None:
        await _flood_typing(target, turn, token, haul)

    await repeated(stopped, haul, ask, type_on)


async def _flood_typing(target: Target, turn: int, token: str, haul: Haul) -> None:
    url = target.urls[turn % len(target.urls)].replace("http", "ws", 1) + "/ws"
    async with (
        asyncio.timeout(scaled(20)),
        connect(url, proxy=None, open_timeout=scaled(10), close_timeout=1) as socket,
    ):
        await socket.send(
            json.dumps(
                {
                    "type": "hello",
                    "token": token,
                    "cursor": None,
                    "client": "flood",
                    "visible": True,
                }
            )
        )
        with contextlib.suppress(WebSocketException):
            for number in range(600):
                await socket.send(
                    json.dumps(
                        {"type": "typing", "conversationId": number % 20, "on": bool(number % 2)}
                    )
                )
            await socket.close()
        haul.statuses[f"closed {socket.close_code}"] += 1


@dataclass(frozen=True)
class Leftovers:
    """What somebody still holds of an access that was withdrawn."""

    token: str
    cookies: Mapping[str, str]
    password: str
    invitations: tuple[str, ...]
    webhook_secret: str


async def be_gone(target: Target, left: Leftovers, haul: Haul, stopped: asyncio.Event) -> None:
    """Old cookie, token, password, links, webhook secret; none opens anything."""

    origin = {"Origin": target.urls[0]}

    async def read(turn: int) -> None:
        async with (
            target.client(turn, 40, left.token) as http,
            target.client(turn, 41, cookies=dict(left.cookies)) as browser,
        ):
            for client in (http, browser):
                for path in (
                    "/api/me",
                    "/api/conversations",
                    "/api/events?cursor=0.0",
                    "/api/me/sessions",
                    "/inbox",
                ):
                    haul.answer(path, await client.get(path), refused=True)
                reply = await client.post(
                    "/api/conversations/1/reply",
                    json={"content": "I am still here"},
                    headers=origin,
                )
                haul.answer("reply", reply, refused=True)

    async def come_back(turn: int) -> None:
        async with target.client(turn, 42) as http:
            again = {"email": target.email, "password": left.password}
            haul.answer("sign-in", await http.post("/api/sessions", json=again), refused=True)
            for link in left.invitations:
                form = {"token": link, "name": "Ghost", "password": "a long enough password"}
                haul.answer(
                    "link", await http.post("/invitation", data=form, headers=origin), refused=True
                )
            payload = message_payload("signed with the old secret", 1, 78)
            payload |= {"account": {"id": target.account_id}, "inbox": {"id": target.inbox_id}}
            delivery = delivery_of(payload, secret=left.webhook_secret)
            haul.answer("old secret", await delivery.post(http), refused=True)

    async def listen(turn: int) -> None:
        await send_bad_frames(
            target, turn * 2, haul, {"type": "hello", "token": left.token, "cursor": None}
        )

    await repeated(stopped, haul, read, come_back, listen)
