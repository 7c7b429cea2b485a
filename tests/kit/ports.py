"""Free TCP ports for private servers."""

import contextlib
import random
import socket
from pathlib import Path

_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_240
# not the shared generator: it is seeded anew for each test, and two sessions would pick the same
# ports
_random = random.SystemRandom()


def free_port() -> int:
    """A TCP port on 127.0.0.1 that is free now.

    It lies below the range the system takes client ports from, so that no outgoing connection can
    sit on it while the server that owns it is dead and about to be started again.
    """
    highest = _lowest_ephemeral() - 1
    for _ in range(200):
        port = _random.randint(_LOWEST, highest)
        if _is_free(port):
            return port
    raise RuntimeError(f"no free port between {_LOWEST} and {highest}")


def accepts_connections(port: int) -> bool:
    """True if something listens on 127.0.0.1:port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False


def _is_free(port: int) -> bool:
    with socket.socket() as candidate:
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _lowest_ephemeral() -> int:
    try:
        return int(_EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768
