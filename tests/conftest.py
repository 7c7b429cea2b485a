"""Fixtures for all tests: the real parts, started when a test first asks for them and never
before.
"""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import settings

from tests.kit.mariadb import MariaDB, has_mariadb
from tests.kit.omni import Omni, running
from tests.kit.processes import find_program
from tests.kit.redis import Redis, has_redis

StackKind = Literal["embedded", "production"]


def pytest_configure() -> None:
    """A test run that is told to end leaves no servers behind: SIGTERM is taken as Ctrl-C is."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # how long an example takes says how busy the machine is
    settings.register_profile("omni", deadline=None)
    settings.load_profile("omni")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order is random, but what takes minutes begins first: begun last, it would be waited for
    by idle cores.
    """
    items.sort(
        key=lambda item: (
            not any(mark.name == "soak" or mark.args == ("load",) for mark in item.iter_markers())
        )
    )


@dataclass(frozen=True)
class Stack:
    """Where one test's server keeps its data: nothing in it is shared with another test but the
    server programs.
    """

    kind: StackKind
    database_url: str
    broadcast_url: str
    mariadb: MariaDB | None = None
    redis: Redis | None = None


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio alone: the server does."""
    return "asyncio"


@pytest.fixture(scope="session")
def shared_mariadb() -> Iterator[MariaDB]:
    """One MariaDB for the test run; tests use `mariadb`, fixtures of a wider scope this one."""
    _require(has_mariadb(), "MariaDB", "mariadb-server")
    server = MariaDB()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[Redis]:
    """One Redis for the test run; tests use `redis_server`, fixtures of a wider scope this one."""
    _require(has_redis(), "Redis", "redis-server")
    server = Redis()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def mariadb(shared_mariadb: MariaDB) -> MariaDB:
    """The test run's MariaDB, alive whatever the test before did to it. Kill it, freeze it: the
    next test finds it well.
    """
    shared_mariadb.ensure_running()
    return shared_mariadb


@pytest.fixture
def redis_server(shared_redis: Redis) -> Redis:
    """The test run's Redis, alive whatever the test before did to it."""
    shared_redis.ensure_running()
    return shared_redis


@pytest.fixture(params=["embedded", "production"])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Stack:
    """A fresh place for data: SQLite file and memory bus, then MariaDB and Redis."""
    if request.param == "embedded":
        return Stack("embedded", _sqlite_url(tmp_path), "memory://")
    mariadb: MariaDB = request.getfixturevalue("mariadb")
    redis: Redis = request.getfixturevalue("redis_server")
    return Stack("production", mariadb.create_database(), redis.url, mariadb, redis)


@pytest.fixture
def omni(stack: Stack, tmp_path: Path) -> Iterator[Omni]:
    """The server, running on a fresh stack: once embedded, once as in production."""
    with running(
        tmp_path, database_url=stack.database_url, broadcast_url=stack.broadcast_url
    ) as server:
        yield server


@pytest.fixture(params=["sqlite", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh, empty database: a SQLite file, then one on MariaDB."""
    if request.param == "sqlite":
        return _sqlite_url(tmp_path)
    mariadb: MariaDB = request.getfixturevalue("mariadb")
    return mariadb.create_database()


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The system's Chromium."""
    program = find_program("chromium", "chromium-browser", "google-chrome")
    _require(program is not None, "Chromium", "chromium")
    return str(program)


def _sqlite_url(directory: Path) -> str:
    return f"sqlite:///{directory / 'omni.db'}"


def _require(is_present: bool, name: str, package: str) -> None:
    """In CI a missing part fails the test, elsewhere it skips it: a skipped promise must not look
    kept.
    """
    if is_present:
        return
    reason = f"{name} is not installed (Debian package {package}; `make test` as root installs it)"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
