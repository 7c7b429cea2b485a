"""The system's nginx with deploy/nginx.conf, on a free port, before processes of this machine."""

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.kit.ports import accepts_connections, free_port
from tests.kit.processes import NotReady, ServerProcess, find_program

CONFIGURATION = Path(__file__).parents[3] / "deploy" / "nginx.conf"


class Nginx(ServerProcess):
    """`ports`: of the processes behind it, in place of those in the file. `close()` removes
    everything.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        program = find_program("nginx")
        if program is None:
            raise NotReady("nginx is not installed (Debian package nginx-light)")
        self.directory = Path(tempfile.mkdtemp(prefix="omni-nginx-"))
        self.port = free_port()
        path = self.directory / "nginx.conf"
        path.write_text(_main(self.directory, _site(self.port, ports)))
        super().__init__(
            [
                program,
                "-c",
                str(path),
                "-p",
                str(self.directory),
                "-e",
                str(self.directory / "error.log"),
            ],
            log_path=self.directory / "nginx.log",
            is_ready=lambda: accepts_connections(self.port),
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def errors(self) -> str:
        return (self.directory / "error.log").read_text(errors="replace")

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def _site(port: int, ports: Sequence[int]) -> str:
    """The file as it is shipped, but for its ports."""
    text = CONFIGURATION.read_text()
    for shipped, ours in zip((8001, 8002), ports, strict=True):
        assert f"server 127.0.0.1:{shipped} " in text
        text = text.replace(f"server 127.0.0.1:{shipped} ", f"server 127.0.0.1:{ours} ")
    text, count = re.subn(r"listen 8080;", f"listen 127.0.0.1:{port};", text)
    assert count == 1
    return text


def _main(directory: Path, site: str) -> str:
    """What Debian's own nginx.conf gives the file around it; everything in our directory."""
    temporary = "\n".join(
        f"{kind}_temp_path {directory}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.getuid() == 0 else ""
    return f"""{user}
daemon off;
pid {directory}/nginx.pid;
worker_processes 1;
worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
http {{
    access_log off;
    {temporary}
    {site}
}}
"""
