"""The hub: company -> live connections of this process. Plain functions, no waiting: what is
checked here is still true when it is used.

Batches that arrive in one tick of the loop leave in one write per socket. A large room is written
to in chunks, so that webhooks and REST in the same loop get their turn.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

import msgspec

from server import metrics
from server.close_codes import CloseCode
from server.core.state.fan_out import FanOut
from server.core.times import wall_now_us

_CHUNK_MEMBERS = 64  # members between two readings of the clock
_MAX_TURN_SECONDS = 0.01  # a fan-out gives the loop back after this long
_MAX_FLUSH_BYTES = 262_144  # one write holds at most this much; the rest is the next one
# of a company; what would be more is read from the event log again, a page at a time
_MAX_PENDING_BYTES = 4_194_304


T = TypeVar("T")
OnFanOut = Callable[[FanOut], None]


class Output(Protocol):
    """Where a member's frames go."""

    def write(self, frames: bytes) -> None:
        """Write complete frames; never waits."""


class Member(Protocol):
    """One live socket, as the hub sees it."""

    agent_id: int
    is_admin: bool
    session_key: str | None
    token_key: str | None
    issued_us: int
    deadline: float
    viewing: int | None
    seq: int  # everything up to it has been written
    paused_at: float | None  # since when there is no room for more

    @property
    def output(self) -> Output:
        """Where its frames are written."""

    def catch_up(self, last_seq: int) -> None:
        """Get the frames up to `last_seq`, which do not follow what was written."""

    def release(self) -> None:
        """Write what was held back while it was not known who may read."""

    def send_ephemeral(self, frame: bytes) -> None:
        """Write a frame that is no event, or drop it when there is no room."""

    def reset(self, reason: str) -> None:
        """Tell the client to get a snapshot: the log this socket followed is gone."""

    def close(self, code: CloseCode, reason: str | None = None) -> None:
        """Write a close frame, and leave the hub once the connection is lost."""

    def on_deadline(self, now: float) -> None:
        """Ping, or close for silence, slowness or expiry; sets the next deadline. `now` is
        monotonic seconds.
        """


class Pending(msgspec.Struct, frozen=True, gc=False):
    """Frames that are to be sent: all events of a company from one seq to another."""

    first_seq: int
    last_seq: int
    frames: bytes


class Room:
    """One company's members, and the frames that are to be sent to them."""

    __slots__ = ("company_id", "generation", "is_sending", "members", "pending", "pending_bytes")

    def __init__(self, company_id: int) -> None:
        self.company_id = company_id
        self.members: dict[Member, None] = {}
        self.pending: deque[Pending] = deque()
        self.pending_bytes = 0
        # whether a flush is due, or a fan-out under way
        self.is_sending = False
        # grows when the log that frames are of is gone: a fan-out of an older one ends
        self.generation = 0

    def append(self, first_seq: int, last_seq: int, frames: bytes) -> None:
        """Keep frames for the next fan-out. Where they would be too many bytes, only these stay:
        members that get them notice the gap before them, and read it from the event log.
        """
        if self.pending and self.pending_bytes + len(frames) > _MAX_PENDING_BYTES:
            self.clear()
        self.pending.append(Pending(first_seq, last_seq, frames))
        self.pending_bytes += len(frames)

    def pop_oldest(self) -> Pending:
        """Remove and return the frames that are to leave first. Raises IndexError when there are
        none.
        """
        pending = self.pending.popleft()
        self.pending_bytes -= len(pending.frames)
        return pending

    def clear(self) -> None:
        """Drop all frames that are to be sent."""
        self.pending.clear()
        self.pending_bytes = 0


class Sending:
    """A fan-out under way: the members that have yet to get the frames, and how far it is."""

    __slots__ = ("began_us", "first_seq", "frames", "generation", "last_seq", "members", "sockets")

    def __init__(self, room: Room, first_seq: int, last_seq: int, frames: bytes) -> None:
        self.members = iter(list(room.members))
        self.generation = room.generation
        self.first_seq = first_seq
        self.last_seq = last_seq
        self.frames = frames
        self.began_us = wall_now_us()
        self.sockets = 0  # written to


class Hub:
    """Holds all rooms. `count` is the number of sockets of this process."""

    def __init__(
        self,
        on_fan_out: OnFanOut = lambda fan_out: None,
        is_current: Callable[[], bool] = lambda: True,
    ) -> None:
        self._on_fan_out = on_fan_out
        self._rooms: dict[int, Room] = {}
        self._agents: dict[int, set[Member]] = {}
        self.count = 0
        # whether it is known who may read; while it is not, nothing of a company leaves, and
        # sockets catch up after `release`
        self.is_current = is_current
        self.is_holding = False

    def may_send(self) -> bool:
        """Whether frames may leave now. Asked before every write: a process that was stopped must
        not send first and ask then.
        """
        if self.is_current():
            return True
        self.is_holding = True
        return False

    def release(self) -> None:
        """Let members write what was held back: it is known again who may read, and those who may
        not have been closed.
        """
        if self.is_holding:
            self.is_holding = False
            for_each_cooperatively(self.everyone(), lambda member: member.release(), lambda: None)

    def join(self, company_id: int, member: Member) -> None:
        """Add a socket to its company's room; a second call changes nothing."""
        room = self._rooms.get(company_id) or self._rooms.setdefault(company_id, Room(company_id))
        if member not in room.members:
            room.members[member] = None
            self._agents.setdefault(member.agent_id, set()).add(member)
            self.count += 1
            metrics.sockets_open.set(self.count)

    def leave(self, company_id: int, member: Member) -> None:
        """Remove a socket; one that is not in the room is ignored."""
        room = self._rooms.get(company_id)
        if room is None or member not in room.members:
            return
        del room.members[member]
        self._agents[member.agent_id].discard(member)
        if not self._agents[member.agent_id]:
            del self._agents[member.agent_id]
        if not room.members:
            del self._rooms[company_id]
        self.count -= 1
        metrics.sockets_open.set(self.count)

    def members(self, company_id: int) -> list[Member]:
        """The sockets of a company in this process, as a list of its own."""
        room = self._rooms.get(company_id)
        return list(room.members) if room else []

    def size(self, company_id: int) -> int:
        """The number of a company's sockets in this process."""
        room = self._rooms.get(company_id)
        return len(room.members) if room else 0

    def members_of_agent(self, agent_id: int) -> list[Member]:
        """The sockets of an agent in this process, as a list of its own."""
        return list(self._agents.get(agent_id, ()))

    def agent_ids(self) -> list[int]:
        """The agents who have sockets here."""
        return list(self._agents)

    def everyone(self) -> list[Member]:
        """All sockets of this process, as a list of its own."""
        return [member for room in self._rooms.values() for member in room.members]

    def push(self, company_id: int, first_seq: int, last_seq: int, frames: bytes) -> None:
        """Send frames to all members of a company, from the next tick on."""
        room = self._rooms.get(company_id)
        if room is None:
            return
        room.append(first_seq, last_seq, frames)
        if not room.is_sending:
            room.is_sending = True
            asyncio.get_running_loop().call_soon(self._flush, room)

    def send_ephemeral(self, company_id: int, frame: bytes, then: Callable[[], None]) -> None:
        """Offer a frame that is no event to all members of a company; `then` is called when all
        have been offered it.
        """
        for_each_cooperatively(
            self.members(company_id), lambda member: member.send_ephemeral(frame), then
        )

    def drop_pending(self, company_id: int) -> None:
        """Drop the frames that are not sent yet: the log they are of is gone, and after a reset
        nobody may get them.
        """
        if (room := self._rooms.get(company_id)) is not None:
            room.clear()
            room.generation += 1

    async def run(self) -> None:
        """Once a second, let members act whose time has come."""
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            for n, member in enumerate(self.everyone()):
                if now >= member.deadline:
                    member.on_deadline(now)
                if n % 1000 == 999:
                    await asyncio.sleep(0)

    def _flush(self, room: Room) -> None:
        # dropped meanwhile, or held back: then members are behind, and catch up
        if not room.pending or not self.may_send():
            room.clear()
            room.is_sending = False
            return
        oldest = room.pop_oldest()
        last_seq = oldest.last_seq
        pieces, size = [oldest.frames], len(oldest.frames)
        while (
            room.pending
            and room.pending[0].first_seq == last_seq + 1
            and size + len(room.pending[0].frames) <= _MAX_FLUSH_BYTES
        ):
            more = room.pop_oldest()
            last_seq = more.last_seq
            pieces.append(more.frames)
            size += len(more.frames)
        frames = oldest.frames if len(pieces) == 1 else b"".join(pieces)
        self._send(room, Sending(room, oldest.first_seq, last_seq, frames))

    def _send(self, room: Room, sending: Sending) -> None:
        """Write to the next members until the turn is over. The hot loop: a member that is level
        costs a comparison of two of its attributes and a write.
        """
        until = time.monotonic() + _MAX_TURN_SECONDS
        members, frames, last_seq = sending.members, sending.frames, sending.last_seq
        before, written = sending.first_seq - 1, 0
        is_over = room.generation != sending.generation or not self.may_send()
        while not is_over and time.monotonic() <= until:
            chunk = list(itertools.islice(members, _CHUNK_MEMBERS))
            is_over = len(chunk) < _CHUNK_MEMBERS
            for member in chunk:
                if member.seq == before and member.paused_at is None:
                    member.seq = last_seq
                    member.output.write(frames)
                    written += 1
                else:
                    member.catch_up(last_seq)
        sending.sockets += written
        metrics.events_delivered.inc(written * (last_seq - before))
        if not is_over:
            asyncio.get_running_loop().call_soon(self._send, room, sending)
            return
        self._on_fan_out(
            FanOut(
                room.company_id,
                sending.first_seq,
                last_seq,
                sending.began_us,
                wall_now_us(),
                sending.sockets,
            )
        )
        room.is_sending = bool(room.pending)
        if room.pending:
            asyncio.get_running_loop().call_soon(self._flush, room)


def for_each_cooperatively(
    members: Iterable[T], act: Callable[[T], None], then: Callable[[], None]
) -> None:
    """Call `act` with each; the loop gets its turn in between. `then` is called after the last."""
    _for_each(iter(members), act, then)


def _for_each(members: Iterator[T], act: Callable[[T], None], then: Callable[[], None]) -> None:
    until = time.monotonic() + _MAX_TURN_SECONDS
    for n, member in enumerate(members, 1):
        act(member)
        if n % _CHUNK_MEMBERS == 0 and time.monotonic() > until:
            asyncio.get_running_loop().call_soon(_for_each, members, act, then)
            return
    then()
