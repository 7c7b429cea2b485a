"""Records what a real server says, and writes the conversations: `python -m
tests.conformance.record`, after the protocol has grown.
"""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from server.db.migrations import upgrade
from tests.conformance.conversations import FOLDER, FRAMES, written
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni

_EVENTS = 6


async def record(directory: Path) -> dict[str, Any]:
    """One agent, one customer, an SQLite file."""
    url = f"sqlite:///{directory / 'omni.db'}"
    upgrade(url)
    server = Omni(directory, database_url=url, env={"PING_SECONDS": "1"})
    await asyncio.to_thread(server.start)
    try:
        return await _converse(server)
    finally:
        await asyncio.to_thread(server.kill9)


async def _converse(server: Omni) -> dict[str, Any]:
    async with Company(server) as company:
        async with company.socket() as agent:
            before = agent.cursor
            await company.post_all([company.message(number) for number in range(1, _EVENTS + 1)])
            await eventually(lambda: len(agent.events) >= _EVENTS)
            await eventually(lambda: any(frame["type"] == "ping" for frame in agent.frames))
        async with company.socket(cursor=before) as again:
            await eventually(lambda: any(frame["type"] == "live" for frame in again.frames))
        frames = {
            kind: next(frame for frame in again.frames if frame["type"] == kind)
            for kind in ("welcome", "live")
        }
    frames["ping"] = next(frame for frame in agent.frames if frame["type"] == "ping")
    return frames | {
        "events": [frame for frame in agent.frames if frame["type"] == "event"][:_EVENTS]
    }


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="omni-record-") as directory:
        frames = asyncio.run(record(Path(directory)))
    FRAMES.write_text(json.dumps(frames, indent=1, ensure_ascii=False) + "\n")
    FOLDER.mkdir(exist_ok=True)
    for conversation in written(frames):
        (FOLDER / f"{conversation['name']}.json").write_text(
            json.dumps(conversation, indent=1, ensure_ascii=False) + "\n"
        )


if __name__ == "__main__":
    main()
