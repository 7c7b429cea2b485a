"""A private Redis server on a free port, without persistence, that tests may kill, freeze and start
again.
"""

import shutil
import socket
import tempfile
from pathlib import Path

from tests.kit.ports import free_port
from tests.kit.processes import NotReady, ServerProcess, find_program


def has_redis() -> bool:
    """True if the server's program is installed."""
    return find_program("redis-server") is not None


class Redis(ServerProcess):
    """Redis with nothing on disk: every restart begins empty, as pub/sub does. `close()` removes
    everything.
    """

    def __init__(self) -> None:
        program = find_program("redis-server")
        if program is None:
            raise NotReady("Redis is not installed (Debian package redis-server)")
        self.directory = Path(tempfile.mkdtemp(prefix="omni-redis-"))
        self.port = free_port()
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "dir": str(self.directory),
        }
        super().__init__(
            [program, *(word for name, value in options.items() for word in (f"--{name}", value))],
            log_path=self.directory / "redis.log",
            is_ready=self._answers,
        )

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self, *words: str) -> str:
        """Run one command on a connection of its own; returns the raw (RESP) answer, which must fit
        in 64 KiB.
        """
        request = "".join(
            [f"*{len(words)}\r\n", *(f"${len(word.encode())}\r\n{word}\r\n" for word in words)]
        )
        with socket.create_connection(("127.0.0.1", self.port), timeout=5.0) as connection:
            connection.sendall(request.encode())
            return connection.recv(65_536).decode()

    def drop_connections(self) -> None:
        """CLIENT KILL for subscribers and ordinary clients alike."""
        self.command("CLIENT", "KILL", "TYPE", "pubsub")
        self.command("CLIENT", "KILL", "TYPE", "normal")

    def close(self) -> None:
        """Kill the server and remove its directory."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            return self.command("PING").startswith("+PONG")
        except OSError:
            return False
