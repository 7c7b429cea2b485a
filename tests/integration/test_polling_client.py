"""The polling page as it is, and made push-fed: React Query's core, two generations of it, against
the real server.
"""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kit.company import Company
from tests.kit.eventually import eventually, scaled
from tests.kit.processes import find_program

_NODE = Path(__file__).parent.parent / "node"
_SCRIPT = _NODE / "polling_client.mjs"
_PUSH_SCRIPT = _NODE / "react-query" / "push_client.mjs"
_LIST_MS, _THREAD_MS = "400", "200"  # the page's 10 s and 5 s, shortened alike


class Polling:
    """The Node process and what it has said."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.said: list[dict[str, Any]] = []

    async def listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.said.append(json.loads(line))

    def latest(self, key: str) -> Any:
        return next((line[key] for line in reversed(self.said) if line.get(key) is not None), None)

    async def count_answers(self) -> dict[str, int]:
        assert self._process.stdin is not None
        before = sum("answers" in line for line in self.said)
        self._process.stdin.write(b"\n")
        await self._process.stdin.drain()
        await eventually(lambda: sum("answers" in line for line in self.said) > before)
        answers: dict[str, int] = self.latest("answers")
        return answers


@asynccontextmanager
async def polling(
    company: Company, generation: str, conversation_id: int
) -> AsyncIterator[Polling]:
    arguments = [
        str(_SCRIPT),
        generation,
        company.omni.base_url,
        company.token(),
        str(conversation_id),
        _LIST_MS,
        _THREAD_MS,
    ]
    async with _running(arguments) as client:
        yield client


@asynccontextmanager
async def pushed(company: Company, generation: str, conversation_id: int) -> AsyncIterator[Polling]:
    # Node 20 has its socket behind this flag, later ones take it for granted
    arguments = ["--experimental-websocket", "--no-warnings", str(_PUSH_SCRIPT), generation]
    async with _running(
        [*arguments, company.omni.base_url, company.token(), str(conversation_id)]
    ) as client:
        yield client


@asynccontextmanager
async def _running(arguments: list[str]) -> AsyncIterator[Polling]:
    node = find_program("node")
    assert node is not None, "Node is not installed"
    process = await asyncio.create_subprocess_exec(str(node), *arguments, stdin=PIPE, stdout=PIPE)
    client = Polling(process)
    async with asyncio.TaskGroup() as group:
        group.create_task(client.listen())
        try:
            yield client
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()


@pytest.mark.parametrize("generation", ["5", "4"])
async def test_a_polling_page_sees_a_new_message_within_its_interval(
    company: Company, generation: str
) -> None:
    """List and thread follow by polling alone, with the documented calls."""
    await company.post(company.message(1, "first"))
    whole = await company.conversation_with(1)
    async with polling(company, generation, whole["id"]) as client:
        await eventually(lambda: client.latest("thread") == ["first"], limit=scaled(10))
        before = client.latest("list")
        await company.post(company.message(2, "দ্বিতীয়"))
        await eventually(lambda: client.latest("thread") == ["first", "দ্বিতীয়"], limit=scaled(5))
        await eventually(lambda: client.latest("list") != before, limit=scaled(5))
        assert not [line for line in client.said if "error" in line]


async def test_unchanged_polls_are_304(company: Company) -> None:
    """Once both answers are kept, polls of a company at rest bring no body."""
    await company.post(company.message(1))
    whole = await company.conversation_with(1)
    async with polling(company, "5", whole["id"]) as client:
        await eventually(lambda: client.latest("thread"), limit=scaled(10))
        before = await client.count_answers()

        async def several_polls() -> bool:
            answers = await client.count_answers()
            return answers["304"] >= before["304"] + 6

        await eventually(several_polls, limit=scaled(10))
        assert (await client.count_answers())["200"] == before["200"]


@pytest.mark.parametrize("generation", ["5", "4"])
async def test_a_page_made_push_fed_sees_messages_without_a_fetch(
    company: Company, generation: str
) -> None:
    """At its old intervals of 5 and 10 s; a hundred messages come in order, by the socket alone."""
    await company.post(company.message(1, "first"))
    whole = await company.conversation_with(1)
    async with pushed(company, generation, whole["id"]) as client:
        await eventually(
            lambda: client.latest("status") == "live" and client.latest("thread") == ["first"],
            limit=scaled(10),
        )
        # the first connection's reset has fetched what was there already, once
        before = await _fetches_at_rest(client)
        await company.post_all([company.message(n, f"message {n}") for n in range(2, 102)])
        expected = ["first", *(f"message {n}" for n in range(2, 102))]
        await eventually(lambda: client.latest("thread") == expected, limit=scaled(20))
        await eventually(
            lambda: client.latest("list") == [[whole["id"], "message 101"]], limit=scaled(5)
        )
        assert (await client.count_answers())["fetches"] == before
        assert not [line for line in client.said if "error" in line]


async def _fetches_at_rest(client: Polling) -> int:
    """How many fetches there were, once there are at least four (two queries, each twice)."""

    async def enough() -> int:
        count = (await client.count_answers())["fetches"]
        return count if count >= 4 else 0

    return await eventually(enough, limit=scaled(10))
