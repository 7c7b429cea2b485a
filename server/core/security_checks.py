"""Whether an installation is closed where it should be: keys, encryption, files, signatures, addresses.

Nothing here asks anybody: `server/doctor.py` does. Each finding names its remedy.
"""

import ipaddress
import re
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from server.core.checkup import Finding

_LOCAL_NAMES = ("", "localhost")
_MAX_NAMED = 10
_PORT = re.compile(r":[0-9]+$")  # an IPv6 address ends with a bracket


def judge_database_encryption(database_url: str, *, is_encrypted: bool) -> Finding:
    """`is_encrypted`: DATABASE_URL demands TLS."""
    name = "encryption to the database"
    if database_url.startswith("sqlite"):
        return Finding(name, "ok", "The database is a file of this machine")
    if is_encrypted:
        return Finding(name, "ok", "Connections to the database are encrypted, or not used")
    if is_local(urlsplit(database_url).hostname):
        return Finding(name, "ok", "The database is on this machine")
    text = f"Messages travel to {urlsplit(database_url).hostname} in the clear"
    return Finding(name, "warning", text, "Switch TLS on at the database, and add ?ssl=true to DATABASE_URL")


def judge_bus(broadcast_url: str) -> list[Finding]:
    """Whoever reaches Redis reads every event of every company."""
    parts = urlsplit(broadcast_url)
    if parts.scheme == "memory":
        return [Finding("bus", "ok", "The bus is in this process")]
    found = []
    if parts.scheme == "rediss" or is_local(parts.hostname):
        found.append(Finding("encryption to Redis", "ok", "Events do not travel in the clear"))
    else:
        text = f"Events travel to {parts.hostname} in the clear"
        found.append(Finding("encryption to Redis", "warning", text, "Use rediss:// in BROADCAST_URL"))
    if parts.password:
        found.append(Finding("password of Redis", "ok", "Redis asks for a password"))
    else:
        text = "BROADCAST_URL holds no password: whoever reaches Redis can read every event"
        remedy = "Set requirepass or an ACL at Redis, and redis://:password@host/0 in BROADCAST_URL"
        found.append(Finding("password of Redis", "warning", text, remedy))
    return found


def judge_files(shared: Sequence[str]) -> Finding:
    """`shared`: files and folders that others than their owner may read."""
    if shared:
        text = f"Others on this machine may read {', '.join(shared[:_MAX_NAMED])}"
        return Finding("files", "failed", text, "chmod 600 for files, chmod 700 for folders")
    return Finding("files", "ok", "Database and spool files are their owner's alone")


def judge_user(user_id: int) -> Finding:
    if user_id == 0:
        text = "The program runs as root: a fault in it is a fault of the whole machine"
        return Finding("user", "warning", text, "Run it as a user of its own, as deploy/*.service do")
    return Finding("user", "ok", "The program does not run as root")


def judge_private_addresses(*, are_all_allowed: bool, hosts: Collection[str] = ()) -> Finding:
    name = "private addresses"
    if are_all_allowed:
        text = "CHATWOOT_ALLOW_PRIVATE is true: every company's administrator can have us call services inside your network"
        remedy = "Name the host of your Chatwoot in CHATWOOT_PRIVATE_HOSTS, with its port, and set CHATWOOT_ALLOW_PRIVATE to false"
        return Finding(name, "warning", text, remedy)
    whole = sorted(host for host in hosts if not _PORT.search(host))
    if whole:
        text = f"Integrations may call every port of {', '.join(whole[:_MAX_NAMED])}"
        return Finding(name, "warning", text, "Write host:port in CHATWOOT_PRIVATE_HOSTS")
    if hosts:
        text = f"Inside your network integrations may call {', '.join(sorted(hosts)[:_MAX_NAMED])} alone"
        return Finding(name, "ok", text)
    return Finding(name, "ok", "Integrations cannot make us call services inside your network")


def judge_signatures(unsigned: Sequence[int]) -> Finding:
    """`unsigned`: the numbers of active integrations that take webhooks without a signature."""
    if unsigned:
        named = ", ".join(map(str, unsigned[:_MAX_NAMED]))
        text = f"Integrations that take webhooks without a signature: {named}; whoever knows their numbers can write to agents"
        remedy = "omni-inbox integration register --integration-id N fetches the secret (Chatwoot 4.12 and later)"
        return Finding("signatures", "warning", text, remedy)
    return Finding("signatures", "ok", "Every integration asks for signed webhooks")


def judge_operation(*, has_token: bool, host: str) -> Finding:
    name = "metrics and readiness"
    if has_token:
        return Finding(name, "ok", "/metrics and the details of /readyz ask for OPERATION_TOKEN")
    if is_local(host):
        return Finding(name, "ok", "/metrics and the details of /readyz are for this machine alone")
    text = "/metrics is for this machine alone; a proxy here that hides its clients' addresses opens it to them"
    remedy = "Let the proxy answer 404 for /metrics and /readyz, as deploy/nginx.conf does, or set OPERATION_TOKEN"
    return Finding(name, "warning", text, remedy)


def is_local(host: str | None) -> bool:
    """Whether a host of an address is this machine; a Unix socket has none."""
    if host is None or host.lower() in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
