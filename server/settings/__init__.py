"""The only reader of the environment. Every setting with its unit and its default; what contradicts
what is in `setting_checks`.
"""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from server.core.addresses import bare_host, url_host
from server.settings.setting_checks import check_serving, check_settings
from server.settings.setting_values import convert, hosts_of

WEBHOOK_PATH = "/api/webhooks/chatwoot"


def _setting(default: object, text: str) -> Any:
    return field(default=default, metadata={"doc": text})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One process's settings. Names of the environment are the names here in capitals."""

    database_url: str = _setting(
        "sqlite:///data/omni-inbox.db",
        "Database: `sqlite:///path` or `mysql://user:password@host:port/name`",
    )
    database_pool: int = _setting(
        8, "Connections to MySQL of one process (half for writers, half for readers)"
    )
    database_wait_seconds: float = _setting(
        5.0, "How long a request waits for the database before it is answered 503"
    )
    database_statement_seconds: float = _setting(
        30.0, "After this a running transaction's connection is cut"
    )
    broadcast_url: str = _setting(
        "memory://", "Bus: `memory://` (one process) or `redis://host:port/0`"
    )
    jwt_secret: str = _setting("", "Shared secret of the CRM's tokens (HS256), at least 32 bytes")
    jwt_company_claim: str = _setting("companyId", "Claim that holds the company's number")
    jwt_secret_previous: str = _setting(
        "", "Shared secret before `JWT_SECRET`: its tokens are good until they expire"
    )
    jwt_public_key_path: str = _setting(
        "", "File with the CRM's public key in PEM form (RSA, EC or Ed25519)"
    )
    jwt_jwks_path: str = _setting(
        "", "File with the CRM's public keys as JWKS; it is read again when it changes"
    )
    jwt_subject_claim: str = _setting("sub", "Claim that names the agent")
    jwt_name_claim: str = _setting("name", "Claim that holds the agent's name")
    jwt_role_claim: str = _setting(
        "role", "Claim that holds the agent's role: one word or a list of words"
    )
    jwt_admin_roles: str = _setting(
        "admin", "Roles of the CRM that are administrators here, separated by commas"
    )
    jwt_issuer: str = _setting("", "Wanted in the claim `iss`, where set")
    jwt_audience: str = _setting("", "Wanted in the claim `aud`, where set")
    jwt_leeway_seconds: int = _setting(30, "Clock skew allowed when a token's times are checked")
    secret_key: str = _setting(
        "", "Key that encrypts access tokens and webhook secrets in the database, at least 32 bytes"
    )
    store_tokens_unencrypted: bool = _setting(
        False,
        "Serve without a `SECRET_KEY`: access tokens of Chatwoot stand in the database as they are",
    )
    operation_token: str = _setting(
        "",
        "Token that `/metrics` and the details of `/readyz` ask for (`Authorization: Bearer "
        "...`), at least 16 bytes; "
        "empty: they are for clients on this machine alone",
    )
    secret_key_previous: str = _setting(
        "",
        "Keys before `SECRET_KEY`, separated by commas: still read, until `omni-inbox db "
        "upgrade` has run",
    )
    session_hours: int = _setting(12, "How long a sign-in of the web inbox lasts, in hours")
    host: str = _setting("127.0.0.1", "Address to listen on")
    port: int = _setting(8000, "Port to listen on; 0 takes a free one")
    public_url: str = _setting(
        "", "Address people and Chatwoot reach us under; default `http://HOST:PORT`"
    )
    tunnel_url: str = _setting(
        "",
        "Address of a developer's tunnel to this server: webhooks of integrations in mode "
        "`local` are registered under it",
    )
    spool_path: str = _setting(
        "data/spool.db", "Local file that keeps webhooks while the database is away"
    )
    spool_max_bytes: int = _setting(
        1_000_000_000,
        "The spool takes no more than this many bytes; then webhooks are answered 503",
    )
    disk_low_bytes: int = _setting(
        200_000_000, "Below so many free bytes a disk is called full in `/readyz`"
    )
    webhook_max_bytes: int = _setting(5_000_000, "Largest webhook body, in bytes")
    require_webhook_signature: bool = _setting(
        False, "Refuse every webhook without a good signature, also where an integration allows it"
    )
    signature_tolerance_seconds: int = _setting(300, "Oldest acceptable signature timestamp")
    ingest_batch: int = _setting(300, "Deliveries taken in one ingest transaction")
    ingest_attempts: int = _setting(
        8, "Tries of a delivery that fails alone before it is parked as `dead`"
    )
    feed_ring_events: int = _setting(5_000, "Events kept ready in memory for each watched company")
    feed_ring_bytes: int = _setting(
        8_000_000, "Bytes of events kept ready in memory for each watched company"
    )
    head_check_seconds: float = _setting(1.0, "How often heads are compared with the database")
    ping_seconds: float = _setting(20.0, "How often each socket is pinged")
    socket_silence_seconds: float = _setting(
        45.0, "A socket from which nothing came for this long is closed"
    )
    hello_seconds: float = _setting(5.0, "A socket that has not said hello by then is closed")
    slow_socket_seconds: float = _setting(
        10.0, "A socket that has not read for this long is closed with 4208"
    )
    socket_buffer_bytes: int = _setting(262_144, "High-water mark of a socket's output")
    strangers_per_address: int = _setting(
        5_000, "Sockets of one address on which nobody has signed in yet"
    )
    sockets_per_agent: int = _setting(50, "Live sockets of one agent")
    sockets_per_company: int = _setting(15_000, "Live sockets of one company in one process")
    sockets_per_process: int = _setting(20_000, "Live sockets of one process")
    connections_per_address: int = _setting(
        2_000,
        "Open HTTP connections of one address, a trusted proxy's excepted; sockets have limits "
        "of their own",
    )
    trusted_proxies: str = _setting(
        "127.0.0.1,::1",
        "Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed: addresses, "
        "networks (`10.0.0.0/24`) or names, "
        "with commas between",
    )
    api_requests_per_minute: int = _setting(
        3_000,
        "Requests a minute of one agent; 304 answers from memory are not counted; 0: no limit",
    )
    api_requests_per_minute_company: int = _setting(
        120_000, "Requests a minute of one company's agents together; 0: no limit"
    )
    webhook_strangers_per_minute: int = _setting(
        600,
        "Webhooks a minute from one address that no integration takes, or whose signature is "
        "wrong; more are refused with 429, "
        "and ten times as many of all addresses together; 0: no limit",
    )
    webhook_strangers_max_bytes: int = _setting(
        100_000_000,
        "Bytes a day that one process keeps of webhooks no integration takes; each is forgotten "
        "after a day",
    )
    access_check_seconds: float = _setting(
        2.0, "How often withdrawn access is looked up, at most 3"
    )
    chatwoot_timeout_seconds: float = _setting(10.0, "How long a call to Chatwoot may take")
    chatwoot_requests_per_minute: int = _setting(
        2_400, "Calls a minute to one Chatwoot (its own limit is 3,000 an address)"
    )
    chatwoot_answers_max_bytes: int = _setting(
        256 * 1024 * 1024,
        "Memory that large answers of all Chatwoots may take in a process; one company gets at "
        "most half of it",
    )
    chatwoot_allow_private: bool = _setting(
        False,
        "Let integrations call every private and loopback address, whosever it is: for "
        "development; "
        "`CHATWOOT_PRIVATE_HOSTS` is for a Chatwoot inside your own network",
    )
    chatwoot_private_hosts: str = _setting(
        "",
        "Hosts in private networks that integrations may call, with commas between: "
        "`chat.internal:3000`; "
        "without a port every port of the host",
    )
    chatwoot_sockets: bool = _setting(
        True,
        "Listen to the socket of Chatwoot's agents beside its webhooks, where an integration has "
        "that switched on",
    )
    chatwoot_socket_wait_seconds: float = _setting(
        10.0,
        "Least pause before Chatwoot's socket is opened again; each opening shows the token's "
        "owner as online for 20 s",
    )
    outgoing_proxy: str = _setting(
        "",
        "Proxy for calls to Chatwoot and for files, `http://host:port`; hosts in private "
        "networks are called "
        "without it. The environment's `HTTP_PROXY` and `HTTPS_PROXY` are not read",
    )
    attachment_hosts: str = _setting(
        "",
        "Hosts in private networks that attachments may be fetched from, with commas between: "
        "where Chatwoot keeps its files",
    )
    attachment_max_bytes: int = _setting(
        100_000_000, "Largest file that is passed on to an agent, in bytes"
    )
    upload_max_bytes: int = _setting(
        25_000_000, "Largest reply with files, in bytes: all files together"
    )
    reply_patience_seconds: float = _setting(
        7_200.0, "How long a reply is tried again and again before it is `failed`"
    )
    reply_certain_seconds: float = _setting(
        20.0,
        "After this Chatwoot no longer works on a request: a reply it does not list by then is "
        "sent again (its own limit is 15 s)",
    )
    integration_watch_seconds: float = _setting(
        30.0,
        "How often it is looked whether Chatwoot still has what an integration needs: token, "
        "account, inbox, webhook",
    )
    webhook_repair: bool = _setting(
        False,
        "Register a webhook again by itself when somebody has deleted or changed it in Chatwoot",
    )
    reconcile_seconds: float = _setting(180.0, "How often each integration is reconciled")
    reconcile_quiet_seconds: float = _setting(
        45.0, "An integration without webhooks for this long is reconciled this often"
    )
    reconcile_grace_seconds: float = _setting(
        15.0, "Changes younger than this are left to their webhook, which may be under way"
    )
    reconcile_active_hours: float = _setting(
        6.0, "Conversations active within this are read again for edits and deletions"
    )
    history_requests_per_hour: float = _setting(
        1_200.0,
        "Requests to Chatwoot an hour for the slow comparison of all history, which goes on for "
        "ever; 0: none",
    )
    webhook_lost_seconds: float = _setting(
        3_600.0,
        "A webhook that has not come so long after asking found its change counts as lost; until "
        "then it is late",
    )
    event_days: float = _setting(7.0, "How long events are kept")
    journal_days: float = _setting(30.0, "How long finished deliveries are kept")
    audit_days: float = _setting(365.0, "How long lines of the audit log are kept")
    drain_seconds: float = _setting(
        5.0, "Window over which sockets are told to reconnect before a stop"
    )
    drain_least_seconds: float = _setting(
        0.0,
        "A stopping process goes on answering for at least this long, so that a balancer which "
        "asks `/readyz` has seen `draining`",
    )
    log_level: str = _setting("INFO", "DEBUG, INFO, WARNING or ERROR")
    log_format: str = _setting("json", "`json` or `console`")
    otel_exporter_otlp_endpoint: str = _setting(
        "",
        "Collector of OpenTelemetry, for example `http://127.0.0.1:4318`; set, it switches "
        "traces on (needs the extra `otel`)",
    )
    otel_exporter_otlp_traces_endpoint: str = _setting(
        "", "The same for traces alone, with its path: `http://127.0.0.1:4318/v1/traces`"
    )
    otel_sdk_disabled: bool = _setting(False, "Switches traces off, whatever the two above say")

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None
    ) -> "Settings":
        """Read and check; `overrides` (a command's options) win. Raises ConfigurationError with a
        sentence that names the variable.
        """
        environ = os.environ if environ is None else environ
        kinds = get_type_hints(cls)
        given: dict[str, Any] = {}
        for setting in fields(cls):
            text = environ.get(setting.name.upper(), "")
            if text != "":
                given[setting.name] = convert(setting.name.upper(), text, kinds[setting.name])
        given |= dict(overrides or {})
        if "host" in given:
            given["host"] = bare_host(given["host"])
        settings = cls(**given)
        check_settings(settings)
        return settings

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file of this machine."""
        return self.database_url.startswith("sqlite")

    @property
    def is_memory_bus(self) -> bool:
        """Whether events reach the sockets of this process alone."""
        return self.broadcast_url.startswith("memory")

    @property
    def has_traces(self) -> bool:
        """Whether spans are sent: an OpenTelemetry endpoint is set, and not switched off."""
        return (
            bool(self.otel_exporter_otlp_endpoint or self.otel_exporter_otlp_traces_endpoint)
            and not self.otel_sdk_disabled
        )

    @property
    def base_url(self) -> str:
        """Public address without a slash at its end."""
        return (self.public_url or f"http://{url_host(self.host)}:{self.port}").rstrip("/")

    @property
    def webhook_url(self) -> str:
        """The public address of webhooks, without a key."""
        return f"{self.base_url}{WEBHOOK_PATH}"

    def webhook_url_of(self, mode: str, key: str | None = None) -> str:
        """The address an integration's webhook is registered under: the tunnel's in mode `local`,
        where there is one.

        `key`: what stands in it instead of a signature, for a Chatwoot that cannot sign.
        """
        url = (
            f"{self.tunnel_url.rstrip('/')}{WEBHOOK_PATH}"
            if mode == "local" and self.tunnel_url
            else self.webhook_url
        )
        return f"{url}?key={key}" if key else url

    @property
    def admin_roles(self) -> frozenset[str]:
        """Words of the CRM's role claim that mean an administrator."""
        return frozenset(role for part in self.jwt_admin_roles.split(",") if (role := part.strip()))

    @property
    def private_hosts(self) -> frozenset[str]:
        """Of `CHATWOOT_PRIVATE_HOSTS`: `host` or `host:port`, in small letters."""
        return hosts_of(self.chatwoot_private_hosts)

    @property
    def file_hosts(self) -> frozenset[str]:
        """Of `ATTACHMENT_HOSTS`."""
        return hosts_of(self.attachment_hosts)

    @property
    def old_secret_keys(self) -> tuple[str, ...]:
        """Keys that sealed values may still be sealed with, in the order of the setting."""
        return tuple(key for part in self.secret_key_previous.split(",") if (key := part.strip()))

    def check_serving(self, workers: int) -> None:
        """What only a serving process needs. Raises ConfigurationError."""
        check_serving(self, workers)


def describe() -> list[tuple[str, str, str]]:
    """All settings as (name, default, text), for the docs and their test."""
    return [(f.name.upper(), str(f.default), f.metadata["doc"]) for f in fields(Settings)]


def new_secret() -> str:
    """A random secret of 32 bytes, in hexadecimal digits."""
    return secrets.token_hex(32)


def sqlite_path(database_url: str) -> Path:
    """The file behind a `sqlite:///relative` or `sqlite:////absolute` address."""
    return Path(database_url.split(":///", 1)[1].split("?", 1)[0])


NOT_ENCRYPTED = (
    "DATABASE_URL asks for TLS (ssl=true), and the connection to the database is in the clear: "
    "switch "
    "TLS on at the server, or look who is between; nothing is sent over it until then"
)


def wants_encryption(database_url: str) -> bool:
    """Whether the address of a MySQL asks for TLS."""
    return "ssl=true" in urlsplit(database_url).query.split("&")
