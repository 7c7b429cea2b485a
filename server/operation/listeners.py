"""Processes of this machine that listen on a port, from /proc."""

import os
from pathlib import Path

_LISTEN = "0A"  # a TCP state, in /proc/net/tcp


def listeners(port: int) -> tuple[int, ...]:
    """Return the pids that listen on the port, as far as this user may see them."""
    try:
        lines = [
            line.split()
            for name in ("tcp", "tcp6")
            for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        ]
    except OSError:
        return ()
    sockets = {
        f"socket:[{line[9]}]"
        for line in lines
        if line[3] == _LISTEN and int(line[1].rpartition(":")[2], 16) == port
    }
    return tuple(pid for pid in _pids() if sockets & _links(pid))


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _links(pid: int) -> set[str]:
    found = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    except OSError:
        return found
    return found
