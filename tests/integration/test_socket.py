"""The socket as docs/protocol.md describes it: over our own WebSocket protocol on both stacks, and over plain ASGI."""

import asyncio
import contextlib
import json
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from server.core.times import SECOND
from server.db import accounts, eventlog
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.socket_client import AgentSocket

BIG = "x" * 100_000


@pytest.fixture
async def company(socket_server: Omni) -> AsyncIterator[Company]:
    """A fresh company on each of the three servers."""
    async with Company(socket_server) as company:
        yield company


# what is sent below messages never comes near a database
WITHOUT_PRODUCTION = pytest.mark.parametrize("socket_server", ["embedded", "plain ASGI"], indirect=True)


@pytest.fixture
async def pushed(server: Omni) -> AsyncIterator[Company]:
    """A fresh company where sockets are pushed to: what plain ASGI cannot do."""
    async with Company(server) as company:
        yield company


@contextlib.asynccontextmanager
async def silent(socket: AgentSocket) -> AsyncIterator[AgentSocket]:
    """Connected, without hello."""
    async with asyncio.TaskGroup() as group:
        socket._tasks = group
        await socket.open()
        yield socket
        await socket.close()


async def _is_well(company: Company) -> None:
    """Whatever was done to one socket: another one hears the next message at once."""
    known = await company.head()
    async with company.socket(99) as agent:
        await company.post(company.message(100_000 + known, conversation_id=77))
        await agent.wait_for_seq(known + 1)


async def test_hello_is_answered_by_welcome(company: Company) -> None:
    """Every field of the protocol; without a cursor a snapshot is asked for."""
    async with company.socket() as agent:
        welcome = agent.welcome
        assert set(welcome) >= {"session", "agent", "companyId", "mode", "reason", "cursor", "pingMs", "now", "expiresAt"}
        assert (welcome["mode"], welcome["reason"], welcome["companyId"], welcome["pingMs"]) == ("reset", "new", company.id, 1000)
        assert set(welcome["agent"]) == {"id", "name", "role"}
        assert welcome["expiresAt"].endswith("Z")
        assert welcome["cursor"] == (await company.http.get("/api/conversations")).headers["inbox-cursor"]


async def test_an_event_holds_its_objects_as_rest_gives_them(company: Company) -> None:
    """Seq, kind, both times, and the whole conversation and message."""
    async with company.socket() as agent:
        await company.post(company.message(1))
        event = await agent.wait_for(lambda e: e.kind == "message.created")
    whole = await company.conversation_with(1)
    (message,) = whole.pop("messages")
    del whole["readCount"], whole["unreadCount"]
    assert event.data == {"conversation": whole, "message": message}
    assert event.at == message["createdAt"]
    assert event.received_at.endswith("Z")
    assert event.seq == whole["seq"] == await company.head()


async def test_a_client_at_the_head_missed_nothing(company: Company) -> None:
    """mode `live`, and the next event follows."""
    async with company.socket() as agent:
        cursor = agent.cursor
    async with company.socket(cursor=cursor) as agent:
        assert (agent.welcome["mode"], agent.welcome["reason"]) == ("live", None)
        await company.post(company.message(1))
        await agent.wait_for_seq(await _head_after(company, 1))


async def test_a_client_behind_is_replayed_to(company: Company) -> None:
    """mode `replay`, all events after its cursor, then `live`."""
    async with company.socket() as agent:
        cursor = agent.cursor
    await company.post_all([company.message(n) for n in range(1, 31)])
    head = await _head_after(company, 30)
    async with company.socket(cursor=cursor) as agent:
        assert (agent.welcome["mode"], agent.welcome["cursor"]) == ("replay", f"{str(cursor).partition('.')[0]}.{head}")
        live = await agent.wait_for_frame("live")
        assert live["cursor"] == agent.cursor == agent.welcome["cursor"]
        types = [frame["type"] for frame in agent.frames if frame["type"] not in ("ping", "presence")]
        assert types == ["welcome", *["event"] * head, "live"]


async def test_pings_carry_the_head_and_are_answered(company: Company) -> None:
    """Every interval; the kit checks that a client that heard everything is never behind one."""
    async with company.socket() as agent:
        await company.post(company.message(1))
        await agent.wait_for(lambda e: e.kind == "message.created")
        ping = await agent.wait_for_frame("ping", known=1)
        assert set(ping) >= {"id", "cursor", "now"}
        assert agent.is_open
        ids = [frame["id"] for frame in agent.frames_of("ping")]
        assert len(set(ids)) == len(ids)
        assert agent.frames_of("ping")[-1]["cursor"] == agent.cursor


async def test_unknown_types_and_fields_are_ignored(company: Company) -> None:
    """A newer client, with words we do not know yet."""
    async with company.socket() as agent:
        await agent.send("dance", steps=[1, 2])
        await agent.send("typing", conversationId=1, on=True)
        await agent.send("pong", id=1, cursor=agent.cursor, mood="good")
        await company.post(company.message(1))
        await agent.wait_for(lambda e: e.kind == "message.created")
        assert agent.is_open


@pytest.mark.parametrize("is_cut", [True, False], ids=["cut", "closed"])
async def test_500_webhooks_while_a_client_comes_and_goes(company: Company, is_cut: bool) -> None:
    """Resumed by its cursor again and again: each event once, in order, and what it holds is what a snapshot says."""
    async with company.socket() as agent, asyncio.TaskGroup() as group:
        for first in range(1, 501, 100):
            group.create_task(_send(company, range(first, first + 100)))
        for seq in range(40, 500, 50):
            await agent.wait_for_seq(seq, limit=20)
            agent.cut() if is_cut else await agent.close()
            await agent.wait_closed()
            assert (await agent.resume())["mode"] != "reset"
        head = await _head_after(company, 500, limit=20)
        await agent.wait_for_seq(head, limit=20)
    assert [event.seq for event in agent.events] == list(range(1, head + 1))
    snapshot = {row["id"]: row["seq"] for row in await company.conversations()}
    assert {number: row["seq"] for number, row in agent.model.conversations.items()} == snapshot


async def _send(company: Company, numbers: range) -> None:
    for number in numbers:
        await company.post(company.message(number, conversation_id=number % 7 + 1))


async def _head_after(company: Company, messages: int, limit: float = 5.0) -> int:
    """The head once so many messages are in."""

    async def head() -> int | None:
        rows = await company.rows(
            "SELECT COUNT(*) FROM social_messages m JOIN social_conversations c ON c.id = m.conversation_id WHERE c.company_id = :c",
            c=company.id,
        )
        return await company.head() if rows[0][0] == messages else None

    return await eventually(head, limit)


RESET_CURSORS: dict[str, tuple[Callable[[str, int], str], str]] = {
    "of another epoch": (lambda epoch, head: f"{epoch[::-1]}x.{head}", "epoch"),
    "ahead of the head": (lambda epoch, head: f"{epoch}.{head + 1}", "ahead"),
    "as far ahead as can be": (lambda epoch, head: f"{epoch}.{2**53}", "ahead"),
}


@pytest.mark.parametrize("case", RESET_CURSORS)
async def test_a_cursor_that_does_not_fit_is_a_reset(company: Company, case: str) -> None:
    """Told with its reason; the events after the head follow."""
    make, reason = RESET_CURSORS[case]
    epoch, _, head = (await company.http.get("/api/conversations")).headers["inbox-cursor"].partition(".")
    async with company.socket(cursor=make(epoch, int(head))) as agent:
        assert (agent.welcome["mode"], agent.welcome["reason"]) == ("reset", reason)
        await company.post(company.message(1))
        await agent.wait_for(lambda e: e.kind == "message.created")


async def test_a_cursor_of_another_company_gives_nothing_of_it(company: Company) -> None:
    """Another company, another epoch: a reset, and then only our own events."""
    async with Company(company.omni) as other:
        await other.post_all([other.message(n, "theirs") for n in range(1, 6)])
        await _head_after(other, 5)
        cursor = (await other.http.get("/api/conversations")).headers["inbox-cursor"]
        async with company.socket(cursor=f"{cursor.partition('.')[0]}.1") as agent:
            assert (agent.welcome["mode"], agent.welcome["reason"]) == ("reset", "epoch")
            await company.post(company.message(1, "ours"))
            await agent.wait_for(lambda e: e.kind == "message.created")
            assert {e.data["conversation"]["companyId"] for e in agent.events} == {company.id}


async def test_a_cursor_below_the_floor_is_a_reset(company: Company) -> None:
    """Asleep for days: the events are gone, a snapshot is asked for."""
    cursor = (await company.http.get("/api/conversations")).headers["inbox-cursor"]
    await company.post_all([company.message(n) for n in range(1, 11)])
    await _head_after(company, 10)
    far = int(time.time() * SECOND) + 3600 * SECOND
    await company.database.transaction(lambda c: eventlog.trim_events(c, company.id, far, 5))

    async def is_reset() -> bool:
        async with company.socket(cursor=cursor) as agent:
            return (agent.welcome["mode"], agent.welcome["reason"]) == ("reset", "too_old")

    await eventually(is_reset)
    epoch = cursor.partition(".")[0]
    async with company.socket(cursor=f"{epoch}.5") as agent:  # the floor itself is still good
        await agent.wait_for_frame("live")


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
    ids=["empty", "dot", "garbage", "negative", "fraction", "2^63", "other digits", "SQL", "60 KB", "1 MB"],
)
async def test_what_never_was_a_cursor_is_refused(company: Company, cursor: str, code: int) -> None:
    """A final code: trying again would not help."""
    async with silent(company.socket(cursor=cursor)) as agent:
        await _send_all(agent, json.dumps({"type": "hello", "token": agent.token, "cursor": cursor}))
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
    size = struct.pack("!B", 0x80 | len(payload)) if len(payload) < 126 else struct.pack("!BH", 0xFE, len(payload))
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
    "empty fragments without end": (_raw(_masked(0x01, b"{") + _masked(0x00, b"") * 20_000), {4108}),
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
    """Control frames and empty fragments are no messages, and are counted all the same (rows 6, 7)."""
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
        agent.send_wire(_masked(0x01, parts[0]) + _masked(0x89, b"hi") + b"".join(frames) + _masked(0x80, parts[-1]))
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


@pytest.mark.parametrize("at_once", [False, True])
async def test_too_many_sockets_of_one_agent_are_refused(company: Company, at_once: bool) -> None:
    """The 51st and all further, also when all say hello while the company's feed is still being opened: 4129, back off; another agent of
    the same office is let in (row 9)."""
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
    """Sockets that nobody signs in on count by their address; those who have signed in do not (row 9)."""
    server = Omni(tmp_path, database_url=f"sqlite:///{tmp_path / 'omni.db'}", env={"STRANGERS_PER_ADDRESS": "3", "HELLO_SECONDS": "60"})
    server.prepare()
    server.start()
    try:
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
    finally:
        server.kill9()


async def test_a_reader_that_stops_is_let_go_and_resumes(pushed: Company) -> None:
    """4208 after the time of the settings; the others are not delayed; afterwards nothing is missing (row 5)."""
    async with pushed.socket(2) as other, pushed.socket() as slow:
        slow.freeze()
        before = await _closes(pushed, 4208)
        for number in range(1, 61):
            started = time.monotonic()
            await pushed.post(pushed.message(number, BIG))
            await other.wait_for(lambda e, n=number: e.data.get("message", {}).get("chatwootMessageId") == n)  # type: ignore[misc]
            assert time.monotonic() - started < 2.0

        async def is_let_go() -> bool:
            return await _closes(pushed, 4208) == before + 1

        await eventually(is_let_go, limit=10)
        slow.thaw()
        assert await slow.wait_closed() in (4208, 1006)
        await slow.resume()
        await slow.wait_for_seq(await pushed.head(), limit=20)
    assert [event.seq for event in slow.events] == [event.seq for event in other.events]


async def test_a_reader_that_pauses_catches_up(company: Company) -> None:
    """Shorter than the limit, with more than its buffers hold: nothing is lost, the socket stays."""
    async with company.socket() as slow:
        slow.freeze()
        for number in range(1, 9):
            await company.post(company.message(number, BIG))
        head = await _head_after(company, 8)
        slow.thaw()
        await slow.wait_for_seq(head, limit=20)
        assert len(slow.frames_of("welcome")) == 1


async def _closes(company: Company, code: int) -> float:
    text = (await company.http.get("/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith(f'omni_inbox_socket_closes_total{{code="{code}"}}')]
    return float(lines[0].rsplit(" ", 1)[1]) if lines else 0.0


async def test_a_token_that_expires_ends_its_socket(company: Company) -> None:
    """4205: sign in again, then resume (row 44)."""
    token = company.token(exp=int(time.time()) + 2)
    async with AgentSocket(company.omni.ws_url, token=token) as agent:
        assert await agent.wait_closed(limit=10) == 4205


async def test_a_renewed_token_keeps_its_socket(company: Company) -> None:
    """`auth` in time: answered, and the socket lives on past the first token's end."""
    end = int(time.time()) + 2
    async with AgentSocket(company.omni.ws_url, token=company.token(exp=end)) as agent:
        await agent.send("auth", token=company.token())
        await agent.wait_for_frame("auth")

        def is_past() -> bool:
            return time.time() > end + 1.5

        await agent.wait_until(is_past, limit=20)  # looked at with each ping
        assert agent.is_open
        await company.post(company.message(1))
        await agent.wait_for(lambda e: e.kind == "message.created")


async def test_the_answer_to_a_renewal_says_its_end_as_welcome_does(company: Company) -> None:
    """One form for one field."""
    async with company.socket() as agent:
        await agent.send("auth", token=company.token(hours=2))
        answer = await agent.wait_for_frame("auth")
        assert isinstance(answer["expiresAt"], str)
        assert answer["expiresAt"].endswith("Z")


@pytest.mark.parametrize("case", ["another agent", "another company"])
async def test_a_renewal_as_somebody_else_is_refused(company: Company, case: str) -> None:
    """4003: a socket belongs to whom it was opened by (row 44)."""
    async with company.socket() as agent:
        token = company.token(2) if case == "another agent" else company.omni.token(company.id + 500_000)
        await agent.send("auth", token=token)
        assert await agent.wait_closed() == 4003
        assert agent.frames_of("error")[0]["code"] == "forbidden"


async def test_a_renewal_with_a_bad_token_ends_the_socket(company: Company) -> None:
    """As at hello."""
    async with company.socket() as agent:
        await agent.send("auth", token="garbage")
        assert await agent.wait_closed() == 4205


@pytest.mark.parametrize("case", ["disabled", "signed out everywhere"])
async def test_an_agent_without_access_is_silent_within_seconds(company: Company, case: str) -> None:
    """The live socket is closed for good, and a new one is refused (row 45)."""
    async with company.socket(7) as agent, company.socket(8) as colleague:
        number = await company.agent_number(7)
        now = int(time.time() * SECOND)
        is_active, after = case != "disabled", now + 2 * SECOND if case != "disabled" else 0
        await company.database.transaction(
            lambda c: accounts.update_access(c, number, is_active=is_active, valid_after_us=after, now_us=now)
        )
        assert await agent.wait_closed(limit=5) == 4003
        await company.post(company.message(1))
        await colleague.wait_for(lambda e: e.kind == "message.created")
        assert not agent.events
    async with silent(company.socket(7)) as again:
        await again.say_hello()
        assert await again.wait_closed() == 4205


async def test_read_marks_of_one_agent_reach_their_other_tabs(company: Company) -> None:
    """`conversation.read` with the agent it belongs to; the conversation itself stays as it is."""
    async with company.socket() as tab:
        await company.post_all([company.message(1), company.message(2)])
        row = await company.conversation_with(2)
        answer = await company.http.post(f"/api/conversations/{row['id']}/read", json={"messageId": row["messages"][0]["id"]})
        assert (answer.json()["readCount"], answer.json()["unreadCount"]) == (1, 1)
        event = await tab.wait_for(lambda e: e.kind == "conversation.read")
    assert {name: event.data[name] for name in ("agentId", "readCount", "messageId")} == {
        "agentId": tab.welcome["agent"]["id"],
        "readCount": 1,
        "messageId": row["messages"][0]["id"],
    }
    assert event.data["conversation"]["seq"] == row["seq"]


async def _send_all(agent: AgentSocket, frame: str | bytes) -> None:
    """Send what may be refused before it is all there."""
    with contextlib.suppress(ConnectionClosed):
        await agent.send_raw(frame)
