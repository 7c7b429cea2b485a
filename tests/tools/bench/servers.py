"""The private servers of a bench run: MariaDB and Redis once, a fresh Omni Inbox with a fresh
database for each measurement.
"""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

from server.core.times import wall_now_us
from server.db.access import integration_rows
from server.db.access.vault import Vault
from server.db.engine.database import Connection, Database
from server.lab.load.loop import Loop
from tests.kit.mariadb import MariaDB
from tests.kit.omni import SECRET_KEY, Omni
from tests.kit.redis import Redis
from tests.tools.bench import machine
from tests.tools.bench.agents import Fleet
from tests.tools.bench.deliveries import SECRET, account_of
from tests.tools.bench.results import Result

ROOT = Path(__file__).parents[3]
Kind = Literal["server", "without-ingest", "empty"]
DatabaseKind = Literal["sqlite", "mariadb"]
T = TypeVar("T")
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Running:
    """A server process under measurement."""

    def __init__(self, omni: Omni, database_url: str) -> None:
        self.omni = omni
        self.database_url = database_url

    @property
    def port(self) -> int:
        return self.omni.port

    @property
    def pid(self) -> int:
        return self.omni.process.pid

    def cpu_seconds(self) -> float:
        return machine.cpu_seconds(self.pid)

    def metric(self, name: str) -> float:
        """The sum over all labels."""
        with _OPENER.open(f"{self.omni.base_url}/metrics", timeout=30) as response:
            text = response.read().decode()
        lines = [line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def database_calls(self) -> float:
        return self.metric("omni_inbox_database_calls_total")

    def events(self) -> int:
        return int(self.metric("omni_inbox_events_appended_total"))

    def do(self, call: Callable[[Connection], Awaitable[T]]) -> T:
        """A transaction on the server's database, from this process."""

        async def run() -> T:
            async with Database(
                self.database_url, wait_seconds=120.0, statement_seconds=120.0
            ) as database:
                return await database.transaction(call)

        return asyncio.run(run())

    def heads(self) -> dict[int, int]:
        """Newest seq by company."""

        async def read(connection: Connection) -> dict[int, int]:
            rows = await connection.fetch_all(
                "SELECT company_id, head FROM omni_inbox_streams WHERE head > 0 LIMIT 10000"
            )
            return {row[0]: row[1] for row in rows}

        return self.do(read)

    def await_ingest(self, limit: float = 120.0) -> None:
        """Until nothing in the journal is to be done. Raises AssertionError when something was not
        understood.
        """

        async def read(connection: Connection) -> dict[str, int]:
            return {
                row[0]: row[1]
                for row in await connection.fetch_all(
                    "SELECT state, COUNT(*) FROM omni_webhook_deliveries GROUP BY state",
                )
            }

        until = time.monotonic() + limit
        while (states := self.do(read)).get("received"):
            if time.monotonic() > until:
                raise TimeoutError(f"ingest: {states}")
            time.sleep(0.05)
        assert set(states) <= {"done"}, states


class Bench:
    """One run. A context manager: servers and files are gone afterwards."""

    def __init__(self, *, is_quick: bool, say: Callable[[str], None]) -> None:
        self.is_quick = is_quick
        self.say = say
        self.cores = machine.share_cores()
        self.most_files = machine.raise_file_limit()
        self.loop = Loop()
        self._directory = Path(tempfile.mkdtemp(prefix="omni-bench-"))
        self._stack = contextlib.ExitStack()
        self._mariadb: MariaDB | None = None
        self._redis: Redis | None = None
        self._tokens: dict[tuple[int, int], str] = {}
        self._token_maker = Omni(self._directory, database_url="sqlite:///never-opened.db")

    def __enter__(self) -> "Bench":
        machine.pin(os.getpid(), self.cores.load)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def pick(self, full: T, quick: T) -> T:
        return quick if self.is_quick else full

    @contextlib.contextmanager
    def server(
        self,
        kind: Kind = "server",
        *,
        database: DatabaseKind = "mariadb",
        bus: Literal["memory", "redis"] = "memory",
        companies: int = 1,
    ) -> Iterator[Running]:
        """A started server on a fresh database that knows the integrations of companies 1 to
        `companies`.
        """
        running = self.prepared(kind, database=database, bus=bus, companies=companies)
        with self.started(running):
            yield running

    def prepared(
        self,
        kind: Kind = "server",
        *,
        database: DatabaseKind = "mariadb",
        bus: Literal["memory", "redis"] = "memory",
        companies: int = 1,
    ) -> Running:
        """The same, not started yet."""
        directory = Path(tempfile.mkdtemp(dir=self._directory))
        url = (
            self.mariadb.create_database()
            if database == "mariadb"
            else f"sqlite:///{directory / 'omni.db'}"
        )
        # the tree this file stands in is what is measured, wherever the environment's own
        # installation points
        env = {
            "PYTHONPATH": str(ROOT),
            "LOG_LEVEL": "WARNING",
            "API_REQUESTS_PER_MINUTE": "0",
            "SOCKETS_PER_COMPANY": "20000",
        }
        omni = Omni(
            directory,
            database_url=url,
            broadcast_url="memory://" if bus == "memory" else self.redis.url,
            env=env,
        )
        running = Running(_launched(omni, kind), url)
        if kind != "empty":
            omni.prepare()
            running.do(lambda connection: _add_integrations(connection, companies))
        return running

    def beside(self, running: Running) -> Running:
        """A second server on the same database and bus, not started yet."""
        return Running(_launched(running.omni.another(), "server"), running.database_url)

    @contextlib.contextmanager
    def started(self, running: Running, cores: frozenset[int] | None = None) -> Iterator[None]:
        process = running.omni.process
        process.start(60)
        machine.pin(process.pid, cores or self.cores.server)
        try:
            yield
        finally:
            process.kill()

    @contextlib.contextmanager
    def load_noted(self, result: Result) -> Iterator[None]:
        """Notes how busy this process was meanwhile: near 1, the load was the limit and not the
        server.
        """
        cpu, started = time.process_time(), time.monotonic()
        yield
        result.load_cpu = max(
            result.load_cpu, (time.process_time() - cpu) / (time.monotonic() - started)
        )

    def fleet(self) -> Fleet:
        return Fleet(self.loop, self.token)

    def token(self, company_id: int, number: int) -> str:
        """The token of an agent; each has a number of its own."""
        key = (company_id, number)
        if key not in self._tokens:
            self._tokens[key] = self._token_maker.token(company_id, f"agent-{number}")
        return self._tokens[key]

    @property
    def mariadb(self) -> MariaDB:
        if self._mariadb is None:
            options = {"innodb-buffer-pool-size": "512M", "innodb-log-file-size": "256M"}
            self._mariadb = MariaDB(options=options)
            self._stack.callback(self._mariadb.close)
            self._mariadb.start()
            machine.pin(self._mariadb.pid, self.cores.database)
        return self._mariadb

    @property
    def redis(self) -> Redis:
        if self._redis is None:
            self._redis = Redis()
            self._stack.callback(self._redis.close)
            self._redis.start()
            machine.pin(self._redis.pid, self.cores.database)
        return self._redis


def _launched(omni: Omni, kind: Kind) -> Omni:
    omni.env |= {"HOST": "127.0.0.1", "PORT": str(omni.port)}
    omni.process.env = omni.env
    omni.process.argv = [sys.executable, "-m", "tests.tools.bench.launch", kind]
    return omni


async def _add_integrations(connection: Connection, companies: int) -> None:
    vault = Vault(SECRET_KEY)
    for company_id in range(1, companies + 1):
        values = {
            "company_id": company_id,
            "account_id": account_of(company_id),
            "inbox_id": 12,
            "base_url": "http://127.0.0.1:9",
            "access_token": "token",
            "webhook_secret": SECRET,
            "proved_us": 2,
        }
        await integration_rows.add_integration(connection, vault, values, wall_now_us())
