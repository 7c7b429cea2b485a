"""Whatever opens something closes it again, wherever it breaks: descriptors are counted before and
after, and nothing is used up.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from server.lab.chatwoot_sim import ChatwootSim
from server.lab.chatwoot_sim.samples import picture
from tests.kit.broken_cable import STEPS, broken_cable
from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.descriptors import nothing_more_than, settled_descriptors
from tests.kit.eventually import eventually, scaled
from tests.kit.omni import Omni, running
from tests.kit.rude_http import answering
from tests.kit.webhook import WEBHOOK_PATH
from tests.tools.load.rude_chatwoot import rude_chatwoot

pytestmark = pytest.mark.timeout(scaled(240))
TIMES = 13  # one more than an agent may fetch files at once, and more than any other place there is
# calls to Chatwoot keep a connection or two for the next ones; what is left open by a step is so
# each time
KEPT = 2
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
PART = (
    b'--x\r\nContent-Disposition: form-data; name="attachments"; '
    b'filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
)
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Omni]:
    """A server that nobody else opens anything at."""
    folder = tmp_path_factory.mktemp("closed")
    env = {
        "UPLOAD_MAX_BYTES": "200000",
        "CHATWOOT_TIMEOUT_SECONDS": "1",
        "CONNECTIONS_PER_ADDRESS": "1000",
    }
    with running(folder, env=env) as server:
        yield server


class Shop:
    """What the steps act on: a company with a message that has a file, and a conversation to reply
    in.
    """

    def __init__(self, company: Company, conversation: Json) -> None:
        self.company = company
        self.http = company.http
        self.number = 0
        self.conversation = f"/api/conversations/{conversation['id']}"
        self.file = f"/api/attachments/{conversation['messages'][0]['id']}/0"
        self.check = f"/api/integrations/{company.integration_id}/check"
        url = conversation["messages"][0]["attachments"][0]["url"]
        self.place = "/".join(url.split("/")[:3])

    async def at(self, url: str) -> None:
        """Chatwoot, and where it keeps files, are there from now on."""
        await self.company.change_integration(base_url=url)
        await self.company.execute(
            "UPDATE social_messages SET omni_attachments = REPLACE(omni_attachments, :old, :new)",
            old=self.place,
            new=url,
        )
        self.place = url

    async def good(self) -> None:
        """One of each, as it should be: with a place taken for good none of these would go on."""
        asked = await self.http.get(self.file)
        assert (asked.status_code, asked.content) == (200, picture().content)
        files = [("attachments", ("a.png", picture().content, "image/png"))]
        self.number += 1
        fields = {"content": f"reply {self.number}"}
        sent = await self.http.post(f"{self.conversation}/reply", data=fields, files=files)
        assert sent.status_code == 201, sent.text
        async with self.company.socket() as agent:
            assert agent.frames_of("welcome")
        admin = self.company.token("chief", role="admin")
        async with self.company.omni.client(admin, timeout=scaled(60)) as http:
            assert (await http.post(self.check)).status_code == 200


def _cut(port: int, *pieces: bytes, reads: int = 0) -> None:
    """Say this, perhaps read the beginning of an answer, and go without a word."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=scaled(30)) as line,
        contextlib.suppress(OSError),
    ):
        for piece in pieces:
            line.sendall(piece)
        if reads:
            line.recv(reads)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _gone(
    shop: Shop,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    length: int = 0,
    reads: int = 0,
    more: str = "",
) -> None:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
        f"{shop.company.token()}\r\n{more}"
    )
    head += f"Content-Length: {length or len(body)}\r\n\r\n"
    await asyncio.to_thread(_cut, shop.company.omni.port, head.encode(), body, reads=reads)


async def _webhooks(shop: Shop) -> None:
    """Half a body, no JSON, no account, a body that is said to be compressed, half a head."""
    await _gone(shop, "POST", WEBHOOK_PATH, b'{"event": ', length=500)
    await _gone(shop, "POST", WEBHOOK_PATH, b'{"event": ', length=500_000)
    for body in (b"{", b"[]", b'{"event": "message_created"}', b"\xff" * 100_000):
        await shop.http.post(WEBHOOK_PATH, content=body)
    await shop.http.post(WEBHOOK_PATH, content=b"{}", headers={"Content-Encoding": "gzip"})
    await asyncio.to_thread(
        _cut, shop.company.omni.port, b"POST /api/webhooks/chatwoot HTTP/1.1\r\nHost:"
    )


async def _uploads(shop: Shop) -> None:
    """Gone within a file, too large with and without a length, a broken form, too many, under a
    wrong name, to nowhere.
    """
    reply = f"{shop.conversation}/reply"
    content = PART + b"y" * 60_000
    await _gone(
        shop,
        "POST",
        reply,
        content,
        length=150_000,
        more="Content-Type: multipart/form-data; boundary=x\r\n",
    )

    async def large() -> AsyncIterator[bytes]:
        yield PART
        for _ in range(30):
            yield b"y" * 10_000

    with contextlib.suppress(httpx.HTTPError):  # refused while it is still sent
        assert (await shop.http.post(reply, content=large(), headers=FORM)).status_code == 413
    with contextlib.suppress(httpx.HTTPError):
        assert (await shop.http.post(reply, content=content * 4, headers=FORM)).status_code == 413
    assert (await shop.http.post(reply, content=content, headers=FORM)).status_code in (400, 422)
    many = [("attachments", (f"{number}.png", b"y", "image/png")) for number in range(30)]
    assert (await shop.http.post(reply, data={"content": "x"}, files=many)).status_code == 422
    wrong = [("elsewhere", ("a.png", b"y" * 60_000, "image/png"))]
    assert (await shop.http.post(reply, data={"content": "x"}, files=wrong)).status_code == 400
    one = [("attachments", ("a.png", picture().content, "image/png"))]
    nowhere = await shop.http.post(
        "/api/conversations/999999999/reply", data={"content": "x"}, files=one
    )
    assert nowhere.status_code == 404


async def _files(shop: Shop) -> None:
    """A storage that is not there, refuses, leads in a circle or elsewhere, encodes, breaks off; a
    reader who goes.
    """
    await shop.at(NOWHERE)
    assert (await shop.http.get(shop.file)).status_code == 502
    for status, head, body in (
        (b"500 No", b"", b"x"),
        (b"404 No", b"", b"x"),
        (b"302 Found", b"Location: /again\r\n", b""),
        (b"302 Found", b"Location: file:///etc/passwd\r\n", b""),
        (b"302 Found", b"", b"no place"),
        (b"200 OK", b"Content-Encoding: gzip\r\n", b"x" * 500),
        (b"200 OK", "Content-Range: bytes 0-1/2€\r\n".encode(), b"xx"),
        (b"200 OK", b"Transfer-Encoding: chunked\r\n", b"no chunk"),
        (b"200 OK", b"Content-Length: 999999999999\r\n", b"x"),
        (b"200 OK", b"", b"x" * 3_000_000),
    ):
        async with answering(head, body, status=status) as url:
            await shop.at(url)
            with contextlib.suppress(httpx.HTTPError):  # cut short, which a client sees
                assert (await shop.http.get(shop.file)).status_code in (200, 404, 502)
            await _gone(shop, "GET", shop.file, reads=1_000)


async def _answers(shop: Shop) -> None:
    """A Chatwoot that is rude in each way there is, to one who waits and to one who has gone; and
    one that is not there.
    """
    company, admin = shop.company, shop.company.token("chief", role="admin")
    cut = (
        f"POST {shop.check} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
        f"{admin}\r\nContent-Length: 0\r\n\r\n"
    )
    async with (
        rude_chatwoot(company.account_id, company.inbox_id) as rude,
        company.omni.client(admin, timeout=scaled(60)) as http,
    ):
        for url, times in ((rude.url, 8), (NOWHERE, 1)):
            await shop.at(url)
            for _ in range(times):
                assert (await http.post(shop.check)).status_code == 200
                await asyncio.to_thread(_cut, company.omni.port, cut.encode())
        await shop.http.post("/api/chatwoot/sync", json={"integrationId": company.integration_id})


async def _sockets(shop: Shop) -> None:
    """Gone before the handshake, before hello, in the middle of a frame, after the welcome, with a
    bad hello.
    """
    upgrade = (
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    )
    port = shop.company.omni.port
    for pieces, reads in (
        ((upgrade,), 0),
        ((upgrade, b"\r\n"), 0),
        ((upgrade, b"\r\n"), 200),
        ((upgrade, b"\r\n\x81\xfe\x10"), 0),
    ):
        await asyncio.to_thread(_cut, port, *pieces, reads=reads)
    async with shop.company.socket() as agent:
        assert agent._connection is not None
        agent._connection.transport.abort()


PATHS: dict[str, tuple[Callable[[Shop], Awaitable[None]], int]] = {
    "webhooks": (_webhooks, TIMES),
    "uploads": (_uploads, 4),
    "files": (_files, 3),
    "answers": (_answers, 3),
    "sockets": (_sockets, TIMES),
}


@pytest.mark.parametrize("path", PATHS)
async def test_a_fault_at_any_step_leaves_nothing_open(
    alone: Omni, sim: ChatwootSim, path: str
) -> None:
    """Connections of clients and to Chatwoot, temporary files, places: after the faults there are
    as many as before, and all works.
    """
    async with Company(alone, chatwoot=sim) as company:
        sim.add_webhook(alone.base_url + WEBHOOK_PATH, secret="")
        said = sim.customer_says("Rahima", "Here", attachments=[picture()])
        conversation = await company.conversation_with(1, display_id=said.conversation.display_id)
        shop, (break_it, times) = Shop(company, conversation), PATHS[path]
        home = shop.place
        await shop.good()
        before = await settled_descriptors(alone)
        before["socket"] += KEPT
        for _ in range(times):
            await break_it(shop)
        await shop.at(home)
        for _ in range(3):
            await shop.good()
        await nothing_more_than(alone, before)


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Omni]:
    """A server that listens to its company's Chatwoot, and soon again after each break."""
    env = {"CHATWOOT_SOCKETS": "true", "CHATWOOT_SOCKET_WAIT_SECONDS": "0.05"}
    with running(tmp_path, env=env) as server:
        yield server


async def test_the_agents_socket_may_break_at_any_step(listening: Omni, sim: ChatwootSim) -> None:
    """Before the handshake, within it, instead of the subscription, within a message: then it
    listens again, and nothing is left.
    """
    async with Company(listening, chatwoot=sim) as company:
        await eventually(lambda: len(sim.cable.subscriptions) == 1, 60)
        before = await settled_descriptors(listening)
        before["socket"] += 3  # calls keep a connection or two; eleven breaks would leave eleven
        # a new address each, where the pauses begin anew
        for steps in (STEPS[:4], STEPS[4:8], STEPS[8:]):
            async with broken_cable(company.account_id, company.inbox_id, steps) as broken:
                await company.change_integration(base_url=broken.url)
                # awaited at once
                await eventually(lambda: broken.ended >= set(steps), 60)  # noqa: B023
            await eventually(lambda: not sim.cable.subscriptions, 60)
        await company.change_integration(base_url=sim.base_url)
        await eventually(lambda: len(sim.cable.subscriptions) == 1, 60)
        await nothing_more_than(listening, before)
