"""Clients of the socket that are broken, hostile, silent or slow cost only themselves."""

import asyncio
import contextlib
import json
import struct
from collections.abc import Awaitable, Callable

import pytest
from websockets.exceptions import ConnectionClosed

from tests.integration.sockets.clients import silent
from tests.kit.company import Company
from tests.kit.socket_client import AgentSocket

# what is sent below messages never comes near a database
WITHOUT_PRODUCTION = pytest.mark.parametrize(
    "socket_server", ["embedded", "plain ASGI"], indirect=True
)


async def _is_well(company: Company) -> None:
    """Whatever was done to one socket: another one hears the next message at once."""
    known = await company.head()
    async with company.socket(99) as agent:
        await company.post(company.message(100_000 + known, conversation_id=77))
        await agent.wait_for_seq(known + 1)


@pytest.mark.parametrize(
    ("cursor", "code"),
    [
        ("", 4001),
        (".", 4001),
        ("garbage", 4001),
        ("abc.-1", 4001),
        ("abc.1.5", 4001),
        (f"abc.{2**63}", 4001),
        ("abc.٣", 4001),
        ("a' OR 1=1 --.1", 4001),
        ("x" * 60_000, 4001),
        ("x" * 1_000_000, 1009),
    ],
    ids=[
        "empty",
        "dot",
        "garbage",
        "negative",
        "fraction",
        "2^63",
        "other digits",
        "SQL",
        "60 KB",
        "1 MB",
    ],
)
async def test_what_never_was_a_cursor_is_refused(company: Company, cursor: str, code: int) -> None:
    """A final code: trying again would not help."""
    async with silent(company.socket(cursor=cursor)) as agent:
        await _send_all(
            agent, json.dumps({"type": "hello", "token": agent.token, "cursor": cursor})
        )
        assert await agent.wait_closed() == code
        if code == 4001:
            assert (agent.frames[0]["type"], agent.frames[0]["fatal"]) == ("error", True)
    await _is_well(company)


async def test_a_cursor_of_another_type_is_refused(company: Company) -> None:
    """A number, an object."""
    for cursor in (5, {"a": 1}, ["x"], True):
        async with silent(company.socket()) as agent:
            await agent.send("hello", token=agent.token, cursor=cursor)
            assert await agent.wait_closed() == 4001


async def test_hello_that_does_not_come_ends_the_socket(company: Company) -> None:
    """Within the time of the settings (row 8)."""
    async with silent(company.socket()) as agent:
        assert await agent.wait_closed(limit=10) == 4001


async def test_a_handshake_that_is_never_finished_is_ended(company: Company) -> None:
    """Half a request, then silence: the connection does not stay for ever."""
    reader, writer = await asyncio.open_connection("127.0.0.1", company.omni.port)
    writer.write(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n")
    await writer.drain()
    await _is_well(company)
    writer.close()
    await writer.wait_closed()
    assert reader.at_eof() or not await reader.read()


Misuse = Callable[[AgentSocket], Awaitable[None]]


async def _hello_twice(agent: AgentSocket) -> None:
    await agent.say_hello()
    await agent.say_hello()


def _raw(data: bytes) -> Misuse:
    async def send(agent: AgentSocket) -> None:
        agent.send_wire(data)

    return send


def _said(frame: str | bytes) -> Misuse:
    async def send(agent: AgentSocket) -> None:
        await _send_all(agent, frame)

    return send


def _masked(first: int, payload: bytes) -> bytes:
    """A client's frame with that first byte; a mask of zeros leaves the payload as it is."""
    size = (
        struct.pack("!B", 0x80 | len(payload))
        if len(payload) < 126
        else struct.pack("!BH", 0xFE, len(payload))
    )
    return bytes([first]) + size + bytes(4) + payload


BEFORE_HELLO: dict[str, tuple[Misuse, set[int]]] = {
    "another type first": (_said('{"type": "pong", "id": 1}'), {4001}),
    "hello twice": (_hello_twice, {4001}),
    "binary hello": (_said(b'{"type": "hello"}'), {4001}),
    "no JSON": (_said("hello"), {4001}),
    "no object": (_said("[1]"), {4001}),
    "no type": (_said("{}"), {4001}),
    "empty": (_said(""), {4001}),
    "NaN": (_said('{"type": "hello", "cursor": NaN}'), {4001}),
    "wrong types": (_said('{"type": "hello", "token": 5}'), {4001}),
    "deep JSON": (_said('{"type": "hello", "x":' + "[" * 60_000), {4001}),
    "lone surrogate": (_said('{"type": "hello", "token": "\\ud800"}'), {4001, 4205}),
    "huge number": (_said('{"type": "hello", "version": ' + "9" * 5_000 + "}"), {4001}),
    "NUL": (_said('{"type": "hello\x00"}'), {4001}),
    "invalid UTF-8": (_raw(_masked(0x81, b'{"type": "hello", "token": "\xff\xfe"}')), {1007, 4001}),
}


ANY_TIME: dict[str, tuple[Misuse, set[int]]] = {
    "unmasked": (_raw(b"\x81\x05hello"), {1002}),
    "reserved bits": (_raw(_masked(0xF1, b"{}")), {1002}),
    "reserved opcode": (_raw(_masked(0x83, b"{}")), {1002}),
    "a long ping": (_raw(_masked(0x89, b"x" * 126)), {1002}),
    "a fragmented ping": (_raw(_masked(0x09, b"x")), {1002}),
    "a continuation of nothing": (_raw(_masked(0x80, b"x")), {1002}),
    "16 MB announced": (_raw(b"\x81\xff" + struct.pack("!Q", 16_000_000) + bytes(4)), {1009}),
    "16 MB": (_said("x" * 16_000_000), {1009}),
    "70,000 fragments": (_raw(_masked(0x01, b"{") + _masked(0x00, b" ") * 70_000), {1009, 4108}),
    "empty fragments without end": (
        _raw(_masked(0x01, b"{") + _masked(0x00, b"") * 20_000),
        {4108},
    ),
    "protocol pings without end": (_raw(_masked(0x89, b"hi") * 10_000), {4108}),
}


AFTER_HELLO: dict[str, tuple[Misuse, set[int]]] = {
    "binary": (_said(b"{}"), {1003}),
    "no JSON": (_said("hello"), {4001}),
    "wrong types": (_said('{"type": "auth", "token": 5}'), {4001}),
    "deep JSON": (_said('{"type": "pong", "x":' + "[" * 60_000), {4001}),
    "invalid UTF-8": (_raw(_masked(0x81, b'{"type": "pong", "cursor": "\xff\xfe"}')), {1007, 4001}),
}


# plain uvicorn has no budget for these: they cost their own connection's CPU and memory there
_ONLY_PUSHED = {"empty fragments without end", "protocol pings without end"}


@WITHOUT_PRODUCTION
@pytest.mark.parametrize("case", [*BEFORE_HELLO, *sorted(set(ANY_TIME) - _ONLY_PUSHED)])
async def test_misuse_before_hello_ends_with_its_code(company: Company, case: str) -> None:
    """And costs nobody else anything (rows 7, 8)."""
    misuse, codes = (BEFORE_HELLO | ANY_TIME)[case]
    async with silent(company.socket()) as agent:
        await misuse(agent)
        assert await agent.wait_closed() in codes
    await _is_well(company)


@WITHOUT_PRODUCTION
@pytest.mark.parametrize("case", [*AFTER_HELLO, *sorted(set(ANY_TIME) - _ONLY_PUSHED)])
async def test_misuse_after_hello_ends_with_its_code(company: Company, case: str) -> None:
    """The same for a client that was let in."""
    misuse, codes = (AFTER_HELLO | ANY_TIME)[case]
    async with company.socket() as agent:
        await misuse(agent)
        assert await agent.wait_closed() in codes
    await _is_well(company)


@pytest.mark.parametrize("case", sorted(_ONLY_PUSHED))
async def test_a_flood_below_messages_is_too_fast(pushed: Company, case: str) -> None:
    """Control frames and empty fragments are no messages, and are counted all the same (rows
    6, 7).
    """
    misuse, codes = ANY_TIME[case]
    async with pushed.socket() as agent:
        await misuse(agent)
        assert await agent.wait_closed() in codes
    await _is_well(pushed)


async def test_a_message_in_fragments_is_one_message(company: Company) -> None:
    """Fragmented as a proxy may do it, with a protocol ping in between."""
    text = json.dumps({"type": "hello", "token": company.token(), "cursor": None}).encode()
    parts = [text[n : n + 40] for n in range(0, len(text), 40)]
    frames = [_masked(0x00, part) for part in parts[1:-1]]
    async with silent(company.socket()) as agent:
        agent.send_wire(
            _masked(0x01, parts[0])
            + _masked(0x89, b"hi")
            + b"".join(frames)
            + _masked(0x80, parts[-1])
        )
        await agent.wait_for_frame("welcome")


async def test_a_flood_is_too_fast(company: Company) -> None:
    """4108 after its budget; the others of the company hear everything meanwhile (row 6)."""
    async with company.socket(2) as other, company.socket() as flooder:
        for _ in range(400):
            try:
                await flooder.send("typing", conversationId=1, on=True)
            except ConnectionClosed:
                break
        assert await flooder.wait_closed() == 4108
        await company.post(company.message(1))
        await other.wait_for(lambda e: e.kind == "message.created")


async def _send_all(agent: AgentSocket, frame: str | bytes) -> None:
    """Send what may be refused before it is all there."""
    with contextlib.suppress(ConnectionClosed):
        await agent.send_raw(frame)
