"""Two processes behind deploy/nginx.conf: restarted one after the other, and with Redis failing
twice, while agents and customers go on.
"""

import asyncio

import httpx
import pytest

from tests.kit.eventually import scaled
from tests.kit.mariadb import MariaDB
from tests.kit.processes import find_program
from tests.kit.redis import Redis
from tests.tools.load.rolling import Site, play, site

AGENTS = 60
OPTIONS: dict[str, object] = {
    "companies": 3,
    "pollers": 3,
    "webhooks-per-second": 15,
    "replies-per-minute": 60,
    "ramp": 1,
    "duration": 600,  # it ends when all has happened
}

pytestmark = [
    pytest.mark.xdist_group("load"),
    pytest.mark.timeout(scaled(240)),
    pytest.mark.skipif(
        find_program("nginx") is None, reason="nginx is not installed (Debian package nginx-light)"
    ),
]


def test_a_rolling_restart_is_noticed_by_nobody(mariadb: MariaDB, redis_server: Redis) -> None:
    """Every webhook is answered 200, every agent is asked to leave and resumes, nothing is lost,
    doubled or disordered.
    """
    with site(mariadb, redis_server, AGENTS) as place:
        report = play(place, Site.restart_each, OPTIONS)
    assert set(report["webhooksCounts"]) == {"200"}
    assert report["cutsCounts"]["drain"] >= AGENTS
    assert report["resetsCounts"] == {}
    assert report["invariants"] == {"lost": 0, "doubled": 0, "disordered": 0, "foreign": 0}


def test_redis_fails_twice_and_nothing_is_lost(mariadb: MariaDB, redis_server: Redis) -> None:
    """Agents of both processes stay connected; events between them come later."""
    with site(mariadb, redis_server, AGENTS) as place:
        report = play(place, Site.fail_redis_twice, OPTIONS)
    assert set(report["webhooksCounts"]) == {"200"}
    assert report["closesCounts"] == {}
    assert report["invariants"] == {"lost": 0, "doubled": 0, "disordered": 0, "foreign": 0}


async def test_nginx_keeps_from_the_public_what_is_not_theirs(
    mariadb: MariaDB, redis_server: Redis
) -> None:
    """Metrics and readiness are for the inside; a body above the limit is refused; guessing
    passwords is slowed down.
    """
    with site(mariadb, redis_server, 0) as place:
        async with httpx.AsyncClient(
            base_url=place.nginx.url, trust_env=False, timeout=scaled(60)
        ) as http:
            assert (await http.get("/livez")).status_code == 200
            assert (await http.get("/metrics")).status_code == 404
            assert (await http.get("/readyz")).status_code == 404
            assert (
                await http.post("/api/webhooks/chatwoot", content=b"x" * 6_000_000)
            ).status_code == 413
            body = {"email": "nobody@example.org", "password": "guess"}
            # at once: one after the other, a slow machine would be slow enough for the limit
            async with asyncio.TaskGroup() as group:
                guesses = [
                    group.create_task(http.post("/api/sessions", json=body)) for _ in range(40)
                ]
            assert {guess.result().status_code for guess in guesses} == {401, 429}
