"""Whether an installation is closed where it should be: keys, encryption, files, signatures,
addresses.

Nothing here asks anybody: `server/operation/doctor.py` does. Each finding names its remedy.
"""

import ipaddress
import re
from collections.abc import Collection, Mapping, Sequence
from urllib.parse import urlsplit

from server.core.checks.integration_checks import Finding

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
    return Finding(
        name, "warning", text, "Switch TLS on at the database, and add ?ssl=true to DATABASE_URL"
    )


def judge_bus(broadcast_url: str) -> list[Finding]:
    """Judge who can reach Redis, which gives every event of every company."""
    parts = urlsplit(broadcast_url)
    if parts.scheme == "memory":
        return [Finding("bus", "ok", "The bus is in this process")]
    found = []
    if parts.scheme == "rediss" or is_local(parts.hostname):
        found.append(Finding("encryption to Redis", "ok", "Events do not travel in the clear"))
    else:
        text = f"Events travel to {parts.hostname} in the clear"
        found.append(
            Finding("encryption to Redis", "warning", text, "Use rediss:// in BROADCAST_URL")
        )
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
    """Warn where the process runs as root."""
    if user_id == 0:
        text = "The program runs as root: a fault in it is a fault of the whole machine"
        return Finding(
            "user", "warning", text, "Run it as a user of its own, as deploy/*.service do"
        )
    return Finding("user", "ok", "The program does not run as root")


def judge_private_addresses(*, are_all_allowed: bool, hosts: Collection[str] = ()) -> Finding:
    """Warn where administrators can have us call any service inside the network, or all ports of a
    host.
    """
    name = "private addresses"
    if are_all_allowed:
        text = (
            "CHATWOOT_ALLOW_PRIVATE is true: every company's administrator can have us call "
            "services inside your network"
        )
        remedy = (
            "Name the host of your Chatwoot in CHATWOOT_PRIVATE_HOSTS, with its port, and set "
            "CHATWOOT_ALLOW_PRIVATE to false"
        )
        return Finding(name, "warning", text, remedy)
    whole = sorted(host for host in hosts if not _PORT.search(host))
    if whole:
        text = f"Integrations may call every port of {', '.join(whole[:_MAX_NAMED])}"
        return Finding(name, "warning", text, "Write host:port in CHATWOOT_PRIVATE_HOSTS")
    if hosts:
        text = (
            "Inside your network integrations may call "
            f"{', '.join(sorted(hosts)[:_MAX_NAMED])} alone"
        )
        return Finding(name, "ok", text)
    return Finding(name, "ok", "Integrations cannot make us call services inside your network")


def judge_signatures(unsigned: Sequence[int]) -> Finding:
    """Warn of integrations whose webhooks need no signature. `unsigned`: the numbers of active
    ones.
    """
    if unsigned:
        text = (
            f"Integrations that take webhooks without a signature: {_named(unsigned)}; "
            "whoever knows their numbers can write to agents"
        )
        remedy = (
            "omni-inbox integration register --integration-id N fetches the secret (Chatwoot "
            "4.12 and later)"
        )
        return Finding("signatures", "warning", text, remedy)
    return Finding("signatures", "ok", "No integration takes webhooks that nothing proves")


def judge_keys(keyed: Sequence[int]) -> Finding:
    """`keyed`: active integrations whose webhooks are proved by a key in their address alone."""
    if keyed:
        text = (
            "Integrations with a key in the webhook's address instead of a signature: "
            f"{_named(keyed)}; a proxy's log may show it"
        )
        remedy = (
            "Update Chatwoot to 4.12 or later, then omni-inbox integration register "
            "--integration-id N"
        )
        return Finding("keys in addresses", "warning", text, remedy)
    return Finding("keys in addresses", "ok", "No webhook's address holds a key")


def judge_proofs(unproved: Sequence[int], unasked: Sequence[int]) -> Finding:
    """`unproved`: they receive nothing yet. `unasked`: they are from before proofs, and receive all
    the same.
    """
    name = "proofs"
    remedy = (
        "omni-inbox integration check --integration-id N says what is in the way; integration "
        "disable ends a claim"
    )
    if unasked:
        text = (
            "Integrations that receive though Chatwoot has not shown their inbox to their "
            f"access token: {_named(unasked)}"
        )
        return Finding(name, "warning", text, remedy)
    if unproved:
        text = (
            f"Integrations that Chatwoot has not confirmed yet: {_named(unproved)}; they "
            "receive nothing"
        )
        return Finding(name, "warning", text, remedy)
    return Finding(
        name, "ok", "Chatwoot has shown the inbox of every integration to its access token"
    )


def judge_replaced_secrets(replaced: Sequence[int]) -> Finding:
    """`replaced`: integrations whose secret before this one still counts."""
    name = "replaced secrets"
    if replaced:
        text = (
            "Integrations that still take what the secret before the present one signed: "
            f"{_named(replaced)}"
        )
        remedy = (
            "It ends by itself; after a leak, omni-inbox integration rotate --integration-id N "
            "--end-previous ends it now"
        )
        return Finding(name, "warning", text, remedy)
    return Finding(name, "ok", "No replaced webhook secret counts any more")


def judge_proxies(host: str, public_url: str, trusted: str) -> Finding:
    """Whose word about a client's address is believed."""
    name = "trusted proxies"
    listed = [part for one in trusted.split(",") if (part := one.strip())]
    if "*" in listed or any(_is_everybody(one) for one in listed):
        text = (
            "TRUSTED_PROXIES trusts everybody: any client can pretend to be at another "
            "address, and limits by address count for nothing"
        )
        return Finding(name, "warning", text, "Name the addresses of the proxies alone")
    if is_local(host) or any(not is_local(one) for one in listed):
        return Finding(
            name, "ok", f"X-Forwarded-For is believed of {', '.join(listed) or 'nobody'}"
        )
    if not public_url.startswith("https:"):
        return Finding(name, "ok", "No proxy on another machine is trusted, and none is known of")
    text = (
        f"The server listens on {host} and PUBLIC_URL is https, so a proxy is before it; none "
        "but this machine's is trusted"
    )
    remedy = (
        "Set TRUSTED_PROXIES to the proxy's address where it is another machine or container: "
        "else everybody behind it is one address"
    )
    return Finding(name, "warning", text, remedy)


def judge_second_factors(administrators: Mapping[int, int]) -> Finding:
    """`administrators`: by company, those who sign in with a password alone."""
    name = "second factors"
    if administrators:
        text = f"Administrators who sign in with a password alone: {_counted(administrators)}"
        return Finding(
            name,
            "warning",
            text,
            "They set one up at /account; an administrator can ask everybody for one on the page "
            "People",
        )
    return Finding(name, "ok", "Every administrator with a password has a second factor")


def judge_own_tokens(old: int, unreadable: int) -> Finding:
    """Warn of agents' own access tokens of Chatwoot that SECRET_KEY does not protect (`old`: in the
    clear, or sealed with a key before it) or does not open.
    """
    name = "own tokens"
    if unreadable:
        text = f"SECRET_KEY opens {unreadable:,} of the agents' own access tokens no more"
        remedy = "Set SECRET_KEY_PREVIOUS to the key before, or have the agents connect them again"
        return Finding(name, "failed", text, remedy)
    if old:
        text = f"Agents' own access tokens that are not sealed with SECRET_KEY: {old:,}"
        return Finding(name, "warning", text, "omni-inbox db upgrade")
    return Finding(name, "ok", "Agents' own access tokens are kept as SECRET_KEY says")


def judge_invitations(invitations: Mapping[int, int]) -> Finding:
    """Warn of open invitations that make their reader an administrator. `invitations`: how many, by
    company.
    """
    name = "invitations"
    if invitations:
        text = f"Open links that make whoever has them an administrator: {_counted(invitations)}"
        return Finding(name, "warning", text, "End those that nobody waits for, on the page People")
    return Finding(name, "ok", "No open invitation makes somebody an administrator")


def judge_foreign_attempts(attempts: Mapping[int, int]) -> Finding:
    """Warn of attempts at other companies' rows. `attempts`: how many in the last day, by the
    company of the agent who tried.
    """
    name = "attempts"
    if attempts:
        text = (
            "Agents asked for what is another company's in the last day: "
            f"{_counted(attempts)}; they were told that there is nothing"
        )
        remedy = (
            "Look at foreign.refused in the company's audit log (the page Audit log, or GET "
            "/api/audit)"
        )
        return Finding(name, "warning", text, remedy)
    return Finding(name, "ok", "Nobody asked for another company's things in the last day")


def judge_operation(*, has_token: bool, host: str) -> Finding:
    """Warn where `/metrics` is open to all clients of a proxy on this machine."""
    name = "metrics and readiness"
    if has_token:
        return Finding(name, "ok", "/metrics and the details of /readyz ask for OPERATION_TOKEN")
    if is_local(host):
        return Finding(name, "ok", "/metrics and the details of /readyz are for this machine alone")
    text = (
        "/metrics is for this machine alone; a proxy here that hides its clients' addresses "
        "opens it to them"
    )
    remedy = (
        "Let the proxy answer 404 for /metrics and /readyz, as deploy/nginx.conf does, or set "
        "OPERATION_TOKEN"
    )
    return Finding(name, "warning", text, remedy)


def is_local(host: str | None) -> bool:
    """Whether a host of an address is this machine; a Unix socket has none."""
    if host is None or host.lower() in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _named(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - _MAX_NAMED} more" if len(numbers) > _MAX_NAMED else ""
    return ", ".join(map(str, numbers[:_MAX_NAMED])) + more


def _counted(by_company: Mapping[int, int]) -> str:
    listed = [f"{count} in company {company}" for company, count in by_company.items()]
    more = [f"and {len(listed) - _MAX_NAMED} companies more"] if len(listed) > _MAX_NAMED else []
    return ", ".join(listed[:_MAX_NAMED] + more)


def _is_everybody(network: str) -> bool:
    try:
        return ipaddress.ip_network(network, strict=False).prefixlen == 0
    except ValueError:
        return False
