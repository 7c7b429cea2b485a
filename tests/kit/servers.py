"""Servers that tests share, one for each kind, started when a test first asks for it."""

import sys
from pathlib import Path
from typing import Literal

from server.db.migrations import upgrade
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni
from tests.kit.redis import Redis

Kind = Literal["embedded", "production", "plain ASGI"]

# waits that tests would otherwise sit through
QUICK = {
    "ACCESS_CHECK_SECONDS": "0.5",
    "CHATWOOT_REQUESTS_PER_MINUTE": "60000",
    "CHATWOOT_TIMEOUT_SECONDS": "1",
    "HELLO_SECONDS": "2",
    "PING_SECONDS": "1",
    "RECONCILE_SECONDS": "3600",
    "REPLY_CERTAIN_SECONDS": "1",
    "SLOW_SOCKET_SECONDS": "1",
}


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
        server = Omni(
            directory,
            database_url=url,
            broadcast_url=redis.url if redis else "memory://",
            env=QUICK,
            is_shared=True,
        )
        if kind == "plain ASGI":
            server.process.argv[:] = _plain_asgi(server)
        upgrade(url)
        server.start()
        return server


def _plain_asgi(server: Omni) -> list[str]:
    options = [
        "--host",
        "127.0.0.1",
        "--port",
        str(server.port),
        "--ws",
        "websockets-sansio",
        "--ws-max-size",
        "65536",
    ]
    return [sys.executable, "-m", "uvicorn", "server.app:from_environment", "--factory", *options]
