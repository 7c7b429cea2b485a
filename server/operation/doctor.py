"""Examines everything a process runs on: database, bus, disks, limits, clocks, keys. Changes
nothing.

`omni-inbox doctor` prints all of it; a serving process looks once after its start, and logs what is
not well.
"""

import asyncio
import os
import resource
import time
from pathlib import Path

from server.core.checks import host_checks, security_checks
from server.core.checks.integration_checks import Finding
from server.db import server_variables as database_facts
from server.db.access import integration_rows, own_token_rows
from server.db.access.exposure import read_exposure
from server.db.access.integration_record import GRANDFATHERED
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.db.engine.private_files import is_shared
from server.db.migrations import schema_problem
from server.db.schema import crm_triggers
from server.errors import OmniError
from server.live.bus_redis import read_facts
from server.problems import Problem
from server.settings import (
    Settings,
    sqlite_path,
    wants_encryption,
)
from server.settings.setting_checks import JWT_SECRET_MIN_BYTES, SECRET_KEY_MIN_BYTES


async def examine(settings: Settings, database: Database, processes: int) -> list[Finding]:
    """`processes`: how many share this database, for the sum of their pools."""
    return [
        *look_at_process(settings),
        *await _look_at_database(settings, database, processes),
        *await _look_at_bus(settings),
    ]


async def examine_security(settings: Settings, database: Database) -> list[Finding]:
    """Whether all is closed that should be: keys, encryption, files, signatures, addresses."""
    return [
        host_checks.judge_key(settings.secret_key, SECRET_KEY_MIN_BYTES),
        host_checks.judge_address(settings.host, settings.public_url, settings.base_url),
        security_checks.judge_database_encryption(
            settings.database_url, is_encrypted=wants_encryption(settings.database_url)
        ),
        *security_checks.judge_bus(settings.broadcast_url),
        security_checks.judge_files(
            [str(path) for path in _private_paths(settings) if is_shared(path)]
        ),
        security_checks.judge_user(os.geteuid()),
        security_checks.judge_operation(
            has_token=bool(settings.operation_token), host=settings.host
        ),
        security_checks.judge_private_addresses(
            are_all_allowed=settings.chatwoot_allow_private, hosts=settings.private_hosts
        ),
        security_checks.judge_proxies(settings.host, settings.public_url, settings.trusted_proxies),
        *await _look_at_integrations(settings, database),
        *await _look_at_people(settings, database),
    ]


def _private_paths(settings: Settings) -> list[Path]:
    """The files that hold messages and secrets, with their folders where those are ours alone to
    use.
    """
    paths = [Path(settings.spool_path)]
    if settings.is_sqlite:
        paths.append(sqlite_path(settings.database_url))
    companions = [Path(f"{path}{suffix}") for path in paths for suffix in ("-wal", "-shm")]
    return [*paths, *companions]


async def _look_at_integrations(settings: Settings, database: Database) -> list[Finding]:
    vault = Vault(settings.secret_key, settings.old_secret_keys)
    try:
        known = await database.read(lambda c: integration_rows.read_integrations(c, vault))
    except OmniError as error:
        return [
            Finding("integrations", "unknown", f"The database does not answer: {error.message}")
        ]
    active = [one for one in known if one.is_active]
    unsigned = (
        [] if settings.require_webhook_signature else [one for one in active if not one.has_secret]
    )
    return [
        security_checks.judge_signatures(
            [one.id for one in unsigned if one.unsigned == "accepted"]
        ),
        security_checks.judge_keys([one.id for one in unsigned if one.unsigned == "keyed"]),
        security_checks.judge_proofs(
            [one.id for one in active if not one.is_proved],
            [one.id for one in active if one.proved_us == GRANDFATHERED],
        ),
        security_checks.judge_replaced_secrets(
            [one.id for one in active if one.previous_webhook_secret in one.secrets]
        ),
    ]


async def _look_at_people(settings: Settings, database: Database) -> list[Finding]:
    vault = Vault(settings.secret_key, settings.old_secret_keys)
    try:
        found = await database.read(lambda c: read_exposure(c, database.clock.now_us()))
        counts = await database.read(lambda c: own_token_rows.count_badly_sealed(c, vault))
    except OmniError as error:
        return [Finding("people", "unknown", f"The database does not answer: {error.message}")]
    return [
        security_checks.judge_second_factors(found.password_administrators),
        security_checks.judge_own_tokens(*counts),
        security_checks.judge_invitations(found.administrator_invitations),
        security_checks.judge_foreign_attempts(found.foreign_attempts),
    ]


def look_at_process(settings: Settings) -> list[Finding]:
    """What needs nobody else: settings, limits, disks."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = [
        host_checks.judge_key(settings.secret_key, SECRET_KEY_MIN_BYTES),
        host_checks.judge_address(settings.host, settings.public_url, settings.base_url),
    ]
    if len(settings.jwt_secret.encode()) < JWT_SECRET_MIN_BYTES:
        remedy = "Set it to the secret the CRM signs its tokens with"
        found.append(
            Finding(
                "JWT_SECRET",
                "failed",
                f"JWT_SECRET is shorter than {JWT_SECRET_MIN_BYTES} bytes: nothing is served",
                remedy,
            )
        )
    else:
        found.append(Finding("JWT_SECRET", "ok", "JWT_SECRET is set"))
    return [
        *found,
        host_checks.judge_files(limit, settings.sockets_per_process),
        *look_at_disks(settings),
    ]


def look_at_disks(settings: Settings) -> list[Finding]:
    """Free space where the spool, and an embedded database, are kept. Two system calls."""
    disks = [(Problem.of("noun.spool"), Path(settings.spool_path))]
    if settings.is_sqlite:
        disks.append((Problem.of("noun.database"), sqlite_path(settings.database_url)))
    found = []
    for what, path in disks:
        directory = next(
            (parent for parent in path.absolute().parents if parent.exists()), Path("/")
        )
        try:
            free = os.statvfs(directory)
        except OSError as error:
            found.append(
                Finding(
                    f"disk of {what}",
                    "failed",
                    Problem.of(
                        "disk.unreadable", directory=str(directory), why=error.strerror or ""
                    ),
                    Problem.of("disk.check_mount"),
                )
            )
            continue
        found.append(
            host_checks.judge_disk(
                what, str(directory), free.f_bavail * free.f_frsize, settings.disk_low_bytes
            )
        )
    return found


async def _look_at_database(
    settings: Settings, database: Database, processes: int
) -> list[Finding]:
    started = time.monotonic()
    try:
        variables = await database.read(database_facts.read_variables)
        asked = time.time()
        clock = await database.read(database_facts.read_clock)
        untriggered = await database.read(crm_triggers.read_missing)
        seconds = time.monotonic() - started
    except OmniError as error:
        remedy = (
            "Look whether it runs, and whether DATABASE_URL is right; webhooks are kept in the "
            "spool meanwhile"
        )
        return [
            Finding("database", "failed", f"The database does not answer: {error.message}", remedy)
        ]
    version = variables.get("version", "SQLite")
    found = [host_checks.judge_answers(version, seconds / 2)]
    try:
        problem = await asyncio.to_thread(schema_problem, settings.database_url)
    except OmniError as error:  # also when the database goes away, or refuses, in between
        problem = error.message
    well = Finding("tables", "ok", "The tables are there")
    found.append(Finding("tables", "failed", problem, "omni-inbox db upgrade") if problem else well)
    if not problem:
        found.append(host_checks.judge_triggers(untriggered))
    found += host_checks.judge_durability(variables)
    found += host_checks.judge_connections(variables, settings.database_pool, processes)
    found += host_checks.judge_packet(variables, settings.webhook_max_bytes)
    if clock is not None:
        found.append(host_checks.judge_clock("the database", clock - asked))
    return found


async def _look_at_bus(settings: Settings) -> list[Finding]:
    if settings.is_memory_bus:
        return [Finding("bus", "ok", "The bus is in this process (memory://): one process only")]
    try:
        facts = await read_facts(settings.broadcast_url)
    except Exception as error:  # noqa: BLE001 - redis-py, sockets, timeouts: all mean the same here
        text = (
            f"Redis does not answer ({type(error).__name__}): events between processes take "
            "about a second"
        )
        return [
            Finding(
                "bus", "failed", text, "Look whether it runs, and whether BROADCAST_URL is right"
            )
        ]
    found = [host_checks.judge_bus(facts.ping_seconds, facts.version, facts.forbidden)]
    return (
        found
        if facts.ahead_seconds is None
        else [*found, host_checks.judge_clock("Redis", facts.ahead_seconds)]
    )
