"""Two processes behind nginx on one MariaDB and one Redis, under load, while something is stopped
and started in the middle.
"""

import asyncio
import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from server.db.engine.database import Database
from server.db.migrations import upgrade
from server.db.schema.tables import metadata
from tests.kit.eventually import scaled
from tests.kit.mariadb import MariaDB
from tests.kit.omni import COMMAND, Omni
from tests.kit.redis import Redis
from tests.tools.load.nginx import Nginx

_LOOK_SECONDS = 0.1
_LIMIT_SECONDS = 120.0
_ENVIRONMENT = {"DRAIN_SECONDS": "2", "LOG_LEVEL": "INFO", "RECONCILE_SECONDS": "10"}


class Site:
    """What runs; `act` of a test is given it."""

    def __init__(self, servers: list[Omni], nginx: Nginx, redis: Redis, agents: int) -> None:
        self.servers = servers
        self.nginx = nginx
        self.redis = redis
        self.agents = agents

    def restart_each(self) -> None:
        """As a deploy does: one is drained, ends and starts again before the next one; between them
        everybody is back.
        """
        for server in self.servers:
            self.await_agents()
            # uvicorn ends by the signal itself once everything is done, which systemd calls a
            # success
            assert server.terminate(scaled(30)) in (0, -signal.SIGTERM), server.log[-2_000:]
            server.start()

    def fail_redis_twice(self) -> None:
        """Killed, noticed, started again, noticed."""
        self.await_agents()
        for _ in range(2):
            self.redis.kill()
            self._until(
                lambda: all("bus" in str(report["problems"]) for report in self._reports()),
                "the bus is called down",
            )
            self.redis.start()
            self._until(
                lambda: not any("bus" in str(report["problems"]) for report in self._reports()),
                "the bus is up again",
            )

    def await_agents(self) -> None:
        self._until(
            lambda: sum(report["sockets"] for report in self._reports()) >= self.agents,
            f"{self.agents} agents are connected",
        )

    def count_rows(self) -> dict[str, int]:
        """By table. A run leaves as many as it found in the database it plays in: what the servers
        themselves write at their start. The key of the first set-up is not counted: it ends with
        the first agent, whoever that is.
        """

        async def count() -> dict[str, int]:
            async with Database(self.servers[0].env["DATABASE_URL"]) as database:
                counted = [table for table in metadata.tables if table != "omni_setup_keys"]
                return {
                    table: (await database.fetch_all(f"SELECT COUNT(*) FROM {table}"))[0][0]
                    for table in counted
                }

        return asyncio.run(count())

    def _reports(self) -> list[dict[str, Any]]:
        return [
            httpx.get(f"{server.base_url}/readyz", trust_env=False, timeout=scaled(10)).json()
            for server in self.servers
        ]

    def _until(self, is_true: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + scaled(_LIMIT_SECONDS)
        while not is_true():
            if time.monotonic() > until:
                raise TimeoutError(f"not within {_LIMIT_SECONDS:g} s: {what}; {self._reports()}")
            time.sleep(_LOOK_SECONDS)


@contextmanager
def site(mariadb: MariaDB, redis: Redis, agents: int) -> Iterator[Site]:
    """Everything started; stopped and removed at the end."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="omni-rolling-")))
        url = mariadb.create_database()
        upgrade(url)
        first = Omni(directory, database_url=url, broadcast_url=redis.url, env=_ENVIRONMENT)
        servers = [first, first.another(env=_ENVIRONMENT)]
        nginx = Nginx([server.port for server in servers])
        stack.callback(nginx.close)
        for server in servers:
            stack.callback(server.kill9)
            server.start()
        nginx.start()
        yield Site(servers, nginx, redis, agents)


def play(place: Site, act: Callable[[Site], None], options: Mapping[str, object]) -> dict[str, Any]:
    """`omni-inbox load` through nginx with these options, and `act` meanwhile. Returns the run's
    report; raises unless it was clean.
    """
    path, before = place.servers[0].directory / "report.json", place.count_rows()
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    argv = [
        str(COMMAND),
        "load",
        "--url",
        place.nginx.url,
        "--agents",
        str(place.agents),
        "--json",
        str(path),
        *words,
    ]
    harness = subprocess.Popen(
        argv, env=place.servers[0].env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        act(place)
        place.await_agents()
        harness.send_signal(signal.SIGINT)  # enough was played: judge
        output, _ = harness.communicate(timeout=scaled(_LIMIT_SECONDS))
    finally:
        if harness.poll() is None:
            harness.terminate()
            harness.communicate()
    assert harness.returncode == 0, f"{output}\n{place.nginx.errors[-2_000:]}"
    [report] = json.loads(path.read_text())
    left = {table: count for table, count in place.count_rows().items() if count != before[table]}
    assert left == {}, f"the run left other rows than it found: {left}"
    found: dict[str, Any] = report
    return found
