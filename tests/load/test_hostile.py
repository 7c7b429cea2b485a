"""Each attack for a moment: nothing is lost, doubled, disordered or refused, and no agent is cut.
How quick it stays is for `python -m tests.tools.load.hostile` to say.
"""

from pathlib import Path

import pytest

from tests.faults.cluster import Cluster, clustered
from tests.kit.eventually import scaled
from tests.kit.mariadb import MariaDB
from tests.kit.redis import Redis
from tests.tools.load.attacks import ATTACKS
from tests.tools.load.hostile import play

pytestmark = [pytest.mark.xdist_group("load"), pytest.mark.timeout(scaled(240))]


async def test_attacks_stop_nobody(tmp_path: Path, mariadb: MariaDB, redis_server: Redis) -> None:
    """All kinds of them, one after the other, beside ten agents and customers who write."""
    async with clustered(Cluster(tmp_path, mariadb, redis_server)) as cluster:
        runs = await play(cluster, ATTACKS, seconds=1.0, agents=10)
    assert [run.name for run in runs] == ["none", *ATTACKS]
