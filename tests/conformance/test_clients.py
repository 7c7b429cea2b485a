"""The browser's module and the load harness's agent hold the recorded conversations; and the judge
sees who does not.
"""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.conformance.__main__ import try_client
from tests.conformance.conversations import (
    FRAMES,
    Conversation,
    read_all,
    written,
)
from tests.kit.processes import find_program

CONVERSATIONS = read_all()
_BROWSER = Path(__file__).parents[1] / "node" / "conformance_client.mjs"
_NODE = find_program("node")
_HARNESS = [sys.executable, "-m", "tests.conformance.agent", "{url}"]

each = pytest.mark.parametrize(
    "conversation", CONVERSATIONS, ids=lambda conversation: conversation["name"]
)


def test_the_conversations_are_those_of_the_recorded_frames() -> None:
    """After a change: python -m tests.conformance.record."""
    assert (
        sorted(
            written(json.loads(FRAMES.read_text())), key=lambda conversation: conversation["name"]
        )
        == CONVERSATIONS
    )


@each
@pytest.mark.skipif(_NODE is None, reason="Node is not installed (Debian package nodejs)")
async def test_the_browser_s_module_conforms(conversation: Conversation) -> None:
    """The very file that is served to browsers, with Node's own WebSocket."""
    assert (
        await try_client(
            [
                str(_NODE),
                "--experimental-websocket",
                "--no-warnings",
                str(_BROWSER),
                "{url}",
                "{cursor}",
            ],
            conversation,
        )
        is None
    )


@each
async def test_the_harness_s_agent_conforms(conversation: Conversation) -> None:
    """But for a gap, which it counts and goes on: it is there to find them."""
    problem = await try_client(_HARNESS, conversation)
    assert (problem is None) == (conversation["name"] != "gap"), problem


@pytest.mark.parametrize(
    ("name", "words"),
    [("first-visit", "did not come"), ("final", "did not come")],
    ids=["first-visit", "final"],
)
async def test_a_client_that_does_nothing_departs_at_once(name: str, words: str) -> None:
    """A kit that nobody fails would prove nothing."""
    [conversation] = [one for one in CONVERSATIONS if one["name"] == name]
    hurried: Conversation = {
        **conversation,
        "steps": [{"connection": 300}, *conversation["steps"][1:]],
    }
    async with asyncio.timeout(30):
        problem = await try_client(
            [sys.executable, "-c", "import time; time.sleep(20)", "{url}"], hurried
        )
    assert problem is not None
    assert words in problem
