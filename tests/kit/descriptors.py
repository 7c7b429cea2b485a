"""The open descriptors of a server's process, by kind: what it has opened and not closed."""

import contextlib
import os
from collections import Counter
from pathlib import Path

from tests.kit.eventually import eventually
from tests.kit.omni import Omni


def open_descriptors(server: Omni) -> Counter[str]:
    """A file by its path."""
    found: Counter[str] = Counter()
    folder = Path(f"/proc/{server.process.pid}/fd")
    for number in os.listdir(folder):
        with contextlib.suppress(OSError):
            target = os.readlink(folder / number)
            found[target.split(":")[0] if ":[" in target else target] += 1
    return found


async def settled_descriptors(server: Omni, most_sockets: int = 12) -> Counter[str]:
    """What stays open when nothing happens: kept connections end by themselves. The least of what
    is seen.
    """
    least: Counter[str] = open_descriptors(server)

    async def is_still() -> bool:
        nonlocal least
        now = open_descriptors(server)
        is_same, least = now == least, now
        return is_same and now["socket"] <= most_sockets

    await eventually(is_still, 60)
    return least


async def nothing_more_than(server: Omni, before: Counter[str]) -> None:
    """Wait until no kind has more than it had. Raises AssertionError that says which have."""

    async def is_as_before() -> bool:
        left = open_descriptors(server) - before
        assert not left, f"still open: {dict(left)}"
        return True

    await eventually(is_as_before, 60)
