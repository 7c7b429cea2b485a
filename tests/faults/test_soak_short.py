"""The soak in its short form; the long one is `make soak`."""

import random

import pytest

from tests.soak.run import Plan, soak


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_short_soak() -> None:
    """Row 50: half a minute of mixed traffic under random kills: nothing lost, doubled or out of order."""
    seed = random.SystemRandom().randrange(10**6)
    accounts = await soak(Plan(minutes=0.5, agents=20, seed=seed, fault_every_seconds=4.0), print)
    print(*accounts.rows, sep="\n")
    assert not accounts.wrong, f"seed {seed}: {accounts.wrong}"
