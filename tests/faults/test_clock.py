"""The wall clock of a server jumps: cursors, order and sockets have nothing to do with it."""

import asyncio
import struct
import time
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from server.db import migrations
from tests.faults.cluster import ACCOUNT, COMPANY, Cluster, clustered
from tests.faults.crowd import crowd, crowd_of, follow, wait_level
from tests.faults.oracle import check_crowd, check_stored, wait_drained
from tests.faults.server_reports import wait_ready
from tests.faults.webhook_flow import Flow
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.socket_client import AgentSocket
from tests.kit.webhook import delivery_of, simple_payload

_HOUR = 3600.0
_FOLDER = Path(__file__).parent / "clock"


def _set_clock(file: Path, seconds: float) -> None:
    with file.open("r+b") as clock:  # in place: the server has it mapped
        clock.write(struct.pack("d", seconds))


async def test_the_server_s_clock_jumps(cluster: Cluster, tmp_path: Path) -> None:
    """Row 49: one of two processes an hour ahead, then an hour behind, while webhooks come: every
    event once and in order, no reset, no socket lost, and both processes go on with everything they
    do.
    """
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("d", 0.0))
    async with clustered(cluster):
        await cluster.prepare()
        wrong = cluster.add_server(env={"PYTHONPATH": str(_FOLDER), "OMNI_TEST_CLOCK": str(clock)})
        servers = [wrong, cluster.add_server()]
        await cluster.start(*servers)
        flow = Flow(servers)
        async with crowd(crowd_of(servers, 4)) as agents:
            for seconds in (0.0, _HOUR, -_HOUR, 0.0):
                _set_clock(clock, seconds)
                await flow.run(0.7)
                await _wait_jumped(wrong, seconds)
                await wait_drained(cluster, flow)
                await wait_level(agents, cluster.head)
                for server in servers:
                    await wait_ready(server)
            check_crowd(agents, cluster.check_log())
            assert all(agent.welcomes.total() == 1 for agent in agents)
        check_stored(cluster, flow)
        assert set(flow.statuses()) == {200}
        received = [
            int(row["received_at"]) // 1_000_000
            for row in cluster.sql("SELECT received_at FROM omni_webhook_deliveries")
        ]
        assert max(received) - min(received) < _HOUR / 2, (
            "deliveries are received by the database's clock"
        )


async def _wait_jumped(server: Omni, seconds: float) -> None:
    """Until the `Date` of an answer is off by as much."""

    async def has_jumped() -> bool:
        async with server.client() as http:
            date = (await http.get("/livez")).headers["date"]
        return abs(parsedate_to_datetime(date).timestamp() - time.time() - seconds) < _HOUR / 2

    await eventually(has_jumped, limit=30)


@pytest.mark.parametrize("seconds", [_HOUR, -_HOUR])
async def test_a_signature_is_judged_by_the_database_s_clock(
    cluster: Cluster, tmp_path: Path, seconds: float
) -> None:
    """Chatwoot says when it signed, and never sends again: where this machine's clock is wrong,
    every webhook would be refused and lost.
    """
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("d", seconds))
    async with clustered(cluster):
        await asyncio.to_thread(migrations.upgrade, cluster.database_url)
        await cluster.add_integration("", "token-of-a-chatwoot-agent", webhook_secret="a-secret")
        wrong = cluster.add_server(env={"PYTHONPATH": str(_FOLDER), "OMNI_TEST_CLOCK": str(clock)})
        await cluster.start(wrong)
        delivery = delivery_of(
            simple_payload(account_id=ACCOUNT), secret="a-secret", timestamp=int(time.time())
        )
        async with wrong.client() as http:
            answer = await delivery.post(http)
        assert answer.status_code == 200, answer.text
        await eventually(
            lambda: cluster.sql("SELECT COUNT(*) AS n FROM social_messages")[0]["n"] == 1, limit=30
        )


@pytest.mark.parametrize("seconds", [_HOUR, -_HOUR])
async def test_a_token_ends_by_the_database_s_clock(
    cluster: Cluster, tmp_path: Path, seconds: float
) -> None:
    """Also at a machine whose clock is an hour off: good for half an hour is good there, socket and
    all; what has ended has ended.
    """
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("d", seconds))
    async with clustered(cluster):
        await cluster.prepare()
        wrong = cluster.add_server(env={"PYTHONPATH": str(_FOLDER), "OMNI_TEST_CLOCK": str(clock)})
        await cluster.start(wrong)
        for hours, status in ((0.5, 200), (-0.5, 401)):
            for _ in range(2):  # the second time from memory
                async with wrong.client(
                    wrong.token(COMPANY, "first", hours=hours, iat=None)
                ) as http:
                    assert (await http.get("/api/me")).status_code == status
        async with AgentSocket(
            wrong.ws_url, token=wrong.token(COMPANY, "first", hours=0.5, iat=None)
        ) as agent:
            until = datetime.fromisoformat(agent.welcome["expiresAt"]) - datetime.fromisoformat(
                agent.welcome["now"]
            )
            assert abs(until.total_seconds() - 1_800) < 600
            await agent.wait_for_frame("ping", known=len(agent.frames_of("ping")), limit=60)
            assert agent.is_open
        ending = wrong.token(COMPANY, "first", iat=None, exp=int(time.time()) + 5)
        async with AgentSocket(wrong.ws_url, token=ending) as agent:
            assert await agent.wait_closed(limit=60) == 4205


@pytest.mark.parametrize("hours", [25.0, -25.0])
async def test_a_replaced_secret_ends_by_the_database_s_clock(
    cluster: Cluster, tmp_path: Path, hours: float
) -> None:
    """What Chatwoot has queued with the old one is taken for a day, wherever it was replaced:
    refused, it would be lost.
    """
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("d", hours * _HOUR))
    async with clustered(cluster):
        await asyncio.to_thread(migrations.upgrade, cluster.database_url)
        number = await cluster.add_integration(
            "", "token-of-a-chatwoot-agent", webhook_secret="a-secret"
        )
        wrong = cluster.add_server(env={"PYTHONPATH": str(_FOLDER), "OMNI_TEST_CLOCK": str(clock)})
        await cluster.start(wrong)
        async with wrong.client(wrong.token(COMPANY, "chief", role="admin", iat=None)) as http:
            changed = await http.patch(
                f"/api/integrations/{number}", json={"webhookSecret": "another-secret"}
            )
            assert changed.status_code == 200, changed.text
            [row] = cluster.sql(
                "SELECT omni_previous_secret_until AS ends FROM integrations WHERE id = %s", number
            )
            assert abs(row["ends"] / 1e6 - time.time() - 24 * _HOUR) < _HOUR
            for secret in ("a-secret", "another-secret"):
                delivery = delivery_of(
                    simple_payload(account_id=ACCOUNT), secret=secret, timestamp=int(time.time())
                )
                assert (await delivery.post(http)).status_code == 200


@pytest.mark.parametrize("seconds", [_HOUR, -_HOUR])
async def test_access_is_withdrawn_by_a_clock_that_is_wrong(
    cluster: Cluster, tmp_path: Path, seconds: float
) -> None:
    """Rows 45 and 49: the command runs where the clock is an hour off: sockets at that process and
    at the other are closed all the same.
    """
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("d", seconds))
    async with clustered(cluster):
        await cluster.prepare()
        wrong = cluster.add_server(env={"PYTHONPATH": str(_FOLDER), "OMNI_TEST_CLOCK": str(clock)})
        right = cluster.add_server()
        await cluster.start(wrong, right)
        async with follow(right, "first") as first, follow(right, "second") as second:
            # what the wrong clock has written must not hide what comes after it
            for agent, server in ((first, wrong), (second, right)):
                number = str(agent.welcome["agent"]["id"])
                done = await asyncio.to_thread(server.cli, "agent", "disable", "--agent-id", number)
                assert done.returncode == 0, done.stderr
                assert await agent.wait_closed(limit=5) == 4003


async def test_a_sign_out_by_a_clock_that_is_ahead_keeps_nobody_out(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Row 58: who signs in after it is let in at once, not when that clock's moment has come."""
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("d", _HOUR))
    async with clustered(cluster):
        await cluster.prepare()
        wrong = cluster.add_server(env={"PYTHONPATH": str(_FOLDER), "OMNI_TEST_CLOCK": str(clock)})
        right = cluster.add_server()
        await cluster.start(right)
        async with follow(right, "first") as agent:
            done = await asyncio.to_thread(
                wrong.cli, "agent", "sign-out", "--agent-id", str(agent.welcome["agent"]["id"])
            )
            assert done.returncode == 0, done.stderr
            assert await agent.wait_closed(limit=15) in (4003, 4205)

        async def is_let_in() -> bool:
            # its time is in whole seconds
            async with right.client(right.token(COMPANY, "first")) as http:
                return (await http.get("/api/conversations")).status_code == 200

        await eventually(is_let_in, limit=30)
