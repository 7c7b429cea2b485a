"""Servers that tests share, one for each stack: each test has a company of its own on them and sees
nothing of the others.
"""

import itertools
import re
from collections.abc import AsyncIterator, Iterator

import pytest

from server.lab.chatwoot_sim import ChatwootSim, serving
from server.lab.chatwoot_sim.model import User
from tests.integration.talk import Talk
from tests.kit.company import Company
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni
from tests.kit.redis import Redis
from tests.kit.servers import Servers
from tests.kit.webhook import WEBHOOK_PATH

_TOKEN = re.compile(r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.")  # as JWTs begin
# its plain protocol logs this with a traceback
_UVICORNS_OWN = "Invalid UTF-8 sequence received from client.\nTraceback"


_accounts = itertools.count(60_001)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """All shared servers; tests use `server`."""
    servers = Servers(tmp_path_factory.mktemp("servers"))
    try:
        yield servers
    finally:
        servers.close()


@pytest.fixture(params=["embedded", "production"])
def server(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Omni]:
    """The shared server, on SQLite and memory, then on MariaDB and Redis; nothing a test does may
    leave a traceback in its log.
    """
    yield from _watched(request, servers)


@pytest.fixture(params=["embedded", "production", "plain ASGI"])
def socket_server(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Omni]:
    """As `server`, and once under uvicorn's own WebSocket protocol, so that sockets speak plain
    ASGI.
    """
    yield from _watched(request, servers)


@pytest.fixture
async def company(server: Omni) -> AsyncIterator[Company]:
    """A fresh company with an integration whose Chatwoot refuses connections."""
    async with Company(server) as company:
        yield company


@pytest.fixture
async def sim() -> AsyncIterator[ChatwootSim]:
    """A simulated Chatwoot of its own for each test, with an account and an inbox that no other
    has.
    """
    number = next(_accounts)
    sim = ChatwootSim(account_id=number, inbox_id=number + 20_000)
    async with serving(sim):
        yield sim


@pytest.fixture
async def shop(server: Omni, sim: ChatwootSim) -> AsyncIterator[Company]:
    """A company whose integration is the simulated Chatwoot; its webhook is registered by who wants
    it.
    """
    async with Company(server, chatwoot=sim) as company:
        yield company


@pytest.fixture(scope="module")
def second_process(
    servers: Servers, shared_mariadb: MariaDB, shared_redis: Redis
) -> Iterator[Omni]:
    """Another server beside the shared one."""
    second = servers.get("production", shared_mariadb, shared_redis).another()
    second.start()
    yield second
    second.kill9()


@pytest.fixture
async def talk(shop: Company, sim: ChatwootSim) -> Talk:
    """A customer has written; the webhook is registered."""
    sim.add_webhook(shop.omni.base_url + WEBHOOK_PATH, secret="")
    said = sim.customer_says("Rahima", "Is it still there?")
    return Talk(
        shop,
        sim,
        said.conversation,
        await shop.conversation_with(1, display_id=said.conversation.display_id),
    )


@pytest.fixture
def ada(talk: Talk) -> User:
    """An agent of Chatwoot who is a member of the inbox."""
    return talk.sim.add_user("Ada Okoye", account=talk.sim.account, inboxes=(talk.sim.inbox,))


def _watched(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Omni]:
    is_production = request.param == "production"
    mariadb = request.getfixturevalue("mariadb") if is_production else None
    redis = request.getfixturevalue("redis_server") if is_production else None
    server = servers.get(request.param, mariadb, redis)
    before = len(server.log)
    yield server
    said = server.log[before:]
    assert "Traceback" not in said.replace(_UVICORNS_OWN, ""), said
    assert not _TOKEN.search(said), "a token stands in the log"
