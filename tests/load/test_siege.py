"""All kinds of attacker at once, for some seconds; `python -m tests.tools.load.siege` is the long
form.
"""

from pathlib import Path

import pytest

from tests.faults.cluster import Cluster, clustered
from tests.kit.eventually import scaled
from tests.kit.mariadb import MariaDB
from tests.kit.redis import Redis
from tests.tools.load.attackers import Haul
from tests.tools.load.siege import run_siege
from tests.tools.load.siege_verdict import as_table

pytestmark = [pytest.mark.xdist_group("load"), pytest.mark.timeout(scaled(240))]


@pytest.mark.parametrize("entry", ["direct", "nginx"])
async def test_no_attacker_reads_or_stops_anything(
    tmp_path: Path, mariadb: MariaDB, redis_server: Redis, entry: str
) -> None:
    """Nothing of the victim's is read by others, all its messages arrive once and in order, nothing
    is granted, both processes are well.
    """
    async with clustered(Cluster(tmp_path, mariadb, redis_server)) as cluster:
        verdict = await run_siege(cluster, entry, seconds=4.0, agents=4)
    assert not verdict.faults, as_table([verdict])
    assert verdict.messages > 10


def test_a_leak_is_seen() -> None:
    """Wherever in an answer the mark stands; a verdict that cannot fail would say nothing."""
    haul = Haul("a stranger", "SECRET00ff")
    haul.take("/api/me", "404", b"nothing")
    assert (haul.leaks, haul.statuses["404"]) == ([], 1)
    haul.take("/api/me", "200", b'{"preview": "SECRET00ff c1-1"}')
    assert haul.leaks == ["/api/me: 200"]
