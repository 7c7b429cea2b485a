"""A Chatwoot whose agents' socket sends what keeps a process busy: the connection ends, or its
sender waits.
"""

import asyncio

import pytest
from websockets.frames import Opcode

from server.chatwoot.cable import Cable, CableFailed, CableNetwork
from tests.kit.hostile_cable import framed, hostile_cable


def _network(most_bytes: int = 5_000_000) -> CableNetwork:
    return CableNetwork(allows_private=True, private_hosts=(), proxy="", most_bytes=most_bytes)


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(framed(b"", Opcode.PING) * 50_000, id="pings"),
        pytest.param(framed(b"", Opcode.PONG) * 50_000, id="pongs"),
        pytest.param(framed(b"") * 50_000, id="empty frames"),
        pytest.param(
            framed(b"", fin=False) + framed(b"", Opcode.CONT, fin=False) * 50_000, id="fragments"
        ),
    ],
)
async def test_a_flood_of_nothing_ends_the_connection(flood: bytes) -> None:
    """However few bytes it is, and though no message is too large."""
    async with asyncio.timeout(60), hostile_cable(flood) as chatwoot:
        with pytest.raises(CableFailed, match="the connection ended"):
            async with _network().listening(chatwoot.base_url, 1, 1, "token") as cable:
                await _read(cable)


async def test_a_frame_that_is_too_large_is_left_out() -> None:
    """Whatever WEBHOOK_MAX_BYTES says; one that is far too large ends the connection."""
    async with (
        asyncio.timeout(60),
        hostile_cable(framed(b"x" * 1_100_000)) as chatwoot,
        _network().listening(chatwoot.base_url, 1, 1, "token") as cable,
    ):
        assert await anext(cable.frames()) == b""
    with pytest.raises(CableFailed, match="the connection ended"):
        async with (
            asyncio.timeout(60),
            hostile_cable(framed(b"x" * 4_000_000)) as chatwoot,
            _network().listening(chatwoot.base_url, 1, 1, "token") as cable,
        ):
            await _read(cable)


async def _read(cable: Cable) -> None:
    async for _ in cable.frames():
        pass
