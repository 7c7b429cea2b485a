"""The hub: company -> live connections of this process. Plain functions, no waiting: what is
checked here is still true when it is used.

Batches that arrive in one tick of the loop leave in one write per socket. A large room is walked in
chunks, so that webhooks and REST in the same loop get their turn.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from server import metrics
from server.close_codes import CloseCode

_CHUNK = 64  # members between two looks at the clock
_TURN_SECONDS = 0.01  # a walk gives the loop back after this long
_FLUSH_BYTES = 262_144  # one write holds at most this much; the rest is the next one
# of a company; what would be more is read from the event log again, a page at a time
_PENDING_BYTES = 4_194_304


T = TypeVar("T")
# company, first seq, last seq, when the walk began and ended (unix seconds), sockets written to
OnWalked = Callable[[int, int, int, float, float, int], None]


class Output(Protocol):
    """Where a member's frames go."""

    def write(self, frames: bytes) -> None: ...


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
        """There are frames up to there, and they do not follow what was written: get what is
        missing.
        """

    def release(self) -> None:
        """Get what was held back."""

    def tell(self, frame: bytes) -> None:
        """Write a frame that is no event, or drop it when there is no room."""

    def reset(self, reason: str) -> None:
        """The log this socket followed is gone: tell the client to take a snapshot."""

    def close(self, code: CloseCode, reason: str | None = None) -> None: ...

    def on_deadline(self, now: float) -> None:
        """Ping, or close for silence, slowness or expiry; sets the next deadline. `now` is
        monotonic seconds.
        """


class Room:
    """One company's members and the frames on their way to them, with their bytes.

    `life` grows when the log those frames are of is gone."""

    __slots__ = (
        "began",
        "company_id",
        "is_walking",
        "life",
        "members",
        "pending",
        "pending_bytes",
        "reached",
    )

    def __init__(self, company_id: int) -> None:
        self.company_id = company_id
        self.began = 0.0
        self.reached = 0
        self.members: dict[Member, None] = {}
        self.pending: deque[tuple[int, int, bytes]] = deque()
        self.pending_bytes = 0
        self.is_walking = False
        self.life = 0

    def append(self, first_seq: int, last_seq: int, frames: bytes) -> None:
        """Keep frames for the next walk. Where they would be too many bytes, only these stay:
        whoever gets them notices the gap before them, and reads it from the event log.
        """
        if self.pending and self.pending_bytes + len(frames) > _PENDING_BYTES:
            self.clear()
        self.pending.append((first_seq, last_seq, frames))
        self.pending_bytes += len(frames)

    def take(self) -> tuple[int, int, bytes]:
        """The oldest frames that are kept."""
        first_seq, last_seq, frames = self.pending.popleft()
        self.pending_bytes -= len(frames)
        return first_seq, last_seq, frames

    def clear(self) -> None:
        self.pending.clear()
        self.pending_bytes = 0


class Hub:
    """All rooms. `count` is the number of sockets of this process."""

    def __init__(
        self,
        on_walked: OnWalked = lambda *walk: None,
        is_current: Callable[[], bool] = lambda: True,
    ) -> None:
        self._on_walked = on_walked
        self._rooms: dict[int, Room] = {}
        self._agents: dict[int, set[Member]] = {}
        self.count = 0
        # whether it is known who may read; while it is not, nothing of a company leaves, and
        # sockets catch up after `release`
        self.is_current = is_current
        self.is_holding = False

    def may_send(self) -> bool:
        """Asked before every write: a process that was stopped must not send first and ask then."""
        if self.is_current():
            return True
        self.is_holding = True
        return False

    def release(self) -> None:
        """It is known again who may read; those who may not have been closed."""
        if self.is_holding:
            self.is_holding = False
            spread(self.everyone(), lambda member: member.release(), lambda: None)

    def join(self, company_id: int, member: Member) -> None:
        room = self._rooms.get(company_id) or self._rooms.setdefault(company_id, Room(company_id))
        if member not in room.members:
            room.members[member] = None
            self._agents.setdefault(member.agent_id, set()).add(member)
            self.count += 1
            metrics.sockets_open.set(self.count)

    def leave(self, company_id: int, member: Member) -> None:
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
        room = self._rooms.get(company_id)
        return list(room.members) if room else []

    def size(self, company_id: int) -> int:
        """How many sockets of this process are a company's."""
        room = self._rooms.get(company_id)
        return len(room.members) if room else 0

    def members_of_agent(self, agent_id: int) -> list[Member]:
        return list(self._agents.get(agent_id, ()))

    def agent_ids(self) -> list[int]:
        """The agents who have sockets here."""
        return list(self._agents)

    def everyone(self) -> list[Member]:
        return [member for room in self._rooms.values() for member in room.members]

    def push(self, company_id: int, first_seq: int, last_seq: int, frames: bytes) -> None:
        """Send frames to all members of a company, from the next tick on."""
        room = self._rooms.get(company_id)
        if room is None:
            return
        room.append(first_seq, last_seq, frames)
        if not room.is_walking:
            room.is_walking = True
            asyncio.get_running_loop().call_soon(self._flush, room)

    def tell(self, company_id: int, frame: bytes, then: Callable[[], None]) -> None:
        """Offer a frame that is no event to all members of a company; `then` is called when all
        have been offered it.
        """
        spread(self.members(company_id), lambda member: member.tell(frame), then)

    def forget(self, company_id: int) -> None:
        """Drop the frames that are still on their way: the log they are of is gone, and after a
        reset nobody may get them.
        """
        if (room := self._rooms.get(company_id)) is not None:
            room.clear()
            room.life += 1

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
        # forgotten meanwhile, or held back: then members are behind, and catch up
        if not room.pending or not self.may_send():
            room.clear()
            room.is_walking = False
            return
        first_seq, last_seq, frames = room.take()
        pieces, size = [frames], len(frames)
        while (
            room.pending
            and room.pending[0][0] == last_seq + 1
            and size + len(room.pending[0][2]) <= _FLUSH_BYTES
        ):
            _, last_seq, more = room.take()
            pieces.append(more)
            size += len(more)
        room.began, room.reached = time.time(), 0
        joined = frames if len(pieces) == 1 else b"".join(pieces)
        self._walk(room, iter(list(room.members)), room.life, first_seq, last_seq, joined)

    def _walk(
        self,
        room: Room,
        members: Iterator[Member],
        life: int,
        first_seq: int,
        last_seq: int,
        frames: bytes,
    ) -> None:
        """The hot loop: a member that is level costs a look at two of its attributes and a
        write.
        """
        until = time.monotonic() + _TURN_SECONDS
        before, written = first_seq - 1, 0
        is_over = room.life != life or not self.may_send()
        while not is_over and time.monotonic() <= until:
            chunk = list(itertools.islice(members, _CHUNK))
            is_over = len(chunk) < _CHUNK
            for member in chunk:
                if member.seq == before and member.paused_at is None:
                    member.seq = last_seq
                    member.output.write(frames)
                    written += 1
                else:
                    member.catch_up(last_seq)
        room.reached += written
        if not is_over:
            asyncio.get_running_loop().call_soon(
                self._walk, room, members, life, first_seq, last_seq, frames
            )
        else:
            self._on_walked(
                room.company_id, first_seq, last_seq, room.began, time.time(), room.reached
            )
            room.is_walking = bool(room.pending)
            if room.pending:
                asyncio.get_running_loop().call_soon(self._flush, room)
        metrics.events_delivered.inc(written * (last_seq - first_seq + 1))


def spread(members: Iterable[T], act: Callable[[T], None], then: Callable[[], None]) -> None:
    """Do something with each; the loop gets its turn in between. `then` is called when all have had
    it.
    """
    _spread(iter(members), act, then)


def _spread(members: Iterator[T], act: Callable[[T], None], then: Callable[[], None]) -> None:
    until = time.monotonic() + _TURN_SECONDS
    for n, member in enumerate(members, 1):
        act(member)
        if n % _CHUNK == 0 and time.monotonic() > until:
            asyncio.get_running_loop().call_soon(_spread, members, act, then)
            return
    then()
