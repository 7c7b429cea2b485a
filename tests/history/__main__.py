"""Fetch and compare much history: `python -m tests.history [--conversations 3000] [--messages 75000]`."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import httpx

from server.db.database import Database
from server.dev.chatwoot_sim import ChatwootSim, serving
from tests.history.world import ACCOUNT, INBOX, World, filled
from tests.unit.databases import fresh_sqlite


async def run(conversations: int, messages: int) -> bool:
    sim = ChatwootSim(account_id=ACCOUNT, inbox_id=INBOX)
    filled(sim, conversations, messages)
    with tempfile.TemporaryDirectory() as folder:
        url = fresh_sqlite(Path(folder) / "history.db")
        async with serving(sim), Database(url) as database, httpx.AsyncClient(trust_env=False) as http:
            world = World(sim, database, http)
            one = await world.add()
            wholly = True
            for name, writes in (("sync", True), ("sync --verify", False), ("sync again", True)):
                figures, outcome = await world.measured(name, one, writes=writes)
                print(figures.line(), *outcome.errors, sep="\n  ")
                wholly &= figures.missing == 0 and not outcome.errors and not outcome.comparison.is_incomplete
    return wholly


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=3_000)
    parser.add_argument("--messages", type=int, default=75_000)
    given = parser.parse_args()
    sys.exit(0 if asyncio.run(run(given.conversations, given.messages)) else 1)


main()
