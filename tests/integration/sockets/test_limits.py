"""How many sockets there may be, and how long one may not read."""

import asyncio
from pathlib import Path

import pytest

from tests.integration.sockets.clients import head_after
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import running

BIG = "x" * 100_000


@pytest.mark.parametrize("at_once", [False, True])
async def test_too_many_sockets_of_one_agent_are_refused(company: Company, at_once: bool) -> None:
    """The 51st and all further, also when all say hello while the company's feed is still being
    opened: 4129, back off; another agent of the same office is let in (row 9).
    """
    async with asyncio.TaskGroup() as group:
        sockets = [company.socket() for _ in range(60)]
        for socket in sockets:
            socket._tasks = group
            await socket.open()
            if not at_once:
                await socket.say_hello()
        for socket in sockets:
            if at_once:
                await socket.say_hello()
        for socket in sockets:
            await socket.wait_until(lambda s=socket: s.frames or s.close_code)  # type: ignore[misc]
        refused = [socket for socket in sockets if not socket.frames_of("welcome")]
        assert [await socket.wait_closed() for socket in refused] == [4129] * 10
        assert {socket.frames[0]["code"] for socket in refused} == {"too_many_requests"}
        assert all(socket.frames[0]["retryMs"] > 0 for socket in refused)
        async with company.socket(2) as colleague:
            assert colleague.welcome["companyId"] == company.id
        for socket in sockets:
            await socket.close()


async def test_strangers_of_one_address_are_bounded(tmp_path: Path) -> None:
    """Sockets that nobody signs in on count by their address; those who have signed in do not (row
    9).
    """
    with running(tmp_path, env={"STRANGERS_PER_ADDRESS": "3", "HELLO_SECONDS": "60"}) as server:
        async with Company(server) as company, asyncio.TaskGroup() as group:
            strangers = [company.socket() for _ in range(4)]
            for stranger in strangers:
                stranger._tasks = group
                await stranger.open()
            assert await strangers[3].wait_closed() == 4129
            await strangers[0].say_hello()
            await strangers[0].wait_for_frame("welcome")
            async with company.socket(2) as colleague:
                assert colleague.welcome["companyId"] == company.id
            for stranger in strangers[:3]:
                await stranger.close()


async def test_a_reader_that_stops_is_let_go_and_resumes(pushed: Company) -> None:
    """4208 after the time of the settings; the others have each message meanwhile; afterwards
    nothing is missing (row 5).
    """
    async with pushed.socket(2) as other, pushed.socket() as slow:
        slow.freeze()
        before = await _closes(pushed, 4208)
        for number in range(1, 61):
            await pushed.post(pushed.message(number, BIG))
            await other.wait_for(
                lambda e, n=number: e.data.get("message", {}).get("chatwootMessageId") == n  # type: ignore[misc]
            )

        async def is_let_go() -> bool:
            return await _closes(pushed, 4208) == before + 1

        await eventually(is_let_go, limit=10)
        slow.thaw()
        assert await slow.wait_closed() in (4208, 1006)
        await slow.resume()
        await slow.wait_for_seq(await pushed.head(), limit=20)
    assert [event.seq for event in slow.events] == [event.seq for event in other.events]


async def test_a_reader_that_pauses_catches_up(company: Company) -> None:
    """Shorter than the limit, with more than its buffers hold: nothing is lost, the socket
    stays.
    """
    async with company.socket() as slow:
        slow.freeze()
        for number in range(1, 9):
            await company.post(company.message(number, BIG))
        head = await head_after(company, 8)
        slow.thaw()
        await slow.wait_for_seq(head, limit=20)
        assert len(slow.frames_of("welcome")) == 1


async def _closes(company: Company, code: int) -> float:
    text = (await company.http.get("/metrics")).text
    lines = [
        line
        for line in text.splitlines()
        if line.startswith(f'omni_inbox_socket_closes_total{{code="{code}"}}')
    ]
    return float(lines[0].rsplit(" ", 1)[1]) if lines else 0.0
