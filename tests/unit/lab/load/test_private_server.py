"""The server that a load run starts for itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from server.errors import ConfigurationError
from server.lab.load.private_server import PrivateServer

_STRANGER = """
import http.server, sys
class Ok(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Ok)
print(server.server_port, flush=True)
server.serve_forever()
"""


def test_a_program_that_took_the_port_is_not_taken_for_the_server(tmp_path: Path) -> None:
    """It answers `/livez` as ours would: the run would measure a stranger, and give it the
    webhooks.
    """
    stranger = subprocess.Popen([sys.executable, "-c", _STRANGER], stdout=subprocess.PIPE)
    try:
        assert stranger.stdout is not None
        port = int(stranger.stdout.readline())
        environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": f"sqlite:///{tmp_path}/omni.db",
            "SPOOL_PATH": f"{tmp_path}/spool.db",
        }
        server = PrivateServer(environment, port, tmp_path / "server.log")
        with pytest.raises(ConfigurationError, match="did not start"):
            server.start()
        server.stop()
    finally:
        stranger.kill()
        stranger.wait()
        assert stranger.stdout is not None
        stranger.stdout.close()
