"""The soak in its short form; the long one is `make soak`."""

import pytest

from tests.tools.soak.run import Plan, soak

_RATES = ((4.0, 0.5), (0.5, 0.1), (0.5, 0.1))


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_short_soak() -> None:
    """Rows 50, 54, 55, 57, 58, 60, 61 and 64: three companies, and faults of every kind one after
    the other, in two streams: nothing lost, doubled or out of order, and every reply once.
    """
    plan = Plan(0.0, 12, 7, _RATES, fault_every_seconds=1.0, pace=0.15, judges_times=False)
    accounts = await soak(plan, print)
    print(*accounts.rows, sep="\n")
    assert not accounts.wrong, f"seed {plan.seed}: {accounts.wrong}"
