"""`omni-inbox dev`: everything on one machine, nothing to set up: embedded database, in-process
bus, simulated Chatwoot.
"""

import asyncio
import json
import secrets
import socket
import time
from dataclasses import replace
from pathlib import Path

import jwt
import uvicorn
from rich.console import Console
from rich.panel import Panel

from server.access.passwords import hash_password
from server.app import create_app
from server.composition.application import build_application
from server.core.checks import integration_checks
from server.core.subjects import LOCAL_CLAIM, LOCAL_SUBJECT
from server.core.times import wall_now_us
from server.db import migrations
from server.db.access import agent_rows, erase, integration_rows
from server.db.engine.database import Connection
from server.db.engine.private_files import make_private_file, make_private_folder
from server.errors import ConfigurationError
from server.lab.chatwoot_sim import ChatwootSim, inboxes_of_kinds, seed, seed_kinds, serving
from server.serve import reserve_port, uvicorn_config
from server.settings import (
    Settings,
    new_secret,
    sqlite_path,
)
from server.settings.setting_checks import JWT_SECRET_MIN_BYTES

_COMPANY = 1
_AGENTS = (
    ("asha@example.com", "Asha Rahman", "admin"),
    ("tomas@example.com", "Tomas Berg", "agent"),
)
_TOKEN_HOURS = 24
_SIMULATED_PORT_OFFSET = 1
_MAX_SOCKETS = 500
_console = Console()


def dev(settings: Settings) -> None:
    """Serve until Ctrl-C. Raises ConfigurationError where the settings ask for more than one
    machine's default.
    """
    if not settings.is_sqlite or not settings.is_memory_bus:
        raise ConfigurationError(
            "dev runs on SQLite and memory:// only; unset DATABASE_URL and BROADCAST_URL, or "
            "use: omni-inbox serve"
        )
    state = sqlite_path(settings.database_url).parent
    make_private_folder(state)
    if len(settings.jwt_secret.encode()) < JWT_SECRET_MIN_BYTES:
        settings = replace(settings, jwt_secret=_kept_secret(state / "dev-jwt-secret"))
    if not settings.secret_key:
        settings = replace(settings, secret_key=_kept_secret(state / "dev-secret-key"))
    migrations.upgrade(settings.database_url)
    try:
        asyncio.run(_serve(settings, state))
    except KeyboardInterrupt:
        _console.print("stopped")


async def _serve(settings: Settings, state: Path) -> None:
    listener = reserve_port(settings.host, settings.port)
    port = listener.getsockname()[1]
    # Ctrl-C means now; the simulated Chatwoot is on this machine; few sockets, so that no limit of
    # open files is too low for a try
    settings = replace(
        settings,
        port=port,
        drain_seconds=0.0,
        chatwoot_allow_private=True,
        chatwoot_private_hosts="127.0.0.1,localhost",
        sockets_per_process=_MAX_SOCKETS,
    )
    sim = ChatwootSim(base_url="", account_name="Northwind Support")
    async with serving(
        sim, host=settings.host, port=_free_port(settings.host, port + _SIMULATED_PORT_OFFSET)
    ) as chatwoot_url:
        webhook = sim.add_webhook(
            settings.webhook_url,
            subscriptions=(*integration_checks.EVENTS, *integration_checks.TYPING_EVENTS),
        )
        password = await _prepare(settings, state, sim, chatwoot_url, webhook.secret)
        server = uvicorn.Server(uvicorn_config(settings, create_app(settings)))
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve(sockets=[listener]))
            # uvicorn offers no event
            while not server.started and not server.should_exit:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            seed(sim)
            seed_kinds(sim)
            _console.print(_welcome(settings, chatwoot_url, password))


async def _prepare(
    settings: Settings, state: Path, sim: ChatwootSim, chatwoot_url: str, secret: str
) -> str:
    """Fresh integrations for this run's simulated Chatwoot (the last run's has forgotten its
    numbers), one an inbox, and the sign-ins.
    """
    marker = state / "dev-integration.json"
    password, hashed = await asyncio.to_thread(_new_password)

    inboxes = inboxes_of_kinds(sim)

    async def write(connection: Connection) -> list[int]:
        now_us = wall_now_us()
        for earlier in _numbers_in(marker):
            await erase.erase_integration(connection, earlier)
        for email, name, role in _AGENTS:
            if (known := await agent_rows.read_password(connection, email)) is None:
                await agent_rows.add_agent(connection, _COMPANY, email, name, role, hashed, now_us)
            else:
                await agent_rows.update_password(connection, known[0], hashed, now_us)
        values = {
            "company_id": _COMPANY,
            "account_id": sim.account.id,
            "base_url": chatwoot_url,
            "access_token": sim.admin.access_token,
            "webhook_secret": secret,
            "webhook_mode": "local",
            "proved_us": now_us,
        }
        return [
            await integration_rows.add_integration(
                connection,
                parts.resources.vault,
                values | {"inbox_id": inbox.id, "inbox_name": inbox.name},
                now_us,
            )
            for inbox in inboxes
        ]

    async with build_application(settings).opened() as parts:
        numbers = await parts.resources.database.transaction(write)
    marker.write_text(json.dumps({"ids": numbers}))
    return password


def _numbers_in(marker: Path) -> list[int]:
    """The integrations of the run before; one, of an older version."""
    if not marker.exists():
        return []
    kept = json.loads(marker.read_text())
    numbers: list[int] = kept["ids"] if "ids" in kept else [kept["id"]]
    return numbers


def _welcome(settings: Settings, chatwoot_url: str, password: str) -> Panel:
    now = int(time.time())
    claims = {
        settings.jwt_subject_claim: f"{LOCAL_SUBJECT}1",
        LOCAL_CLAIM: True,
        settings.jwt_company_claim: _COMPANY,
        "name": "Asha Rahman",
        "role": "admin",
        "iat": now,
    }
    token = jwt.encode(
        claims | {"exp": now + _TOKEN_HOURS * 3600}, settings.jwt_secret, algorithm="HS256"
    )
    _console.print(
        f"API token for {_TOKEN_HOURS} h (Authorization: Bearer ...):\n{token}\n", soft_wrap=True
    )
    return Panel.fit(
        f"[bold]Inbox[/]               {settings.base_url}/inbox\n"
        f"[bold]Simulated Chatwoot[/]  {chatwoot_url}  (write as a customer here)\n\n"
        f"Sign in as          {' or '.join(email for email, _, _ in _AGENTS)}\n"
        f"Password            {password}\n\n"
        f"Webhook             {settings.webhook_url}\n"
        "Stop with           Ctrl-C",
        title="Omni Inbox is running",
    )


def _new_password() -> tuple[str, str]:
    password = secrets.token_urlsafe(9)
    return password, hash_password(password)


def _kept_secret(path: Path) -> str:
    """The development secret of this directory, so that a sign-in outlives a restart."""
    if not path.exists():
        make_private_file(path)
        path.write_text(new_secret())
    return path.read_text()


def _free_port(host: str, port: int) -> int:
    """The given port, or 0 (any) where another program listens on it."""
    try:
        socket.create_server((host, port)).close()
    except (OSError, OverflowError):
        return 0
    return port
