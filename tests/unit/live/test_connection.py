"""One socket: every seq once and in order, whatever the order of push, pause, resume and catching
up; and the ends it can come to.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.close_codes import CloseCode
from server.core.wire.websocket_bytes import text_frame
from server.errors import DatabaseUnavailable, Forbidden
from server.live.connection import LiveConnection
from server.live.connection_ports import SocketAccess
from server.live.hub import Hub
from tests.kit.eventually import eventually
from tests.unit.sockets import (
    PACE,
    Alone,
    Log,
    Socket,
    check_order,
    connect,
    tick,
)

HEAD = 10
Step = str


def _do(step: Step, log: Log, connection: LiveConnection) -> None:
    acts: dict[Step, Callable[[], object]] = {
        "append": log.append,
        "append 4": lambda: log.append(4),
        "pause": connection.on_pause,
        "resume": connection.on_resume,
        "answer": log.answer,
        "advance": connection.advance,
    }
    acts[step]()


async def _settle(log: Log, connection: LiveConnection) -> None:
    connection.on_resume()
    for _ in range(100):
        log.answer()
        await tick(3)
        if connection.seq == log.head and not log.is_asked:
            return


async def _play(steps: Sequence[Step], seq: int, ring_from: int | None) -> None:
    """Take these steps one after the other; in the end the socket has everything, once and in
    order.
    """
    hub = Hub()
    log = Log(hub, HEAD, ring_from=ring_from)
    other, other_socket = connect(hub, log, HEAD)
    connection, socket = connect(hub, log, seq, is_replaying=seq < HEAD)
    for step in steps:
        await tick() if step == "tick" else _do(step, log, connection)
        check_order(socket, seq)
    await _settle(log, connection)
    assert check_order(socket, seq) == log.head
    assert len(socket.of_type("live")) == (seq < HEAD)
    assert check_order(other_socket, HEAD) == log.head
    assert connection.seq == other.seq == log.head
    connection.close(CloseCode.NORMAL)
    other.close(CloseCode.NORMAL)


# live; behind in the ring; behind it; far behind it
PLACES = [(HEAD, None), (7, 5), (7, None), (0, 5)]


@pytest.mark.parametrize(("seq", "ring_from"), PLACES)
def test_every_order_of_events_and_waits_is_whole(seq: int, ring_from: int | None) -> None:
    """All orders of two events, a pause, a resume, an answer of the log and two turns of the
    loop.
    """

    async def play_all() -> None:
        steps = set(
            itertools.permutations(
                ["append", "append", "pause", "resume", "answer", "tick", "tick"]
            )
        )
        for order in sorted(steps):
            await _play(order, seq, ring_from)

    asyncio.run(play_all())


@settings(max_examples=150)
@given(
    st.sampled_from(PLACES),
    st.lists(
        st.sampled_from(["append", "append 4", "pause", "resume", "answer", "advance", "tick"]),
        max_size=40,
    ),
)
def test_any_long_story_is_whole(place: tuple[int, int | None], steps: list[Step]) -> None:
    """Many pauses and pages, events at every point between."""
    asyncio.run(_play(steps, *place))


@settings(max_examples=60)
@given(
    st.integers(0, HEAD),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12),
)
def test_an_event_while_joining_is_there_exactly_once(
    seq: int, joins: list[tuple[int, int]]
) -> None:
    """Clients join before, between and after events of one turn of the loop (rows 3 and 4)."""

    async def play() -> None:
        hub = Hub()
        log = Log(hub, HEAD, ring_from=1)
        sockets: list[tuple[Socket, int]] = []
        for events, ticks in joins:
            sockets.append((connect(hub, log, seq, is_replaying=seq < HEAD)[1], seq))
            sockets.append((connect(hub, log, log.head)[1], log.head))
            if events:
                log.append(events)
            await tick(ticks)
        await tick(3)
        for socket, start in sockets:
            assert check_order(socket, start) == log.head

    asyncio.run(play())


async def test_joined_between_two_events_of_one_turn() -> None:
    """The hub writes both at once; who has the first already still gets the second, now and not
    with the next event.
    """
    hub = Hub()
    log = Log(hub, HEAD)
    connect(hub, log, HEAD)
    log.append()
    _, socket = connect(hub, log, log.head)
    log.append()
    await tick(3)
    assert socket.seqs == [12]


async def test_a_paused_socket_is_written_nothing_more() -> None:
    """Not even a ping: its buffer is full."""
    hub = Hub()
    log = Log(hub, HEAD)
    connection, socket = connect(hub, log, HEAD)
    connection.on_pause()
    connection.on_pause()
    log.append(3)
    await tick(2)
    connection.on_deadline(time.monotonic() + PACE.slow - 1)
    assert socket.messages == []
    connection.on_resume()
    assert socket.seqs == [11, 12, 13]


async def test_a_page_is_written_in_order_with_a_push_that_followed() -> None:
    """Catching up behind the ring while events go on."""
    hub = Hub()
    log = Log(hub, HEAD)
    connection, socket = connect(hub, log, 2, is_replaying=True)
    await tick()
    log.append()
    await tick(2)
    assert socket.messages == []
    await _settle(log, connection)
    assert socket.seqs == list(range(3, 12))
    assert [message["type"] for message in socket.messages][-1] == "live"


async def test_a_log_that_does_not_reach_back_is_a_reset() -> None:
    """And events go on from the head."""
    hub = Hub()
    log = Log(hub, HEAD)
    log.floor = 5
    connection, socket = connect(hub, log, 2, is_replaying=True)
    await tick()
    await _settle(log, connection)
    assert socket.of_type("reset") == [{"type": "reset", "reason": "too_old", "cursor": "e1.10"}]
    log.append()
    await tick(2)
    assert check_order(socket, 2) == 11
    assert not socket.of_type("live")


@pytest.mark.parametrize(
    ("error", "code"), [(DatabaseUnavailable(), 4113), (RuntimeError("a bug"), 1011)]
)
async def test_a_log_that_cannot_be_read_ends_the_socket(
    error: Exception, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The client resumes; it is never left behind in silence."""
    hub = Hub()
    log = Log(hub, HEAD)
    _, socket = connect(hub, log, 2, is_replaying=True)
    await tick()
    log.answer(error)
    await eventually(lambda: socket.closed)
    assert socket.closed is not None
    assert socket.closed[0] == code
    assert hub.count == 0
    caplog.clear()


async def test_a_page_of_the_life_before_is_not_written_after_a_reset() -> None:
    """The log began anew while the page was under way, and its head stands where the page began."""
    hub = Hub()
    log = Log(hub, HEAD)
    connection, socket = connect(hub, log, 7, is_replaying=True)
    await tick()
    log.epoch, log.head = "e2", 7
    connection.reset("epoch")
    log.answer()
    await tick(3)
    assert socket.seqs == []
    assert [message["cursor"] for message in socket.of_type("reset")] == ["e2.7"]


async def test_a_lost_socket_asks_for_nothing_more() -> None:
    """What was under way is given up, and a late push is harmless."""
    hub = Hub()
    log = Log(hub, HEAD)
    connection, socket = connect(hub, log, 2)
    await tick()
    connection.on_lost(1006)
    await tick(2)
    log.append()
    connection.catch_up(11)
    connection.reset("epoch")
    assert (hub.count, log.is_asked, socket.seqs) == (0, False, [])


# -- what the client says
# ---


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"{", 4001),
        (b'{"type": "hello"}', 4001),
        (b'{"type": "pong", "id": 1}', None),
        (b'{"type": "typing"}', 4001),
        (b'{"type": "typing", "conversationId": 7, "on": true}', None),
        (b'{"type": "viewing", "conversationId": null}', None),
        (b'{"type": "waving"}', None),
    ],
)
async def test_what_is_said_after_the_welcome(text: bytes, code: int | None) -> None:
    """A broken message or a second hello ends it; pongs and unknown types do not."""
    hub = Hub()
    connection, socket = connect(hub, Log(hub, HEAD), HEAD)
    connection.on_text(text)
    assert (socket.closed[0] if socket.closed else None) == code


async def test_a_flood_and_binary_end_it() -> None:
    """4108 after the budget; 1003 for what this protocol does not have."""
    hub = Hub()
    connection, socket = connect(hub, Log(hub, HEAD), HEAD)
    for _ in range(100):
        connection.on_text(b'{"type": "pong"}')
    assert socket.closed == (4108, "too fast")
    connection, socket = connect(hub, Log(hub, HEAD), HEAD)
    connection.on_binary()
    assert socket.closed is not None
    assert socket.closed[0] == 1003


async def test_a_renewed_token_moves_the_end() -> None:
    """Answered in the same form as the welcome gave it."""
    hub = Hub()
    connection, socket = connect(hub, Log(hub, HEAD), HEAD, expires_at=time.time() + 1)

    async def renew(token: str) -> SocketAccess:
        return SocketAccess(
            {"good": 1_784_365_265.0, "endless": None}[token],
            token_key=token,
            issued_us=7,
            is_admin=token == "endless",
        )

    connection.start(is_replaying=False, renew=renew)
    connection.on_text(b'{"type": "auth", "token": "good"}')
    await eventually(lambda: socket.of_type("auth"))
    connection.on_text(b'{"type": "auth", "token": "endless"}')
    await eventually(lambda: len(socket.of_type("auth")) == 2)
    assert [message["expiresAt"] for message in socket.of_type("auth")] == [
        "2026-07-18T09:01:05.000Z",
        None,
    ]
    assert (
        connection.expires_at,
        connection.token_key,
        connection.issued_us,
        connection.is_admin,
    ) == (None, "endless", 7, True)


async def test_a_renewal_that_cannot_be_judged_may_be_tried_again() -> None:
    """The database is away: the sign-in before still counts, until its end."""
    hub = Hub()
    connection, socket = connect(hub, Log(hub, HEAD), HEAD)

    async def fail(_token: str) -> SocketAccess:
        raise DatabaseUnavailable

    connection.start(is_replaying=False, renew=fail)
    connection.on_text(b'{"type": "auth", "token": "x"}')
    await eventually(lambda: socket.of_type("error"))
    assert socket.closed is None


async def test_what_is_held_back_follows() -> None:
    """While it is not known who may read nothing of the company leaves, by whatever way it comes;
    then all of it, in order.
    """
    hub, colleagues = Hub(), Alone()
    log = Log(hub, HEAD)
    level, level_socket = connect(hub, log, HEAD, colleagues=colleagues)
    level.send_presence_snapshot(text_frame(b'{"type": "presence"}'))
    is_current = False
    hub.is_current = lambda: is_current
    log.append(3)
    behind, behind_socket = connect(hub, log, HEAD - 5, is_replaying=True, colleagues=colleagues)
    level.send_ephemeral(text_frame(b'{"type": "presence"}'))
    await tick(3)
    level.on_deadline(time.monotonic() + PACE.ping)
    log.answer()
    await tick(3)
    assert (level_socket.seqs, behind_socket.seqs, len(level_socket.of_type("presence"))) == (
        [],
        [],
        1,
    )
    assert [message["cursor"] for message in level_socket.of_type("ping")] == [f"e1.{HEAD}"]
    is_current = True
    hub.release()

    def is_level() -> bool:
        log.answer()
        return bool(behind_socket.of_type("live"))

    await eventually(is_level)
    assert check_order(level_socket, HEAD) == check_order(behind_socket, HEAD - 5) == HEAD + 3
    assert colleagues.uninformed == [level, behind]


async def test_a_walk_is_held_back_in_its_middle() -> None:
    """A process that was stopped between two chunks of a large company."""
    hub = Hub()
    log = Log(hub, HEAD)
    sockets = [connect(hub, log, HEAD)[1] for _ in range(3)]
    asked = iter([True, False])
    hub.is_current = lambda: next(asked, False)
    log.append()
    await tick(3)
    assert [socket.seqs for socket in sockets] == [[], [], []]
    hub.is_current = lambda: True
    hub.release()
    await eventually(lambda: [socket.seqs for socket in sockets] == [[HEAD + 1]] * 3)


async def test_a_refused_renewal_ends_it() -> None:
    """With the reason first."""
    hub = Hub()
    connection, socket = connect(hub, Log(hub, HEAD), HEAD)

    async def refuse(_token: str) -> SocketAccess:
        raise Forbidden

    connection.start(is_replaying=False, renew=refuse)
    connection.on_text(b'{"type": "auth", "token": "x"}')
    await eventually(lambda: socket.closed)
    told = {
        "type": "error",
        "code": "forbidden",
        "message": Forbidden.title,
        "retryMs": None,
        "fatal": True,
    }
    assert socket.messages[-1] == told
    assert socket.closed == (4003, "forbidden")


# -- time
# ---


async def test_a_quiet_socket_is_pinged_with_the_head() -> None:
    """Each ping proves that nothing is missing; its number grows."""
    hub = Hub()
    connection, socket = connect(hub, Log(hub, HEAD), HEAD)
    now = time.monotonic()
    assert now < connection.deadline <= now + PACE.ping
    connection.on_deadline(now + PACE.ping)
    connection.on_deadline(now + 2 * PACE.ping)
    first, second = socket.of_type("ping")
    assert first["cursor"] == "e1.10"
    assert second["id"] > first["id"]
    assert connection.deadline <= now + PACE.silence


async def test_silence_slowness_and_expiry_end_it() -> None:
    """4208 for who says or reads nothing, 4205 for who may no longer."""
    hub = Hub()
    log = Log(hub, HEAD)
    now = time.monotonic()
    silent, silent_socket = connect(hub, log, HEAD)
    silent.on_deadline(now + PACE.silence + 1)
    slow, slow_socket = connect(hub, log, HEAD)
    slow.on_pause()
    assert slow.deadline <= time.monotonic() + PACE.slow
    slow.on_deadline(now + PACE.slow + 1)
    expired, expired_socket = connect(hub, log, HEAD, expires_at=time.time() - 1)
    assert expired.deadline <= time.monotonic()
    expired.on_deadline(now)
    assert [socket.closed for socket in (silent_socket, slow_socket, expired_socket)] == [
        (4208, "silent"),
        (4208, "slow"),
        (4205, "sign-in expired"),
    ]
