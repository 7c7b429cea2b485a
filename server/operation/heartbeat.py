"""A sign of life of a process that does not listen: a file whose time it renews while its event
loop turns.
"""

import asyncio
import contextlib
import socket
import time
from pathlib import Path

_EVERY_SECONDS = 5.0
FRESH_SECONDS = 30.0  # older than this, its event loop stands still or its process is gone


def heartbeat_path(spool_path: str) -> Path:
    """Beside the spool, which other machines and containers may share: each has a file of its
    own.
    """
    return Path(f"{spool_path}.worker.{socket.gethostname()}")


async def beat_until(ended: asyncio.Event, path: Path) -> None:
    """Renew the file until that is set; then it goes. A full disk, or a folder that cannot be
    written, ends nothing.
    """
    try:
        while not ended.is_set():
            _beat(path)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EVERY_SECONDS):
                    await ended.wait()
    finally:
        _end(path)


def _beat(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _end(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def age_seconds(path: Path) -> float | None:
    """How long ago it beat last; None: never, or it has ended."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return None
