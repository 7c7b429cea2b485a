"""What a run does: from options, or from a scenario file."""

import dataclasses
import ipaddress
import socket
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from server.errors import ConfigurationError
from server.lab.load.agents import Target


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`duration`, `ramp`, `drop_every`, `deploy_at`, `burst_every` in seconds; 0 switches the last
    three off.

    Agents and pollers are dealt out to companies in turn. A burst is so many messages at once, all
    to the first company.
    """

    name: str = "load"
    text: str = ""
    url: str = ""
    agents: int = 100
    pollers: int = 0
    webhooks_per_second: float = 10.0
    replies_per_minute: float = 0.0
    companies: int = 1
    duration: float = 30.0
    ramp: float = 5.0
    slow_share: float = 0.0
    drop_every: float = 0.0
    burst_messages: int = 0
    burst_every: float = 0.0
    deploy_at: float = 0.0
    settle: float = 30.0
    processes: int = 1
    seed: int = 1
    compare: bool = False
    server: dict[str, str] = field(default_factory=dict)

    def check(self, *, is_own: bool) -> None:
        """Raises ConfigurationError for what cannot or may not be run."""
        for name in (
            "agents",
            "pollers",
            "webhooks_per_second",
            "replies_per_minute",
            "drop_every",
            "ramp",
            "burst_messages",
        ):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"{name} must not be negative")
        if self.companies < 1 or self.processes < 1 or self.duration <= 0:
            raise ConfigurationError("companies, processes and duration must be above 0")
        if not 0 <= self.slow_share <= 1:
            raise ConfigurationError("slow_share is a share: from 0 to 1")
        if self.url:
            target = self.target()
            if not ipaddress.ip_address(target.host).is_loopback and not is_own:
                raise ConfigurationError(
                    f"{target.name} is not this machine. Load is played only against one's own "
                    "server: say --i-own-this-server if it is"
                )

    def target(self) -> Target:
        """The server's address, resolved once. Raises ConfigurationError."""
        parts = urlsplit(self.url)
        if parts.scheme != "http" or not parts.hostname:
            raise ConfigurationError(
                "--url must begin with http://: the harness speaks no TLS; run it behind the "
                "proxy that ends it"
            )
        try:
            host = socket.getaddrinfo(parts.hostname, None, socket.AF_INET)[0][4][0]
        except OSError:
            raise ConfigurationError(f"{parts.hostname} has no IPv4 address") from None
        return Target(str(host), parts.port or 80, name=parts.hostname)


def read_scenario(path: Path, *, is_short: bool = False) -> Plan:
    """A TOML file with the fields of Plan; its table `short` replaces some of them for a form of
    seconds. Raises ConfigurationError.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    short = values.pop("short", {})
    return with_values(Plan(name=path.stem), values | (short if is_short else {}))


def with_values(plan: Plan, values: dict[str, Any]) -> Plan:
    """Raises ConfigurationError for a name that is none of Plan's, or a value of the wrong kind."""
    known = {one.name: one.type for one in fields(Plan)}
    for name, value in values.items():
        if name not in known:
            raise ConfigurationError(
                f"{name} is not a field of a scenario; there are: {', '.join(known)}"
            )
        current = getattr(plan, name)
        if not isinstance(value, (int, float) if isinstance(current, float) else type(current)):
            raise ConfigurationError(f"{name} must be like {current!r}, not {value!r}")
    return dataclasses.replace(plan, **values)
