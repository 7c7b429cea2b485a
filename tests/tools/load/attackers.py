"""Five kinds of attacker, each as a coroutine that goes on until it is told to stop. What they are
answered is kept in a `Haul`.

A stranger; an administrator of another company, who also runs the Chatwoot and the file store that
this company's integrations name; an agent of the victim's company; somebody of it whose access was
withdrawn. Everything goes through the public port.
"""

import asyncio
import contextlib
import itertools
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.faults.webhook_flow import message_payload
from tests.kit.eventually import scaled
from tests.kit.webhook import WEBHOOK_PATH, delivery_of

_OWN_ERRORS = (
    httpx.HTTPError,
    OSError,
    WebSocketException,
    TimeoutError,
    asyncio.IncompleteReadError,
)
_PAUSE_SECONDS = 0.02  # so that attackers and what they attack share the processors


@dataclass
class Haul:
    """What one attacker was answered: how often which status, and where a marked text of the victim
    was in it.
    """

    name: str
    mark: str
    statuses: Counter[str] = field(default_factory=Counter)
    leaks: list[str] = field(default_factory=list)
    granted: list[str] = field(default_factory=list)  # what should have been refused
    acts: Counter[str] = field(default_factory=Counter)  # how often each kind was answered at all
    bytes_received: int = 0

    def take(self, what: str, status: str, received: bytes) -> None:
        self.statuses[status] += 1
        self.bytes_received += len(received)
        if self.mark.encode() in received:
            self.leaks.append(f"{what}: {status}")

    def answer(self, what: str, answer: httpx.Response, *, refused: bool = False) -> None:
        """`refused`: a 2xx is a fault."""
        self.acts[what] += 1
        self.take(what, str(answer.status_code), answer.content + str(answer.headers).encode())
        if refused and answer.is_success:
            self.granted.append(f"{what}: {answer.status_code}")


@dataclass(frozen=True)
class Target:
    """Where the attackers go, and what everybody could know of the victim: numbers, addresses, how
    texts are marked.
    """

    urls: tuple[str, ...]
    mark: str
    account_id: int
    inbox_id: int
    email: str

    def client(self, turn: int, address: int, token: str = "", **options: Any) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # without verify=False each client would read all certificates of the machine
        transport = httpx.AsyncHTTPTransport(local_address=f"127.0.1.{address}", verify=False)
        base_url = self.urls[turn % len(self.urls)]
        return httpx.AsyncClient(
            transport=transport, base_url=base_url, headers=headers, timeout=scaled(20), **options
        )


async def repeated(
    stopped: asyncio.Event, haul: Haul, *acts: Callable[[int], Awaitable[None]]
) -> None:
    """Each of `acts` again and again, side by side; a connection that is ended or refused is an
    answer as well.
    """

    async def repeat(act: Callable[[int], Awaitable[None]]) -> None:
        for turn in itertools.count():
            if stopped.is_set() and turn:  # once in any case: who did nothing has tried nothing
                return
            try:
                await act(turn)
            except _OWN_ERRORS:
                haul.statuses["cut"] += 1
            await asyncio.sleep(_PAUSE_SECONDS)

    async with asyncio.TaskGroup() as group:
        for act in acts:
            group.create_task(repeat(act))


# a stranger


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
        await _bad_socket(target, turn, haul)

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


async def _bad_socket(
    target: Target, turn: int, haul: Haul, hello: Mapping[str, object] | None = None
) -> None:
    """Says hello with nothing good, and floods; what comes is kept."""
    url = target.urls[turn % len(target.urls)].replace("http", "ws", 1) + "/ws"
    async with (
        asyncio.timeout(scaled(20)),
        connect(url, proxy=None, open_timeout=scaled(10), close_timeout=1) as socket,
    ):
        first = json.dumps(hello or {"type": "hello", "token": "x", "cursor": "0.0"})
        frames: list[str | bytes] = [first, "{" * 100, "\0" * 3_000, b"\xff" * 100]
        with contextlib.suppress(WebSocketException):
            for frame in frames[turn % 2 :]:
                await socket.send(frame)
        with contextlib.suppress(WebSocketException):
            async for received in socket:
                haul.take(
                    "socket", "frame", received.encode() if isinstance(received, str) else received
                )
        haul.statuses[f"closed {socket.close_code}"] += 1


# an administrator of another company


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
            await _walk(http, haul, next(ids), target)

    async def fetch_files(turn: int) -> None:
        async with target.client(turn, 23, token) as http:
            for conversation in (await http.get("/api/conversations")).json()[:1]:
                thread = (
                    await http.get(f"/api/conversations/{conversation['id']}/messages")
                ).json()
                for message in thread["messages"][-2:]:
                    haul.answer("file", await http.get(f"/api/attachments/{message['id']}/0"))

    await repeated(stopped, haul, claim_and_sign, call_own_chatwoot, walk, fetch_files)


async def _walk(http: httpx.AsyncClient, haul: Haul, number: int, target: Target) -> None:
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


# an agent of the victim's company


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


# somebody whose access was withdrawn


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
        await _bad_socket(
            target, turn * 2, haul, {"type": "hello", "token": left.token, "cursor": None}
        )

    await repeated(stopped, haul, read, come_back, listen)


Attacker = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def attacking(attackers: Sequence[Attacker]) -> AsyncIterator[None]:
    """All of them at once, each ended after its present act."""
    stopped = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for attacker in attackers:
            group.create_task(attacker(stopped))
        try:
            yield
        finally:
            stopped.set()
