"""`python -m tests.tools.load.siege`: every kind of attacker at once against two processes on a
private MariaDB and Redis, without a proxy and behind deploy/nginx.conf, beside a company with
agents and customers; then what came of it, as a table.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from server.db import migrations
from tests.faults.cluster import COMPANY, Cluster, clustered
from tests.faults.crowd import crowd, wait_level
from tests.faults.lean_agent import LeanAgent
from tests.faults.oracle import check_crowd
from tests.faults.server_reports import readyz
from tests.kit.eventually import eventually
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni
from tests.kit.redis import Redis
from tests.tools.load.attackers import Attacker, Haul, Target, attacking
from tests.tools.load.insiders import be_agent, be_gone
from tests.tools.load.neighbours import be_neighbour
from tests.tools.load.nginx import Nginx
from tests.tools.load.rude_chatwoot import RudeChatwoot, rude_chatwoot
from tests.tools.load.siege_verdict import Verdict, as_table, faults_in_delivery, faults_of_attacker
from tests.tools.load.siege_victim import (
    ACCOUNT,
    EMAIL,
    EMAIL_DURING,
    INBOX,
    Customers,
    prepare_victim,
    sign_in,
    withdraw_access,
)
from tests.tools.load.strangers import be_stranger

NEIGHBOUR = 2
_MAX_MEMORY_BYTES, _SPARE_DESCRIPTORS = 1_000_000_000, 100
_UVICORNS_OWN = "Invalid UTF-8 sequence received from client.\nTraceback"


async def run_siege(cluster: Cluster, entry: str, seconds: float, agents: int) -> Verdict:
    """One run. `entry`: `direct` or `nginx`."""
    await asyncio.to_thread(migrations.upgrade, cluster.database_url)
    await prepare_victim(cluster)
    servers = [
        cluster.add_server(env={"TRUSTED_PROXIES": "127.0.0.1", "CHATWOOT_TIMEOUT_SECONDS": "3"})
        for _ in range(2)
    ]
    with contextlib.ExitStack() as stack:
        urls = [server.base_url for server in servers]
        if entry == "nginx":
            nginx = Nginx([server.port for server in servers])
            stack.callback(nginx.close)
            urls = [nginx.url]
        for server in servers:
            assert server.process.env is not None
            server.process.env["PUBLIC_URL"] = urls[0]
        await cluster.start(*servers)
        if entry == "nginx":
            await asyncio.to_thread(nginx.start)
        target = Target(tuple(urls), f"SECRET{secrets.token_hex(8)}", ACCOUNT, INBOX, EMAIL)
        async with rude_chatwoot(ACCOUNT, INBOX) as rude:
            return await _besieged(cluster, servers, target, rude, Verdict(entry), seconds, agents)


async def _besieged(
    cluster: Cluster,
    servers: list[Omni],
    target: Target,
    rude: RudeChatwoot,
    verdict: Verdict,
    seconds: float,
    agents: int,
) -> Verdict:
    ports = [httpx.URL(url).port or 0 for url in target.urls]
    token = servers[0].token(COMPANY, "reader")
    people = [LeanAgent(ports, token, keeps_texts=True) for _ in range(agents)]
    customers, quiet = Customers(target, rate=20), asyncio.Event()
    attackers = await _attackers(servers[0], target, rude, verdict, seconds)
    before = [_descriptors(server) for server in servers]
    async with crowd(people), asyncio.TaskGroup() as group:
        for number in range(customers.count):
            group.create_task(customers.write(number, quiet))
        async with attacking(attackers):
            verdict.memory_bytes = await _most_memory(servers, seconds)
            verdict.faults += await _unwell(servers)
        quiet.set()
        await wait_level(people, cluster.head, limit=60)
        await eventually(
            lambda: all(set(customers.sent) <= set(one.heard_at) for one in people), 60
        )
    _judge(verdict, customers, people, cluster, rude)
    after = await eventually(lambda: _settled(servers, before), 60)
    verdict.descriptors = (max(before), max(after))
    verdict.faults += [
        f"traceback: {server.log[-3_000:]}"
        for server in servers
        if "Traceback" in server.log.replace(_UVICORNS_OWN, "")
    ]
    return verdict


async def _attackers(
    server: Omni, target: Target, rude: RudeChatwoot, verdict: Verdict, seconds: float
) -> list[Attacker]:
    """One of each kind, with a haul each in the verdict."""
    names = (
        "a stranger",
        "another company's administrator",
        "an agent",
        "access withdrawn",
        "access withdrawn meanwhile",
    )
    stranger, neighbour, agent, gone, going = verdict.hauls = [
        Haul(name, target.mark) for name in names
    ]
    held = await sign_in(target, EMAIL)
    left = await withdraw_access(server, target, held)
    later = await sign_in(target, EMAIL_DURING)

    async def lose_access(stopped: asyncio.Event) -> None:
        """In the middle of all attacks, at both processes; afterwards they are an attacker like the
        other.
        """
        await asyncio.sleep(seconds / 4)
        left_later = await withdraw_access(server, target, later)
        await be_gone(dataclasses.replace(target, email=EMAIL_DURING), left_later, going, stopped)

    mean = server.token(NEIGHBOUR, "boss", role="admin")
    agent_token = server.token(COMPANY, "sly", role="agent")
    return [
        lambda stopped: be_stranger(target, stranger, stopped),
        lambda stopped: be_neighbour(target, mean, rude.url, neighbour, stopped),
        lambda stopped: be_agent(target, agent_token, agent, stopped),
        lambda stopped: be_gone(target, left, gone, stopped),
        lose_access,
    ]


def _judge(
    verdict: Verdict,
    customers: Customers,
    people: Sequence[LeanAgent],
    cluster: Cluster,
    rude: RudeChatwoot,
) -> None:
    for haul in verdict.hauls:
        verdict.faults += faults_of_attacker(haul)
    if set(customers.statuses) != {200}:
        verdict.faults.append(f"webhooks of the victim's customers: {dict(customers.statuses)}")
    if rude.private_requests:
        verdict.faults.append(
            f"{rude.private_requests} redirects to a private address were followed"
        )
    if verdict.memory_bytes > _MAX_MEMORY_BYTES:
        verdict.faults.append(f"{verdict.memory_bytes / 1e6:.0f} MB of memory")
    try:
        check_crowd(people, cluster.check_log())
    except AssertionError as error:
        verdict.faults.append(str(error))
    for one in people:
        verdict.faults += faults_in_delivery(one.texts, customers.sent)[:3]
    late = sorted(
        max(0.0, at - customers.sent[text])
        for one in people
        for text, at in one.heard_at.items()
        if text in customers.sent
    )
    verdict.messages = len(customers.sent)
    verdict.median_seconds, verdict.p99_seconds = late[len(late) // 2], late[int(len(late) * 0.99)]


async def _most_memory(servers: Sequence[Omni], seconds: float) -> int:
    most, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        most = max(most, *(_resident(server) for server in servers))
        await asyncio.sleep(0.2)
    return most


def _resident(server: Omni) -> int:
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096


def _descriptors(server: Omni) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def _settled(servers: Sequence[Omni], before: Sequence[int]) -> list[int]:
    """Descriptors once the attackers' have been given back."""
    found = [_descriptors(server) for server in servers]
    assert all(now <= then + _SPARE_DESCRIPTORS for now, then in zip(found, before, strict=True)), (
        before,
        found,
    )
    return found


async def _unwell(servers: Sequence[Omni]) -> list[str]:
    """What /readyz says in the middle of it that no attacker should be able to bring about."""
    reports = [await readyz(server) for server in servers]
    bad = [
        report
        for report in reports
        if report["status"] == "unavailable"
        or any("died" in str(one) for one in report["problems"])
    ]
    return [f"/readyz: {report}" for report in bad]


async def _run_all(
    mariadb: MariaDB, redis: Redis, entries: Sequence[str], seconds: float, agents: int
) -> list[Verdict]:
    verdicts = []
    for entry in entries:
        with tempfile.TemporaryDirectory(prefix="omni-siege-") as directory:
            async with clustered(Cluster(Path(directory), mariadb, redis)) as cluster:
                verdicts.append(await run_siege(cluster, entry, seconds, agents))
    return verdicts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.load.siege", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--agents", type=int, default=20)
    parser.add_argument("--entry", action="append", choices=("direct", "nginx"))
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        mariadb, redis = MariaDB(), Redis()
        for part in (mariadb, redis):
            stack.callback(part.close)
            part.start()
        verdicts = asyncio.run(
            _run_all(
                mariadb,
                redis,
                options.entry or ("direct", "nginx"),
                options.seconds,
                options.agents,
            )
        )
    print(as_table(verdicts))
    return 1 if any(one.faults for one in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
