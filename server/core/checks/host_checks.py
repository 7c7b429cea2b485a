"""Whether what a process runs on is fit for what it promises: settings of the database, limits of
the system, clocks, keys.

Nothing here asks anybody: `server/operation/doctor.py` does. Each finding names its remedy.
"""

from collections.abc import Mapping, Sequence

from server.core.checks.integration_checks import Finding
from server.problems import Problem, Text

_MAX_CLOCK_ERROR_SECONDS = 2.0  # signatures, tokens and the order of events are judged by clocks
_SPARE_FILES = 200  # log, spool, database, bus, Chatwoot
_SPARE_CONNECTIONS = 10  # the CRM's own, and someone who looks
_REDIS_SLOW_SECONDS = 0.02
_DATABASE_SLOW_SECONDS = 0.2  # as `/readyz` judges it
_DURABLE = {
    "innodb_flush_log_at_trx_commit": (
        "1",
        "a commit may be lost when the database's machine loses power",
    ),
    "sync_binlog": ("1", "a replica may miss what this server has committed"),
    "innodb_doublewrite": ("ON", "a page half written at a crash cannot be repaired"),
}
VARIABLES = (
    *_DURABLE,
    "log_bin",
    "max_connections",
    "max_allowed_packet",
    "wait_timeout",
    "version",
)


def judge_answers(version: str, seconds: float) -> Finding:
    """`seconds`: that the database took for a question whose answer it has in memory."""
    if seconds > _DATABASE_SLOW_SECONDS:
        text = (
            f"The database ({version}) answers slowly: {seconds * 1e3:,.0f} ms for a question "
            "that costs nothing"
        )
        return Finding(
            "database",
            "warning",
            text,
            "Look at its load, its locks, the disk it commits to, and the way there",
        )
    return Finding(
        "database", "ok", f"The database ({version}) answers after {seconds * 1e3:.0f} ms"
    )


def judge_durability(variables: Mapping[str, str]) -> list[Finding]:
    """MySQL's own settings, against "answered 200 is on disk". Empty variables: SQLite, whose
    settings are ours.
    """
    found = []
    for name, (wanted, consequence) in _DURABLE.items():
        value = variables.get(name)
        if value is None or (name == "sync_binlog" and variables.get("log_bin", "OFF") == "OFF"):
            continue
        if value.upper() in (wanted, "1", "ON", "DETECT_AND_RECOVER"):
            found.append(Finding(name, "ok", f"{name} is {value}"))
        else:
            found.append(
                Finding(
                    name,
                    "warning",
                    f"{name} is {value}, not {wanted}: {consequence}",
                    f"SET GLOBAL {name} = {wanted}",
                )
            )
    return found


def judge_connections(variables: Mapping[str, str], pool: int, processes: int) -> list[Finding]:
    """Whether the pools of so many processes fit, with something to spare for the CRM."""
    most = int(variables.get("max_connections", "0"))
    if not most:
        return []
    wanted = pool * processes
    text = (
        f"{processes} processes with DATABASE_POOL={pool} take {wanted} of max_connections = {most}"
    )
    if wanted + _SPARE_CONNECTIONS > most:
        remedy = (
            f"Set max_connections to {2 * wanted + _SPARE_CONNECTIONS} or more, or DATABASE_POOL "
            "lower"
        )
        return [Finding("max_connections", "failed", text, remedy)]
    return [Finding("max_connections", "ok", text)]


def judge_packet(variables: Mapping[str, str], body_most_bytes: int) -> list[Finding]:
    """A delivery is one parameter of one statement, quoted."""
    most, wanted = int(variables.get("max_allowed_packet", "0")), 2 * body_most_bytes
    if not most:
        return []
    if most < wanted:
        text = (
            f"max_allowed_packet is {most:,} bytes: a webhook of {body_most_bytes:,} bytes "
            "(WEBHOOK_MAX_BYTES) may not fit"
        )
        return [
            Finding(
                "max_allowed_packet",
                "warning",
                text,
                f"SET GLOBAL max_allowed_packet = {_power_above(wanted)}",
            )
        ]
    return [Finding("max_allowed_packet", "ok", f"max_allowed_packet is {most:,} bytes")]


def judge_triggers(missing: Sequence[str]) -> Finding:
    """Those on the CRM's tables; `missing` are names."""
    if not missing:
        return Finding(
            "triggers",
            "ok",
            "What other programs write into the shared tables is noted by triggers",
        )
    text = (
        f"{len(missing)} triggers on the CRM's tables are missing ({missing[0]}): its new rows "
        "are found by polling, changed "
        "and deleted ones late"
    )
    remedy = (
        "omni-inbox db upgrade, with an account that may create triggers (docs/operation.md, "
        "Triggers on the CRM's tables)"
    )
    return Finding("triggers", "warning", text, remedy)


def judge_clock(whose: str, ahead_seconds: float) -> Finding:
    """`ahead_seconds`: how far that clock is ahead of ours."""
    name = f"clock of {whose}"
    if abs(ahead_seconds) > _MAX_CLOCK_ERROR_SECONDS:
        text = (
            f"The clock of {whose} is {abs(ahead_seconds):.1f} s "
            f"{'ahead of' if ahead_seconds > 0 else 'behind'} ours"
        )
        return Finding(
            name,
            "failed",
            text,
            "Let both machines run chrony or systemd-timesyncd, and look which of them is wrong",
        )
    return Finding(
        name, "ok", f"The clock of {whose} and ours differ by {abs(ahead_seconds):.2f} s"
    )


def judge_files(limit: int, sockets: int) -> Finding:
    """Each socket is an open file."""
    wanted = sockets + _SPARE_FILES
    if limit < wanted:
        text = (
            f"This process may open {limit:,} files; SOCKETS_PER_PROCESS={sockets:,} needs "
            f"{wanted:,}"
        )
        return Finding(
            "open files",
            "warning",
            text,
            f"LimitNOFILE={wanted} in the systemd unit, or ulimit -n {wanted} before the start",
        )
    return Finding("open files", "ok", f"This process may open {limit:,} files")


def judge_disk(what: Text, path: str, free_bytes: int, least_bytes: int) -> Finding:
    """Fail where less than `least_bytes` is free on the disk of `path`."""
    if free_bytes < least_bytes:
        text = Problem.of(
            "disk.full",
            what=what,
            path=path,
            left=f"{free_bytes / 1000000.0:,.0f}",
            least=f"{least_bytes / 1000000.0:,.0f}",
        )
        return Finding(
            f"disk of {what}",
            "failed",
            text,
            Problem.of("disk.make_room"),
        )
    return Finding(
        f"disk of {what}", "ok", f"The disk of {what} has {free_bytes / 1e6:,.0f} MB left"
    )


def judge_bus(ping_seconds: float, version: str | None, forbidden: Sequence[str] = ()) -> Finding:
    """Judge Redis. `forbidden`: commands that our user may not use, of those that only this check
    needs.
    """
    if forbidden:
        names = " and ".join(forbidden)
        text = (
            f"The Redis user of BROADCAST_URL may not use {names}: the bus works, only "
            "version and clock are not looked at"
        )
        return Finding(
            "bus",
            "warning",
            text,
            "Nothing must be done; to have them looked at: ACL SETUSER with +info +time",
        )
    if ping_seconds > _REDIS_SLOW_SECONDS:
        text = (
            f"Redis {version} answers after {ping_seconds * 1e3:.0f} ms: every event between "
            "processes waits for that"
        )
        return Finding(
            "bus",
            "warning",
            text,
            "Put Redis near the processes, and look for commands that block it (SLOWLOG GET)",
        )
    return Finding("bus", "ok", f"Redis {version} answers after {ping_seconds * 1e3:.1f} ms")


def judge_address(host: str, public_url: str, base_url: str) -> Finding:
    """An inbox that is reached from outside needs its address: for cookies, origins and the
    webhook.
    """
    if host not in ("127.0.0.1", "::1", "localhost") and not public_url:
        text = (
            f"HOST is {host}, but PUBLIC_URL is not set: cookies, origins and the webhook's "
            f"address are made from {base_url}"
        )
        return Finding(
            "public address",
            "warning",
            text,
            "Set PUBLIC_URL to the address people and Chatwoot use, with https://",
        )
    if public_url.startswith("http:") and not public_url.startswith(
        ("http://127.", "http://localhost")
    ):
        text = f"PUBLIC_URL is {public_url}: passwords and messages travel in the clear"
        return Finding(
            "public address",
            "warning",
            text,
            "Put a proxy that ends TLS before it, and set PUBLIC_URL to https://",
        )
    return Finding("public address", "ok", f"The public address is {base_url}")


def judge_key(secret_key: str, min_bytes: int) -> Finding:
    """Warn where `SECRET_KEY` is missing or shorter than `min_bytes`."""
    if not secret_key:
        return Finding(
            "SECRET_KEY",
            "warning",
            "SECRET_KEY is not set: access tokens of Chatwoot are stored as they are",
            _KEY_REMEDY,
        )
    if len(secret_key.encode()) < min_bytes:
        text = (
            f"SECRET_KEY is shorter than {min_bytes} bytes: it can be guessed by whoever has "
            "a backup of the database"
        )
        return Finding(
            "SECRET_KEY",
            "failed",
            text,
            f"{_KEY_REMEDY}, with the short one as SECRET_KEY_PREVIOUS",
        )
    return Finding("SECRET_KEY", "ok", "Access tokens are stored encrypted")


_KEY_REMEDY = (
    'python3 -c "import secrets; print(secrets.token_hex(32))", set it as SECRET_KEY, then '
    "omni-inbox db upgrade"
)


def _power_above(wanted: int) -> int:
    return 1 << (wanted - 1).bit_length()
