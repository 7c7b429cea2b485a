"""What a newcomer must find is said by every place that can know it. Settings are quick here; how
long it takes with the usual ones is in docs/operation.md, measured by
`python -m tests.tools.trials`.
"""

import pytest

from tests.kit.eventually import scaled
from tests.kit.mariadb import MariaDB
from tests.kit.redis import Redis
from tests.tools.trials.faults import FAULTS, Fault, Ground

QUICK = {
    "RECONCILE_SECONDS": "2",
    "RECONCILE_QUIET_SECONDS": "2",
    "RECONCILE_GRACE_SECONDS": "1",
    "SLOW_SOCKET_SECONDS": "4",
}


@pytest.mark.timeout(scaled(180))
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_newcomer_finds_it(fault: Fault, mariadb: MariaDB, redis_server: Redis) -> None:
    """`/readyz`, the log, the status page's data and the doctor: each in its words."""
    async with fault.made(Ground(mariadb, redis_server, QUICK)) as (places, broken), broken:
        told = await places.find(fault.wanted, limit=60)
    silent = {place: said.text for place, said in told.items() if said.seconds is None}
    assert silent == {}
