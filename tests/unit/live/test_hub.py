"""The hub: who is where, frames of one turn in one write, and everyone once."""

import asyncio
import time

from server.close_codes import CloseCode
from server.core.wire.websocket_bytes import text_frame
from server.live.hub import Hub, Sending
from tests.kit.eventually import eventually
from tests.unit.sockets import (
    Log,
    connect,
    event,
    tick,
)


class Listener:
    """A member that writes down up to which seq it was brought, and with which frames."""

    def __init__(self, agent_id: int = 4, seq: int = 4) -> None:
        self.agent_id = agent_id
        self.deadline = float("inf")
        self.seq = seq
        self.session_key: str | None = None
        self.token_key: str | None = None
        self.issued_us = 0
        self.viewing: int | None = None
        self.is_admin = False
        self.paused_at: float | None = None
        self.output = self
        self.told: list[bytes] = []
        self.pushed: list[tuple[int, bytes]] = []
        self.behind: list[int] = []
        self.calls = 0

    def write(self, frames: bytes) -> None:
        self.pushed.append((self.seq, frames))

    def catch_up(self, last_seq: int) -> None:
        self.behind.append(last_seq)

    def release(self) -> None:
        self.behind.append(0)

    def send_ephemeral(self, frame: bytes) -> None:
        self.told.append(frame)

    def reset(self, reason: str) -> None:
        self.pushed.append((0, reason.encode()))

    def close(self, code: CloseCode, reason: str | None = None) -> None: ...

    def on_deadline(self, now: float) -> None:
        self.calls += 1
        self.deadline = float("inf")


async def test_members_are_known_by_company_and_agent() -> None:
    """Joining and leaving twice change nothing."""
    hub = Hub()
    first, second, third = Listener(4), Listener(4), Listener(5)
    for company_id, member in ((1, first), (2, second), (1, third), (1, first)):
        hub.join(company_id, member)
    assert (hub.count, hub.members(1), hub.members(3)) == (3, [first, third], [])
    assert set(hub.members_of_agent(4)) == {first, second}
    assert hub.everyone() == [first, third, second]
    for company_id, member in (
        (1, first),
        (1, first),
        (2, first),
        (9, first),
        (2, second),
        (1, third),
    ):
        hub.leave(company_id, member)
    assert (hub.count, hub.everyone(), hub.members_of_agent(4)) == (0, [], [])


async def test_frames_of_one_turn_are_one_write() -> None:
    """And another company's agents get nothing of them."""
    hub = Hub()
    own, foreign = Listener(), Listener()
    hub.join(1, own)
    hub.join(2, foreign)
    hub.push(1, 5, 5, b"a")
    hub.push(1, 6, 7, b"bc")
    hub.push(3, 1, 1, b"nobody")
    assert own.pushed == []
    await tick(2)
    assert own.pushed == [(7, b"abc")]
    assert foreign.pushed == []


async def test_frames_that_do_not_follow_are_not_joined() -> None:
    """A new life of the log begins anywhere; each member gets what follows on what it has, and else
    is told to catch up.
    """
    hub = Hub()
    member, other = Listener(), Listener(seq=6)
    hub.join(1, member)
    hub.join(1, other)
    hub.push(1, 5, 5, b"a")
    hub.push(1, 7, 7, b"c")
    await tick(3)
    assert (member.pushed, member.behind) == ([(5, b"a")], [7])
    assert (other.pushed, other.behind) == ([(7, b"c")], [5])


async def test_a_member_without_room_is_written_nothing() -> None:
    """It is told that there is more; what it has stays what it has."""
    hub = Hub()
    member = Listener()
    member.paused_at = 1.0
    hub.join(1, member)
    hub.push(1, 5, 5, b"a")
    await tick(2)
    assert (member.pushed, member.behind, member.seq) == ([], [5], 4)


async def test_one_write_is_bounded() -> None:
    """A burst leaves in several; nothing of it is left out."""
    hub = Hub()
    member = Listener(seq=0)
    hub.join(1, member)
    for seq in range(1, 11):
        hub.push(1, seq, seq, b"x" * 100_000)
    await eventually(lambda: member.pushed and member.pushed[-1][0] == 10)
    assert sum(len(frames) for _, frames in member.pushed) == 1_000_000
    assert max(len(frames) for _, frames in member.pushed) <= 262_144
    assert member.behind == []


async def test_a_large_room_gives_the_loop_its_turn() -> None:
    """Walked in chunks; who leaves in between gets nothing more, all others everything in order."""
    hub = Hub()

    class Sluggish(Listener):
        def write(self, frames: bytes) -> None:
            until = time.perf_counter() + 0.0003
            while time.perf_counter() < until:
                pass
            super().write(frames)

    members = [Sluggish(seq=0) for _ in range(256)]
    for member in members:
        hub.join(1, member)
    hub.push(1, 1, 1, b"a")
    await tick()
    assert 0 < sum(len(member.pushed) for member in members) < 256
    hub.push(1, 2, 2, b"b")
    await eventually(lambda: all(len(member.pushed) == 2 for member in members))
    assert all(member.pushed == [(1, b"a"), (2, b"b")] for member in members)


async def test_frames_of_a_log_that_is_gone_are_forgotten() -> None:
    """What waits, and what a walk has not yet reached, is of the life before."""
    hub = Hub()
    log = Log(hub, 4)
    _, socket = connect(hub, log, 4)
    hub.push(1, 5, 5, text_frame(event(5)))
    hub.drop_pending(1)
    hub.drop_pending(2)
    await tick(2)
    assert socket.messages == []
    log.append()
    await tick(2)
    assert socket.seqs == [5]


async def test_a_walk_under_way_ends_when_the_log_is_gone() -> None:
    """The rest of a large room is spared the old frames."""
    hub = Hub()
    members = [Listener() for _ in range(3)]
    for member in members:
        hub.join(1, member)
    room = hub._rooms[1]
    rest = Sending(room, 5, 5, b"old")
    next(rest.members)
    room.is_sending = True
    asyncio.get_running_loop().call_soon(hub._send, room, rest)
    hub.drop_pending(1)
    hub.push(1, 5, 5, b"new")
    await tick(3)
    assert [member.pushed for member in members] == [[(5, b"new")]] * 3


async def test_members_act_when_their_time_has_come() -> None:
    """Only those; once a second."""
    hub = Hub()
    due, waiting = Listener(), Listener()
    due.deadline = 0.0
    hub.join(1, due)
    hub.join(1, waiting)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(hub.run())
        await eventually(lambda: due.calls)
        running.cancel()
    assert (due.calls, waiting.calls) == (1, 0)


async def test_frames_that_wait_are_bounded_in_bytes() -> None:
    """Much is published at once: what is kept stays below the bound, and who gets the newest reads
    what lies before.
    """
    hub, member = Hub(), Listener(seq=0)
    hub.join(1, member)
    frames = text_frame(b"x" * 1_000_000)
    for seq in range(1, 51):
        hub.push(1, seq, seq, frames)
    room = hub._rooms[1]
    assert sum(len(waiting.frames) for waiting in room.pending) == room.pending_bytes <= 4_194_304
    await eventually(lambda: not room.is_sending and not room.pending)
    assert room.pending_bytes == 0
    assert member.seq == 0  # it was written nothing that does not follow
    assert member.behind[-1] == 50  # and knows how far it has to read
