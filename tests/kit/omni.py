"""The server under test as its users run it: the installed command, in processes of its own, told
everything by the environment.
"""

import base64
import http.client
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt

from tests.kit import forks
from tests.kit.eventually import patient
from tests.kit.ports import free_port
from tests.kit.processes import ServerProcess, Started, start_program

COMMAND = Path(sys.executable).with_name("omni-inbox")
JWT_SECRET = "the secret that the CRM of these tests signs with"  # at least 32 bytes, as HS256 asks
SECRET_KEY = base64.urlsafe_b64encode(b"k" * 32).decode()
# what a fresh shell of the machine gives; nothing of a developer's own settings reaches the server
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "COVERAGE_PROCESS_START")
# it speaks plain HTTP; reading the list of authorities costs 50 ms of a core for each client
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Omni:
    """One `omni-inbox serve`. `prepare()` once per database, then `start()`; several may share a
    database and a bus.
    """

    def __init__(
        self,
        directory: Path,
        *,
        database_url: str,
        broadcast_url: str = "memory://",
        workers: int | None = None,
        env: Mapping[str, str] | None = None,
        is_shared: bool = False,
    ) -> None:
        """`directory` takes log and spool; `env` adds to the environment or replaces what is
        in it. `is_shared`: it goes on running for other tests.
        """
        self.port = free_port()
        self.is_shared = is_shared
        self.directory = directory
        self.env = {
            **{name: os.environ[name] for name in _INHERITED if name in os.environ},
            "PYTHONUNBUFFERED": "1",
            "DATABASE_URL": database_url,
            "BROADCAST_URL": broadcast_url,
            "JWT_SECRET": JWT_SECRET,
            "SECRET_KEY": SECRET_KEY,
            "SPOOL_PATH": str(directory / f"spool-{self.port}.db"),
            "PUBLIC_URL": self.base_url,
            "CHATWOOT_ALLOW_PRIVATE": "true",  # the simulated one is on this machine
            "CHATWOOT_PRIVATE_HOSTS": "127.0.0.1,localhost",  # and is quoted
            # a second source would bring what a test has lost on purpose
            "CHATWOOT_SOCKETS": "false",
            "INTEGRATION_WATCH_SECONDS": "3600",  # most tests break things on purpose
            "DRAIN_SECONDS": "0",  # a stop in a test means now
            # what it would find beside a test is missing from the test's own counts
            "HISTORY_REQUESTS_PER_HOUR": "0",
            **(env or {}),
        }
        workers_option = [] if workers is None else ["--workers", str(workers)]
        self.process = ServerProcess(
            [
                str(COMMAND),
                "serve",
                "--host",
                "127.0.0.1",
                "--port",
                str(self.port),
                *workers_option,
            ],
            log_path=directory / f"omni-{self.port}.log",
            is_ready=self._is_live,
            env=self.env,
            cwd=directory,
            start=_start,
        )

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def log(self) -> str:
        return self.process.log

    # life

    def prepare(self) -> None:
        """`omni-inbox db upgrade`."""
        self._checked("db", "upgrade")

    def start(self, limit: float = 20.0) -> None:
        """Start and wait for `/livez`, at most `limit` seconds (scaled)."""
        self.process.start(limit)

    def kill9(self) -> None:
        self.process.kill()

    def terminate(self, limit: float = 20.0) -> int | None:
        """SIGTERM and wait; returns the exit code."""
        return self.process.stop(limit)

    def restart(self, limit: float = 20.0) -> None:
        self.process.restart(limit)

    def freeze(self) -> None:
        self.process.freeze()

    def thaw(self) -> None:
        self.process.thaw()

    def another(
        self, *, workers: int | None = None, env: Mapping[str, str] | None = None
    ) -> "Omni":
        """A second server on the same database and bus, with a port and a spool of its own; not
        started yet.
        """
        own = {
            name: value
            for name, value in self.env.items()
            if name not in ("SPOOL_PATH", "PUBLIC_URL")
        }
        return Omni(
            self.directory,
            database_url=self.env["DATABASE_URL"],
            broadcast_url=self.env["BROADCAST_URL"],
            workers=workers,
            env={**own, **(env or {})},
        )

    # the command line

    def cli(
        self, *arguments: str, input: str | None = None, limit: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run `omni-inbox` with these arguments in the server's environment; the exit code is the
        caller's to judge.
        """
        command, text = [str(COMMAND), *arguments], input or ""
        if forks.can_fork(self.env):
            return forks.run(
                command, input=text, env=self.env, cwd=self.directory, timeout=patient(limit)
            )
        return subprocess.run(
            command,
            input=text,
            env=self.env,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=patient(limit),
            check=False,
        )

    def add_integration(
        self,
        *,
        company_id: int = 1,
        account_id: int = 3,
        inbox_id: int = 12,
        access_token: str = "token-of-a-chatwoot-agent",
        chatwoot_url: str = "http://127.0.0.1:9",
        webhook_secret: str | None = None,
    ) -> dict[str, Any]:
        """Returns {id, webhookUrl}. Account and inbox default to those of tests/payloads; the
        default address refuses.
        """
        options = {
            "company-id": company_id,
            "account-id": account_id,
            "inbox-id": inbox_id,
            "access-token": access_token,
            "base-url": chatwoot_url,
            "webhook-secret": webhook_secret,
            "unsigned": "refused" if webhook_secret else "accepted",
        }
        return self._json("integration", "add", "--trusted", *_options(options))

    def add_agent(
        self,
        *,
        company_id: int = 1,
        email: str = "tomas@example.org",
        name: str = "Tomas Berg",
        role: str = "agent",
        password: str = "correct horse battery staple",
    ) -> dict[str, Any]:
        """Returns {id}."""
        options = {"company-id": company_id, "email": email, "name": name, "role": role}
        return self._json(
            "agent", "add", *_options(options), "--password-stdin", input=password + "\n"
        )

    # clients

    def token(
        self, company_id: int = 1, agent_id: int | str = 1, *, hours: float = 8.0, **claims: Any
    ) -> str:
        """A JWT as the CRM issues it; `claims` add to it or replace what is in it (None takes a
        claim out).
        """
        now = int(time.time())
        payload = {
            "sub": str(agent_id),
            "companyId": company_id,
            "iat": now,
            "exp": now + int(hours * 3600),
            **claims,
        }
        present = {name: value for name, value in payload.items() if value is not None}
        return jwt.encode(present, self.env["JWT_SECRET"], algorithm="HS256")

    def client(self, token: str | None = None, **options: Any) -> httpx.AsyncClient:
        """An HTTP client at `base_url`; signs in with the token if there is one. Use it as `async
        with`.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        defaults: dict[str, Any] = {
            "base_url": self.base_url,
            "headers": headers,
            "timeout": patient(10.0),
            "trust_env": False,
            "verify": _NO_AUTHORITIES,
        }
        return httpx.AsyncClient(**(defaults | options))

    def _json(self, *arguments: str, input: str | None = None) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._checked(*arguments, input=input))
        return answer

    def _checked(self, *arguments: str, input: str | None = None) -> str:
        done = self.cli(*arguments, input=input)
        command = " ".join(arguments[:2])
        assert done.returncode == 0, (
            f"omni-inbox {command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done.stdout

    def _is_live(self) -> bool:
        try:
            with _OPENER.open(f"{self.base_url}/livez", timeout=1.0) as response:
                return bool(response.status == 200)
        except (OSError, http.client.HTTPException):
            return False


def _start(argv: Sequence[str], *, env: Mapping[str, str], **streams: Any) -> Started:
    """Forked where that is the same, else as a program."""
    if argv[0] == str(COMMAND) and forks.can_fork(env):
        return forks.start(argv, env=env, **streams)
    return start_program(argv, env=env, **streams)


def _options(values: Mapping[str, object | None]) -> list[str]:
    return [
        word
        for name, value in values.items()
        if value is not None
        for word in (f"--{name}", str(value))
    ]


@contextmanager
def running(
    directory: Path,
    *,
    database_url: str = "",
    broadcast_url: str = "memory://",
    workers: int | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Omni]:
    """A server while inside, on a new database: a SQLite file in the directory, unless another is
    named.
    """
    url = database_url or f"sqlite:///{directory / 'omni.db'}"
    server = Omni(
        directory, database_url=url, broadcast_url=broadcast_url, workers=workers, env=env
    )
    server.prepare()
    try:
        server.start()
        yield server
    finally:
        server.kill9()
