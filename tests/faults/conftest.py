"""Fixtures of the fault tests."""

from pathlib import Path

import pytest

from tests.faults.cluster import Cluster
from tests.kit.mariadb import MariaDB
from tests.kit.redis import Redis


def pytest_configure(config: pytest.Config) -> None:
    """`-m "not soak"` leaves out the minute of random kills."""
    config.addinivalue_line("markers", "soak: traffic under random kills, about a minute")


@pytest.fixture
def cluster(tmp_path: Path, mariadb: MariaDB, redis_server: Redis) -> Cluster:
    """MariaDB and Redis with a fresh database; enter it with `clustered`."""
    return Cluster(tmp_path, mariadb, redis_server)
