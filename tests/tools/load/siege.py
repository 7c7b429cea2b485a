"""`python -m tests.tools.load.siege`: every kind of attacker at once against two processes on a
private MariaDB and Redis, without a proxy and behind deploy/nginx.conf, beside a company with
agents and customers; then what came of it, as a table.

The verdict: nothing of the victim's was read by others, all its messages arrived at its agents once
and in order, nobody was given what is not theirs, no answer 500, no traceback, memory and
descriptors bounded, both processes alive.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import itertools
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import argon2
import httpx

from server.core.times import SECOND, wall_now_us
from server.db import migrations
from server.db.access import agent_rows, integration_rows
from server.db.access.vault import Vault
from server.db.engine.database import Database
from tests.faults.cluster import COMPANY, Cluster, clustered
from tests.faults.crowd import crowd, wait_level
from tests.faults.lean_agent import LeanAgent
from tests.faults.oracle import check_crowd
from tests.faults.server_reports import readyz
from tests.faults.webhook_flow import message_payload
from tests.kit.eventually import eventually, scaled
from tests.kit.mariadb import MariaDB
from tests.kit.omni import SECRET_KEY, Omni
from tests.kit.redis import Redis
from tests.kit.socket_client import AgentSocket
from tests.kit.webhook import WEBHOOK_PATH, delivery_of
from tests.tools.load.attackers import (
    Haul,
    Leftovers,
    Target,
    attacking,
    be_agent,
    be_gone,
    be_neighbour,
    be_stranger,
)
from tests.tools.load.nginx import Nginx
from tests.tools.load.rude_chatwoot import RudeChatwoot, rude_chatwoot

NEIGHBOUR = 2
_ACCOUNT, _INBOX = 3, 12
_SECRET, _OLD_SECRET = "victims-webhook-secret", "what-it-was-before"  # gitleaks:allow
_PASSWORD, _EMAIL = "correct horse battery staple", "gone@example.org"
_EMAIL_DURING = "going@example.org"  # loses access in the middle of it
_MAX_MEMORY_BYTES, _SPARE_DESCRIPTORS = 1_000_000_000, 100
_UVICORNS_OWN = "Invalid UTF-8 sequence received from client.\nTraceback"


@dataclass
class Verdict:
    """Of one run; `faults` is empty when all held."""

    entry: str
    messages: int = 0
    median_seconds: float = 0.0
    p99_seconds: float = 0.0
    memory_bytes: int = 0
    descriptors: tuple[int, int] = (0, 0)
    hauls: list[Haul] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class Customers:
    """Write to the victim, each after the answer to the last message; `statuses` are those of the
    webhooks.
    """

    def __init__(self, target: Target, rate: float, count: int = 6) -> None:
        self.target = target
        self.rate = rate
        self.count = count
        self.sent: dict[str, float] = {}  # text -> monotonic seconds of its answer
        self.statuses: Counter[int] = Counter()
        self._ids = itertools.count(100_000)

    async def write(self, number: int, stopped: asyncio.Event) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=scaled(30)) as http:
            for turn in itertools.count(1):
                if stopped.is_set():
                    return
                text = f"{self.target.mark} c{number}-{turn}"
                payload = message_payload(text, number, next(self._ids))
                delivery = delivery_of(payload, secret=_SECRET)
                url = self.target.urls[number % len(self.target.urls)] + WEBHOOK_PATH
                answer = await http.post(url, content=delivery.body, headers=dict(delivery.headers))
                # nginx on a busy machine waits 4 s
                while answer.status_code in (502, 504) and not stopped.is_set():
                    answer = await http.post(
                        url, content=delivery.body, headers=dict(delivery.headers)
                    )
                self.statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    self.sent[text] = time.monotonic()
                await asyncio.sleep(self.count / self.rate)


async def play(cluster: Cluster, entry: str, seconds: float, agents: int) -> Verdict:
    """One run. `entry`: `direct` or `nginx`."""
    await asyncio.to_thread(migrations.upgrade, cluster.database_url)
    await _prepare(cluster)
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
        target = Target(tuple(urls), f"SECRET{secrets.token_hex(8)}", _ACCOUNT, _INBOX, _EMAIL)
        async with rude_chatwoot(_ACCOUNT, _INBOX) as rude:
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
    ports = [httpx.URL(url).port or 0 for url in target.urls]
    token = servers[0].token(COMPANY, "reader")
    people = [LeanAgent(ports, token, keeps_texts=True) for _ in range(agents)]
    customers, quiet = Customers(target, rate=20), asyncio.Event()
    held = await _enter(target, _EMAIL)
    left = await _withdraw(servers[0], target, held)
    later = await _enter(target, _EMAIL_DURING)
    before = [_descriptors(server) for server in servers]
    async with crowd(people), asyncio.TaskGroup() as group:
        for number in range(customers.count):
            group.create_task(customers.write(number, quiet))

        async def lose_access(stopped: asyncio.Event) -> None:
            """In the middle of all attacks, at both processes; afterwards they are an attacker like
            the other.
            """
            await asyncio.sleep(seconds / 4)
            left_later = await _withdraw(servers[0], target, later)
            await be_gone(
                dataclasses.replace(target, email=_EMAIL_DURING), left_later, going, stopped
            )

        mean, agent_token = (
            servers[0].token(NEIGHBOUR, "boss", role="admin"),
            servers[0].token(COMPANY, "sly", role="agent"),
        )
        attackers = [
            lambda stopped: be_stranger(target, stranger, stopped),
            lambda stopped: be_neighbour(target, mean, rude.url, neighbour, stopped),
            lambda stopped: be_agent(target, agent_token, agent, stopped),
            lambda stopped: be_gone(target, left, gone, stopped),
            lose_access,
        ]
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


def _judge(
    verdict: Verdict,
    customers: Customers,
    people: Sequence[LeanAgent],
    cluster: Cluster,
    rude: RudeChatwoot,
) -> None:
    for haul in verdict.hauls:
        verdict.faults += _faults_of(haul)
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
        verdict.faults += _faults_in(one.texts, customers.sent)[:3]
    late = sorted(
        max(0.0, at - customers.sent[text])
        for one in people
        for text, at in one.heard_at.items()
        if text in customers.sent
    )
    verdict.messages = len(customers.sent)
    verdict.median_seconds, verdict.p99_seconds = late[len(late) // 2], late[int(len(late) * 0.99)]


def _faults_of(haul: Haul) -> list[str]:
    faults = [f"{haul.name} read the victim's text at {leak}" for leak in haul.leaks[:3]]
    faults += [f"{haul.name} was given {what}" for what in haul.granted[:3]]
    if haul.statuses["500"]:
        faults.append(f"{haul.name} was answered 500, {haul.statuses['500']} times")
    # an attack that does not arrive proves nothing
    return faults if haul.statuses else [f"{haul.name} did nothing"]


def _faults_in(texts: Sequence[str], sent: Collection[str]) -> list[str]:
    """Of what an agent was shown: not a customer's, missing or out of order in its conversation."""
    last, faults = (
        Counter[str](),
        [
            f"an agent was shown what no customer wrote: {text}"
            for text in texts
            if text not in sent
        ],
    )
    for text in texts:
        conversation, _, number = text.partition("-")
        if text in sent and int(number) != last[conversation] + 1:
            faults.append(f"{text} after number {last[conversation]}")
        last[conversation] += 1
    return faults


async def _prepare(cluster: Cluster) -> None:
    """The victim's integration: signed, proved, its secret renewed a while ago; and a person who is
    to lose access.
    """
    now = wall_now_us()
    values = {"company_id": COMPANY, "account_id": _ACCOUNT, "inbox_id": _INBOX, "base_url": ""}
    values |= {
        "access_token": "token-of-a-chatwoot-agent",
        "webhook_secret": _SECRET,
        "unsigned": "refused",
        "proved_us": 2,
    }
    hashed = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(_PASSWORD)
    vault = Vault(SECRET_KEY)
    async with Database(cluster.database_url) as database:
        number = await database.transaction(
            lambda c: integration_rows.add_integration(c, vault, values, now)
        )
        old = {
            "previous_webhook_secret": vault.seal(_OLD_SECRET),
            "previous_secret_until": now - SECOND,
            "lease_until": 2**62,
        }
        await database.transaction(lambda c: integration_rows.update_integration(c, number, old))
        for email in (_EMAIL, _EMAIL_DURING):
            await database.transaction(
                lambda c, email=email: agent_rows.add_agent(  # type: ignore[misc]
                    c, COMPANY, email, "Ghost", "admin", hashed, now
                )
            )


@dataclass(frozen=True)
class _Held:
    """What somebody has while they have access."""

    number: int
    cookies: Mapping[str, str]
    invitations: tuple[str, ...]


async def _enter(target: Target, email: str) -> _Held:
    """Sign in, and make links for oneself and for another address."""
    async with target.client(0, 50) as browser:
        signed_in = await browser.post(
            "/api/sessions", json={"email": email, "password": _PASSWORD}
        )
        assert signed_in.status_code == 201, signed_in.text
        origin, links = {"Origin": target.urls[0]}, list[str]()
        for invited in (email, f"second-{email}"):
            body = {"email": invited, "name": "Ghost", "role": "admin"}
            made = await browser.post("/api/invitations", json=body, headers=origin)
            assert made.status_code == 201, f"{made.status_code} {made.text}"
            links.append(made.json()["link"].partition("token=")[2])
        return _Held(signed_in.json()["id"], dict(browser.cookies), tuple(links))


async def _withdraw(server: Omni, target: Target, held: _Held) -> Leftovers:
    """The end of everything somebody may hold, with a socket that is open."""
    boss = server.token(COMPANY, "boss", role="admin")
    header = "; ".join(f"{name}={value}" for name, value in held.cookies.items())
    socket_url = target.urls[0].replace("http", "ws", 1) + "/ws"
    async with target.client(0, 51, boss) as chief:
        async with AgentSocket(socket_url, cookie=header, origin=target.urls[0]) as socket:

            async def is_done() -> bool:
                answer = await chief.patch(f"/api/people/{held.number}", json={"isActive": False})
                # nginx on a busy machine waits 4 s
                assert answer.status_code in (204, 502, 504), answer.text
                return answer.status_code == 204

            await eventually(is_done, 30)
            await socket.wait_closed(limit=30)
        await eventually(lambda: _is_out(target, dict(held.cookies)), 30)
    token = server.token(COMPANY, f"local:{held.number}", role="admin")
    return Leftovers(token, held.cookies, _PASSWORD, held.invitations, _OLD_SECRET)


async def _is_out(target: Target, cookies: dict[str, str]) -> bool:
    """At each process."""
    statuses = []
    for turn in range(2):
        async with target.client(turn, 52, cookies=cookies) as http:
            statuses.append((await http.get("/api/me")).status_code)
    return statuses == [401, 401]


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


def as_table(verdicts: Sequence[Verdict]) -> str:
    """Markdown: one table for the victim, one for the attackers."""
    lines = [
        (
            "| entry | messages | at an agent, median | 99 of 100 | memory | descriptors before, "
            "after | verdict |"
        ),
        "| --- " * 7 + "|",
    ]
    for one in verdicts:
        facts = (
            f"{one.messages} | {one.median_seconds * 1e3:.0f} ms | {one.p99_seconds * 1e3:.0f} "
            f"ms | {one.memory_bytes / 1e6:.0f} MB"
        )
        lines.append(
            f"| {one.entry} | {facts} | {one.descriptors[0]}, {one.descriptors[1]} | "
            f"{'; '.join(one.faults) or 'held'} |"
        )
    lines += ["", "| entry | attacker | received | was answered |", "| --- " * 4 + "|"]
    for one in verdicts:
        for haul in one.hauls:
            answers = ", ".join(
                f"{status}: {count:,}" for status, count in haul.statuses.most_common()
            )
            lines.append(
                f"| {one.entry} | {haul.name} | {haul.bytes_received / 1e6:.1f} MB | {answers} |"
            )
    return "\n".join(lines)


async def _play_both(
    mariadb: MariaDB, redis: Redis, entries: Sequence[str], seconds: float, agents: int
) -> list[Verdict]:
    verdicts = []
    for entry in entries:
        with tempfile.TemporaryDirectory(prefix="omni-siege-") as directory:
            async with clustered(Cluster(Path(directory), mariadb, redis)) as cluster:
                verdicts.append(await play(cluster, entry, seconds, agents))
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
            _play_both(
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
