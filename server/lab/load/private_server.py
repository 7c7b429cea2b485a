"""`--start-server`: a server for this run alone, in a process of its own, on a free port of
127.0.0.1.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from server.db import migrations
from server.errors import ConfigurationError
from server.operation.listeners import listeners
from server.settings import Settings, new_secret

_START_SECONDS = 30.0
_STOP_SECONDS = 30.0
_PROBE_SECONDS = 0.05
_LOWEST_PORT, _HIGHEST_PORT = 10_240, 32_767
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class PrivateServer:
    """One `serve` process, which may be stopped and started again, as a deploy does."""

    def __init__(self, environment: Mapping[str, str], port: int, log: Path) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._environment = dict(environment)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that was started last, 0 before the first."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start it, and return when it answers. Raises ConfigurationError, with the end of its log,
        when it does not.

        Another program on the port meanwhile answers as well, and would be measured: so it must be
        ours that listens.
        """
        with self._log.open("ab") as log:
            argv = [
                sys.executable,
                "-m",
                "server",
                "serve",
                "--host",
                "127.0.0.1",
                "--port",
                str(self.port),
            ]
            # our own program
            self._process = subprocess.Popen(argv, env=self._environment, stdout=log, stderr=log)  # noqa: S603
        until = time.monotonic() + _START_SECONDS
        while not (self._process.pid in listeners(self.port) and self._answers()):
            if self._process.poll() is not None or time.monotonic() > until:
                raise ConfigurationError(
                    f"the private server did not start:\n{self._log.read_text()[-2_000:]}"
                )
            time.sleep(_PROBE_SECONDS)

    def stop(self) -> None:
        """Stop it as a deploy does: SIGTERM, and time to drain."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            with _OPENER.open(f"{self.url}/livez", timeout=2) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def private_server(wanted: Mapping[str, str]) -> Iterator[tuple[PrivateServer, Settings]]:
    """Yield a server that is not started yet, with its settings: on an SQLite file of its own,
    unless `wanted` or the environment names another database.
    """
    with tempfile.TemporaryDirectory(prefix="omni-load-") as directory:
        port = _free_port()
        environment = {
            "DATABASE_URL": f"sqlite:///{directory}/omni.db",
            "JWT_SECRET": new_secret(),
            "SECRET_KEY": new_secret(),
            "SPOOL_PATH": f"{directory}/spool.db",
            "LOG_LEVEL": "WARNING",
            "CHATWOOT_ALLOW_PRIVATE": "true",  # the simulated one is on this machine
            "DRAIN_SECONDS": "0",
            "CHATWOOT_REQUESTS_PER_MINUTE": "60000",
            **os.environ,
            **wanted,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
        }
        settings = Settings.from_environment(environment)
        migrations.upgrade(settings.database_url)
        server = PrivateServer(environment, port, Path(directory) / "server.log")
        try:
            yield server, settings
        finally:
            server.stop()


def _free_port() -> int:
    """A free port below the range of outgoing connections (32768 to 60999, Linux's default), by
    chance: two runs that begin together do not pick the same one.
    """
    chance = random.SystemRandom()
    while True:
        port = chance.randint(_LOWEST_PORT, _HIGHEST_PORT)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
