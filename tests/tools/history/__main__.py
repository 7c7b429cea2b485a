"""Fetch and compare much history: `python -m tests.tools.history [--conversations 3000] [--messages
75000]`.

First while conversations are deleted and others go on, then once more for what came meanwhile, then
compared without writing. Ends with 1 when anything is missing.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import httpx

from server.db.engine.database import Database
from server.incoming.sync_outcome import SyncOutcome
from server.lab.chatwoot_sim import ChatwootSim, serving
from tests.tools.history.world import (
    ACCOUNT,
    INBOX,
    World,
    delete_some,
    filled,
)
from tests.unit.databases import fresh_sqlite

_TELL_SECONDS = 5.0


async def run(conversations: int, messages: int, deletions: int) -> bool:
    sim = ChatwootSim(account_id=ACCOUNT, inbox_id=INBOX)
    filled(sim, conversations, messages)
    with tempfile.TemporaryDirectory() as folder:
        url = fresh_sqlite(Path(folder) / "history.db")
        async with (
            serving(sim),
            Database(url) as database,
            httpx.AsyncClient(trust_env=False) as http,
        ):
            world = World(sim, database, http)
            one = await world.add()
            before, done = world.there(), asyncio.Event()
            async with asyncio.TaskGroup() as group:
                deleting = group.create_task(delete_some(sim, done, 0.5, deletions))
                figures, outcome = await world.measured(
                    "sync, while some are deleted", one, on_progress=_Progress()
                )
                done.set()
            print(
                figures.line(),
                f"{deleting.result()} conversations were deleted meanwhile",
                *outcome.errors,
                sep="\n  ",
                flush=True,
            )
            hidden = len((before & world.there()) - await world.here())
            print(f"  {hidden} of the messages that were there all the while are missing")
            is_whole = hidden == 0 and not outcome.errors
            for name, writes in (("sync again", True), ("sync --verify", False)):
                figures, outcome = await world.measured(
                    name, one, writes=writes, on_progress=_Progress()
                )
                print(figures.line(), *outcome.errors, sep="\n  ", flush=True)
                is_whole &= (
                    figures.missing == 0
                    and not outcome.errors
                    and not outcome.comparison.is_incomplete
                )
    return is_whole


class _Progress:
    """Says every few seconds how far a walk is."""

    def __init__(self) -> None:
        self._began = self._said = time.monotonic()

    def __call__(self, outcome: SyncOutcome) -> None:
        now = time.monotonic()
        if now - self._said >= _TELL_SECONDS:
            self._said = now
            print(
                f"  {now - self._began:4.0f} s: {outcome.walked} of {outcome.total} conversations",
                file=sys.stderr,
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=3_000)
    parser.add_argument("--messages", type=int, default=75_000)
    parser.add_argument("--deletions", type=int, default=100, help="at most so many, two a second")
    given = parser.parse_args()
    sys.exit(0 if asyncio.run(run(given.conversations, given.messages, given.deletions)) else 1)


main()
