"""Servers that tests share, one for each stack: each test has a company of its own on them and sees nothing of the others."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal

import pytest

from server.db.migrations import upgrade
from tests.kit.company import Company
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni
from tests.kit.redis import Redis

Kind = Literal["embedded", "production", "plain ASGI"]

# waits that tests would otherwise sit through
QUICK = {
    "ACCESS_CHECK_SECONDS": "0.5",
    "CHATWOOT_TIMEOUT_SECONDS": "1",
    "HELLO_SECONDS": "2",
    "PING_SECONDS": "1",
    "RECONCILE_SECONDS": "3600",
    "REPLY_CERTAIN_SECONDS": "1",
    "SLOW_SOCKET_SECONDS": "1",
}


# its plain protocol logs this with a traceback
_UVICORNS_OWN = "Invalid UTF-8 sequence received from client.\nTraceback"


class Servers:
    """The servers of a test run, each started when a test first asks for it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: dict[Kind, Omni] = {}

    def get(self, kind: Kind, mariadb: MariaDB | None, redis: Redis | None) -> Omni:
        if kind not in self._running:
            self._running[kind] = self._start(kind, mariadb, redis)
        self._running[kind].process.ensure_running()
        return self._running[kind]

    def close(self) -> None:
        for server in self._running.values():
            server.kill9()

    def _start(self, kind: Kind, mariadb: MariaDB | None, redis: Redis | None) -> Omni:
        directory = self._directory / kind.replace(" ", "-")
        directory.mkdir()
        url = mariadb.create_database() if mariadb else f"sqlite:///{directory / 'omni.db'}"
        server = Omni(directory, database_url=url, broadcast_url=redis.url if redis else "memory://", env=QUICK)
        if kind == "plain ASGI":
            server.process.argv[:] = _plain_asgi(server)
        upgrade(url)
        server.start()
        return server


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
    """The shared server, on SQLite and memory, then on MariaDB and Redis; nothing a test does may leave a traceback in its log."""
    yield from _watched(request, servers)


@pytest.fixture(params=["embedded", "production", "plain ASGI"])
def socket_server(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Omni]:
    """As `server`, and once under uvicorn's own WebSocket protocol, so that sockets speak plain ASGI."""
    yield from _watched(request, servers)


@pytest.fixture
async def company(server: Omni) -> AsyncIterator[Company]:
    """A fresh company with an integration whose Chatwoot refuses connections."""
    async with Company(server) as company:
        yield company


def _watched(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Omni]:
    is_production = request.param == "production"
    mariadb = request.getfixturevalue("mariadb") if is_production else None
    redis = request.getfixturevalue("redis_server") if is_production else None
    server = servers.get(request.param, mariadb, redis)
    before = len(server.log)
    yield server
    if request.node.get_closest_marker("xfail") is None:
        said = server.log[before:]
        assert "Traceback" not in said.replace(_UVICORNS_OWN, ""), said


def _plain_asgi(server: Omni) -> list[str]:
    options = ["--host", "127.0.0.1", "--port", str(server.port), "--ws", "websockets-sansio", "--ws-max-size", "65536"]
    return [sys.executable, "-m", "uvicorn", "server.app:from_environment", "--factory", *options]
