"""The kinds of fault that a soak knows. Each strikes, lasts, and puts right what it did; it returns
what it was, or None when it could not.

`pace` is how long things last: 1.0 for the long soak, less for the short one.
"""

import asyncio
import contextlib
import random
import re
import sqlite3
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from server.db.journal.damaged_spool import found_aside, is_read
from tests.kit.clocks import can_step_clocks
from tests.kit.mariadb import PASSWORD, PLAIN_USER, USER
from tests.kit.processes import ServerProcess
from tests.tools.soak.site import (
    START_SECONDS,
    Node,
    Site,
    Tenant,
)

Strike = Callable[[Site, random.Random, float], Awaitable[str | None]]

_HOUR = 3600.0
_CATCHES_MOST = 40
# what was on its way has arrived, and MariaDB's list of transactions is no older than this
_SETTLED_SECONDS = 0.25
_SMALL_PACKET = 1_048_576  # max_allowed_packet of many an old my.cnf
_MESSAGE = re.compile(r"message \d+ of \d+")  # as the customers write them
_LONG_TEXT = "🐦" * 80_000  # four bytes each; four such messages do not fit into one packet


@dataclass(frozen=True)
class Kind:
    """A kind of fault, and how often it comes in a deck that holds each at least once."""

    name: str
    strike: Strike
    weight: int = 1


# processes


async def kill_server(site: Site, rng: random.Random, pace: float) -> str:
    node = rng.choice(site.nodes)
    await asyncio.to_thread(node.server.kill9)
    async with _spool_out_of_reach(site, node):
        await asyncio.sleep(rng.uniform(0.0, 4.0) * pace)
        await asyncio.to_thread(node.server.start, START_SECONDS)
    return node.name


async def freeze_server(site: Site, rng: random.Random, pace: float) -> str:
    node = rng.choice(site.nodes)
    node.server.freeze()
    seconds = rng.uniform(0.5, 6.0) * pace
    async with _spool_out_of_reach(site, node):
        await asyncio.sleep(seconds)
        node.server.thaw()
    return f"{node.name}, {seconds:.1f} s"


async def stop_in_transaction(site: Site, rng: random.Random, pace: float) -> str | None:
    """It holds locks, and does nothing; its connections live."""
    node = rng.choice(site.nodes)
    if not await _caught_in_transaction(site, node, rng):
        return None
    seconds = rng.uniform(4.0, 20.0) * pace
    async with _spool_out_of_reach(site, node):
        await asyncio.sleep(seconds)
        node.server.thaw()
    return f"{node.name}, {seconds:.1f} s"


async def power_loss_in_transaction(site: Site, rng: random.Random, pace: float) -> str | None:
    """It holds locks and is gone; MariaDB hears nothing of that. Another process takes its
    place.
    """
    node = rng.choice(site.nodes)
    if not await _caught_in_transaction(site, node, rng):
        return None
    left = node.database.lose_clients()
    await asyncio.to_thread(node.server.kill9)
    async with _spool_out_of_reach(site, node):
        await asyncio.sleep(rng.uniform(0.0, 6.0) * pace)
        await asyncio.to_thread(node.server.start, START_SECONDS)
    return f"{node.name}, {left} connections left behind"


@contextlib.asynccontextmanager
async def _spool_out_of_reach(site: Site, node: Node) -> AsyncIterator[None]:
    """What a process has in its own spool nobody else can tell while it does nothing."""
    texts = await asyncio.to_thread(_spooled_texts, node)
    with site.meter.excused(f"in the spool of {node.name}", texts=texts):
        yield


def _spooled_texts(node: Node) -> frozenset[str]:
    # damaged, full, or not there yet
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{node.spool}?mode=ro", uri=True)) as spool,
    ):
        rows = spool.execute("SELECT delivery FROM spooled_deliveries").fetchall()
        return frozenset(text for (row,) in rows for text in _MESSAGE.findall(row))
    return frozenset()


async def _caught_in_transaction(site: Site, node: Node, rng: random.Random) -> bool:
    """Stop the process at a moment in which one of its transactions holds locks. It runs again when
    that did not come about.
    """
    node.database.delay_seconds = 0.02  # a transaction takes a little longer, so that it can be met
    try:
        for _ in range(_CATCHES_MOST):
            await asyncio.sleep(rng.uniform(0.05, 0.25))
            node.server.freeze()
            await asyncio.sleep(_SETTLED_SECONDS)
            with contextlib.suppress(pymysql.err.MySQLError):
                if await asyncio.to_thread(_holds_locks, site, node.database.server_side_ports()):
                    site.meter.note_death()
                    return True
            node.server.thaw()
    finally:
        node.database.delay_seconds = 0.0
    return False


def _holds_locks(site: Site, ports: set[int]) -> bool:
    rows = site.cluster.mariadb.sql(
        "SELECT p.host FROM information_schema.innodb_trx t JOIN information_schema.processlist p "
        "ON p.id = t.trx_mysql_thread_id WHERE t.trx_rows_locked > 0"
    )
    return any(int(row["host"].rpartition(":")[2]) in ports for row in rows)


async def lose_database(site: Site, rng: random.Random, pace: float) -> str:
    """One process cannot reach MariaDB; the other one can."""
    node = rng.choice(site.nodes)
    async with _without_database(site, node):
        seconds = rng.uniform(2.0, 12.0) * pace
        await asyncio.sleep(seconds)
    return f"{node.name}, {seconds:.1f} s"


@contextlib.asynccontextmanager
async def _without_database(site: Site, node: Node) -> AsyncIterator[None]:
    """What comes to that process meanwhile waits in its spool: as nobody sees which one took a
    webhook, all may wait.
    """
    with site.meter.excused(f"{node.name} without its database"):
        node.database.refuse_new()
        node.database.cut_all()
        try:
            yield
        finally:
            node.database.accept_new()


# parts


def _killing(victim_of: Callable[[Site], ServerProcess], excuse: str | None) -> Strike:
    async def strike(site: Site, rng: random.Random, pace: float) -> str:
        seconds = rng.uniform(0.0, 4.0) * pace
        with site.meter.excused(excuse) if excuse else contextlib.nullcontext():
            await asyncio.to_thread(victim_of(site).kill)
            await asyncio.sleep(seconds)
            await asyncio.to_thread(victim_of(site).start)
        return f"{seconds:.1f} s"

    return strike


def _freezing(victim_of: Callable[[Site], ServerProcess], excuse: str | None) -> Strike:
    async def strike(site: Site, rng: random.Random, pace: float) -> str:
        seconds = rng.uniform(0.5, 10.0) * pace
        with site.meter.excused(excuse) if excuse else contextlib.nullcontext():
            victim_of(site).freeze()
            await asyncio.sleep(seconds)
            victim_of(site).thaw()
        return f"{seconds:.1f} s"

    return strike


def _redis(site: Site) -> ServerProcess:
    return site.cluster.redis


def _mariadb(site: Site) -> ServerProcess:
    return site.cluster.mariadb


# conditions


async def step_clock(site: Site, rng: random.Random, pace: float) -> str | None:
    """Ahead or behind, by as much as the skew between two machines or as a clock that was never
    set; and back again.
    """
    if not can_step_clocks():
        return None
    node = rng.choice(site.nodes)
    seconds = rng.choice([-1.0, 1.0]) * rng.choice(
        [rng.uniform(20.0, 120.0), rng.uniform(120.0, _HOUR), _HOUR]
    )
    node.clock.set(seconds)
    await asyncio.sleep(rng.uniform(5.0, 25.0) * pace)
    node.clock.set(0.0)
    return f"{node.name}, {seconds:+.0f} s"


async def still_chatwoot(site: Site, rng: random.Random, pace: float) -> str:
    """It takes requests and does not begin; then it works them off, also those whose senders have
    gone.
    """
    seconds = rng.uniform(4.0, 40.0) * pace
    site.chatwoot.freeze()
    await asyncio.sleep(seconds)
    site.chatwoot.thaw()
    return f"{seconds:.0f} s"


async def long_messages(site: Site, rng: random.Random, pace: float) -> str:
    """Messages that fit into a packet one by one and not together."""
    default = await _sql(site, "SELECT @@GLOBAL.max_allowed_packet AS n")
    await _sql(site, f"SET GLOBAL max_allowed_packet = {_SMALL_PACKET}")
    try:
        # a session keeps the size it began with
        await asyncio.to_thread(site.cluster.mariadb.drop_connections, PLAIN_USER)
        count = rng.randint(4, 6)
        for number in range(count):
            tenant = rng.choice(site.tenants)
            site.sim.customer_says(
                f"Customer {number}",
                f"long {uuid.uuid4().hex} {_LONG_TEXT}",
                inbox_id=tenant.inbox.id,
            )
        await asyncio.sleep(10.0 * pace)
    finally:
        with contextlib.suppress(pymysql.err.MySQLError):
            await _sql(site, f"SET GLOBAL max_allowed_packet = {default[0]['n']}")
            await asyncio.to_thread(site.cluster.mariadb.drop_connections, PLAIN_USER)
    return f"{count} of them"


_UNREADABLE = (  # headers and body of a journal's row
    ('{"x-chatwoot-delivery": "cut in the mid', "{}"),
    ("[1, 2]", "{}"),
    ("{}", '{"event": "message_created", "account": {"id": 3'),
    ("{}", ""),
    ("{}", "[" * 5000),
    ("{}", '{"event": "message_created", "id": 1e400, "account": {"id": 3}}'),
)


async def unreadable_row(site: Site, rng: random.Random, pace: float) -> str:
    """The journal holds what nobody can read."""
    headers, body = rng.choice(_UNREADABLE)
    await asyncio.to_thread(
        site.cluster.sql,
        "INSERT INTO omni_webhook_deliveries (uid, received_at, headers, body) VALUES (%s, "
        "UNIX_TIMESTAMP() * 1000000, %s, %s)",
        uuid.uuid4().hex,
        headers,
        body,
    )
    site.broken_rows += 1
    await asyncio.sleep(pace)
    return f"headers {headers[:20]!r}, body {body[:20]!r}"


async def read_only(site: Site, rng: random.Random, pace: float) -> str:
    """The primary was demoted, and its connections live on."""
    seconds = rng.uniform(2.0, 10.0) * pace
    with site.meter.excused("read_only"):
        await _sql(site, "SET GLOBAL read_only = 1")
        try:
            await asyncio.sleep(seconds)
        finally:
            # a server that was restarted meanwhile has forgotten it
            with contextlib.suppress(pymysql.err.MySQLError):
                await _sql(site, "SET GLOBAL read_only = 0")
    return f"{seconds:.1f} s"


async def hold_company(site: Site, rng: random.Random, pace: float) -> str | None:
    """Another client of the database works in a company's row for a while."""
    tenant = rng.choice(site.tenants)
    seconds = rng.uniform(5.0, 60.0) * pace
    with site.meter.excused("its row is held", tenant.id):
        held = await asyncio.to_thread(_lock_row, site, tenant)
        try:
            await asyncio.sleep(seconds)
        finally:
            await asyncio.to_thread(held.close)
    return f"company {tenant.id}, {seconds:.0f} s"


def _lock_row(site: Site, tenant: Tenant) -> "pymysql.Connection[Any]":
    connection: pymysql.Connection[Any] = pymysql.connect(
        host="127.0.0.1",
        port=site.cluster.mariadb.port,
        user=USER,
        password=PASSWORD,
        database=site.cluster.database_name,
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT head FROM omni_inbox_streams WHERE company_id = %s FOR UPDATE", (tenant.id,)
        )
    return connection


async def full_spool(site: Site, rng: random.Random, pace: float) -> str:
    """Deliveries wait in the spool, its disk fills, and the database is well again."""
    node = rng.choice(site.nodes)
    async with _without_database(site, node):
        await asyncio.sleep(1.5)
        pid = node.server.process.pid
        await asyncio.to_thread(node.disk.fill, pid)
    await asyncio.sleep(5.0 + 15.0 * pace)
    with contextlib.suppress(ProcessLookupError):  # killed meanwhile, and its limit with it
        await asyncio.to_thread(node.disk.free, pid)
    return node.name


async def damaged_spool(site: Site, rng: random.Random, pace: float) -> str:
    """The spool's file is overwritten with rubbish, while deliveries wait in it."""
    node = rng.choice(site.nodes)
    with site.meter.excused("damaged spool", grace_seconds=25.0):  # reconcile finds what was in it
        async with _without_database(site, node):
            await asyncio.sleep(1.5)
            await asyncio.to_thread(_damage, node)
    await asyncio.sleep(5.0 + 10.0 * pace)
    await asyncio.to_thread(remove_read_ones, node)
    return node.name


def remove_read_ones(node: Node) -> None:
    """As an operator does, after a look: while a damaged file lies there, `/readyz` speaks of
    it.
    """
    for aside in found_aside(node.spool):
        if is_read(aside):
            for end in ("-wal", "-shm", ""):
                Path(f"{aside}{end}").unlink(missing_ok=True)


def _damage(node: Node) -> None:
    with node.spool.open("r+b") as file:
        file.write(b"rubbish " * 2048)


async def _sql(site: Site, text: str) -> list[dict[str, int]]:
    return await asyncio.to_thread(site.cluster.mariadb.sql, text)


PROCESSES_AND_PARTS = (
    Kind("kill -9 a server", kill_server, 3),
    Kind("freeze a server", freeze_server),
    Kind("stop a server in a transaction", stop_in_transaction, 2),
    Kind("power loss in a transaction", power_loss_in_transaction, 2),
    Kind("kill -9 Redis", _killing(_redis, None)),
    Kind("freeze Redis", _freezing(_redis, None)),
    Kind("kill -9 MariaDB", _killing(_mariadb, "MariaDB killed"), 2),
    Kind("freeze MariaDB", _freezing(_mariadb, "MariaDB frozen")),
)
CONDITIONS = (
    Kind("step a clock", step_clock, 2),
    Kind("Chatwoot stands still", still_chatwoot),
    Kind("long messages, small packets", long_messages),
    Kind("unreadable row in the journal", unreadable_row),
    Kind("read-only primary", read_only),
    Kind("another client holds a company's row", hold_company),
    Kind("a server loses its database", lose_database),
    Kind("full disk of a spool", full_spool),
    Kind("damaged spool", damaged_spool),
)
