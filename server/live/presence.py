"""Presence: gathers what the agents of a company do, and sends it to their colleagues at most once
a second.

A frame is encoded once for a company and written straight to the sockets that have room; a socket
that missed one gets a snapshot when it has room again. Nothing here is kept for a socket but two
small fields of its own: what is kept is kept for an agent.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from server.core.state.presence_board import PresenceBoard
from server.core.state.presence_state import (
    TYPING_AGAIN_SECONDS,
    TYPING_SECONDS,
    PresenceMessage,
)
from server.core.wire.websocket_bytes import text_frame
from server.live.conversation_owners import ConversationOwners
from server.live.hub import Hub, for_each_cooperatively
from server.live.presence_channel import PresenceChannel

_FLUSH_INTERVAL_SECONDS = 1.0
_HEARTBEAT_INTERVAL_SECONDS = 15.0
# by then the bus follows a subscription; if not, the next heartbeat tells the same
_SUBSCRIBE_GRACE_SECONDS = 0.2
_MAX_IDLE_SECONDS = 60.0  # a company nobody is in, nor asks for, is forgotten after this


class Viewer(Protocol):
    """A socket of an agent. `viewing` is this module's to set."""

    agent_id: int
    agent_name: str
    viewing: int | None
    is_over: bool

    @property
    def company_id(self) -> int:
        """The tenant of the agent."""

    def send_presence_snapshot(self, frame: bytes) -> None:
        """Write the whole presence, after which deltas follow; put off while the socket has no
        room.
        """


class _Company:
    """A company's board, and when its next flush is due."""

    def __init__(self, now: float) -> None:
        self.board = PresenceBoard()
        self.newcomers: list[Viewer] = []  # sockets that wait for a snapshot
        self.timer: asyncio.TimerHandle | None = None
        self.flushed_at = float("-inf")
        self.published_at = float("-inf")
        self.is_asked = False  # by another process, for everything
        self.frames_under_way = 0  # that have not reached every socket yet
        self.used_at = now

    def begin_frame(self) -> Callable[[], None]:
        """A frame is being written to the sockets; call the result at the end."""
        self.frames_under_way += 1

        def done() -> None:
            self.frames_under_way -= 1

        return done


class OnTyping(Protocol):
    """Is told that an agent types a reply, or no longer does."""

    def __call__(
        self, company_id: int, conversation_id: int, agent_id: int, /, *, on: bool
    ) -> None:
        """Record it, without waiting."""


def _ignore(company_id: int, conversation_id: int, agent_id: int, /, *, on: bool) -> None:
    """Tell nobody."""


class Presence:
    """Keeps the presence of the agents of all companies. All methods but `run` are plain calls that
    never wait.
    """

    def __init__(self, hub: Hub, channel: PresenceChannel, owners: ConversationOwners) -> None:
        self._hub = hub
        self._channel = channel
        self._owners = owners
        self._companies: dict[int, _Company] = {}
        # what an agent's typing of a reply, or its end, goes on to
        self.on_typing: OnTyping = _ignore
        # agent -> until when they type, and the socket that said so
        self._typing: dict[int, tuple[float, Viewer]] = {}

    def online(self, company_id: int) -> set[int]:
        """Return the agents who are connected, as far as the other processes have said."""
        return set(self._company(company_id).board.everyone())

    # -- what sockets do
    # ---

    def join(self, viewer: Viewer) -> None:
        """Count a welcomed socket: it gets a snapshot, its colleagues a delta."""
        company = self._company(viewer.company_id)
        company.board.arrive(viewer.agent_id, viewer.agent_name)
        self.request_snapshot(viewer)

    def leave(self, viewer: Viewer) -> None:
        """Forget a socket that is gone, from the hub as well."""
        company = self._company(viewer.company_id)
        self._owners.forget(viewer)
        self._stop_typing(viewer)
        if self._hub.members_of_agent(viewer.agent_id):
            self._recompute_agent(viewer, company)
        elif company.board.depart(viewer.agent_id):
            self._schedule_flush(viewer.company_id, company)

    def request_snapshot(self, viewer: Viewer) -> None:
        """Send a socket a snapshot with the next flush: it is new, or has missed something and has
        room again.
        """
        company = self._company(viewer.company_id)
        company.newcomers.append(viewer)
        self._schedule_flush(viewer.company_id, company)

    def view(self, viewer: Viewer, conversation_id: int | None) -> None:
        """Record which conversation an agent shows, None for none. One of another company is
        ignored.
        """
        self._owners.when_owned(
            viewer, conversation_id, lambda: self._view(viewer, conversation_id)
        )

    def type(
        self, viewer: Viewer, conversation_id: int, *, on: bool, to_customer: bool = False
    ) -> None:
        """Record that an agent types in a conversation, and so shows it; typing ends by itself.
        `to_customer`: it is a reply, and goes on to `on_typing`.
        """

        def act() -> None:
            self._type(viewer, conversation_id, on=on)
            is_reply = on and to_customer
            self.on_typing(viewer.company_id, conversation_id, viewer.agent_id, on=is_reply)

        self._owners.when_owned(viewer, conversation_id, act)

    # -- what the bus brings
    # ---

    def ask_other_processes(self, company_id: int) -> None:
        """Ask the other processes for their agents, once the bus follows this company's
        messages.
        """
        self._company(company_id)
        question = PresenceMessage(self._channel.process, asks=True)
        asyncio.get_running_loop().call_later(
            _SUBSCRIBE_GRACE_SECONDS, self._channel.publish, company_id, question
        )

    def accept(self, company_id: int, message: PresenceMessage) -> None:
        """Apply what another process says of its agents, or answer when it asks for ours."""
        company = self._company(company_id)
        if message.asks:
            company.is_asked = True
        else:
            company.board.accept(message, time.monotonic())
        self._schedule_flush(company_id, company)

    # -- time
    # ---

    async def run(self) -> None:
        """Call `tick` once a second."""
        while True:
            await asyncio.sleep(_FLUSH_INTERVAL_SECONDS)
            self.tick(time.monotonic())

    def tick(self, now: float) -> None:
        """End typing, publish that we are alive, forget processes that are silent and companies
        nobody is in. `now` is monotonic seconds.
        """
        for agent_id, (until, viewer) in list(self._typing.items()):
            if now >= until:
                del self._typing[agent_id]
                self._recompute_agent(viewer, self._company(viewer.company_id))
        for company_id, company in list(self._companies.items()):
            self._expire(company_id, company, now)

    def _expire(self, company_id: int, company: _Company, now: float) -> None:
        board = company.board
        if board.drop_silent(now):
            self._schedule_flush(company_id, company)
        if board.here and now - company.published_at >= _HEARTBEAT_INTERVAL_SECONDS:
            self._publish(company_id, company, now, is_whole=True)
        if board.here or board.elsewhere or self._hub.members(company_id):
            company.used_at = now
        elif (
            now - company.used_at > _MAX_IDLE_SECONDS
            and company.timer is None
            and not company.frames_under_way
        ):
            del self._companies[company_id]

    # -- one agent
    # ---

    def _view(self, viewer: Viewer, conversation_id: int | None) -> None:
        viewer.viewing = conversation_id
        self._stop_typing(viewer)  # an agent who goes elsewhere has stopped
        self._recompute_agent(viewer, self._company(viewer.company_id), conversation_id)

    def _type(self, viewer: Viewer, conversation_id: int, *, on: bool) -> None:
        now = time.monotonic()
        until, by = self._typing.get(viewer.agent_id, (0.0, viewer))
        if on:
            if (
                by is viewer
                and viewer.viewing == conversation_id
                and until - now > TYPING_SECONDS - TYPING_AGAIN_SECONDS
            ):
                return
            viewer.viewing = conversation_id
            self._typing[viewer.agent_id] = (now + TYPING_SECONDS, viewer)
        else:
            self._stop_typing(viewer)
        self._recompute_agent(viewer, self._company(viewer.company_id), viewer.viewing)

    def _stop_typing(self, viewer: Viewer) -> None:
        """End the agent's typing, unless it is another socket of theirs that types."""
        typing = self._typing.get(viewer.agent_id)
        if typing is not None and typing[1] is viewer:
            del self._typing[viewer.agent_id]

    def _recompute_agent(
        self, viewer: Viewer, company: _Company, latest: int | None = None
    ) -> None:
        """Make the agent's entry out of all their sockets here; `latest` is the conversation they
        opened just now.
        """
        if viewer.agent_id not in company.board.here:
            return
        typing = self._typing.get(viewer.agent_id)
        viewing = typing[1].viewing if typing else latest
        if viewing is None:
            views = [
                member.viewing
                for member in self._hub.members_of_agent(viewer.agent_id)
                if member.viewing is not None
            ]
            viewing = company.board.chosen_view(viewer.agent_id, views)
        if company.board.update(viewer.agent_id, viewing, is_typing=typing is not None):
            self._schedule_flush(viewer.company_id, company)

    # -- flushes
    # ---

    def _company(self, company_id: int) -> _Company:
        company = self._companies.get(company_id)
        if company is None:
            company = self._companies[company_id] = _Company(time.monotonic())
        company.used_at = time.monotonic()
        return company

    def _schedule_flush(self, company_id: int, company: _Company) -> None:
        """Flush at once, or a second after the last time."""
        if company.timer is None:
            loop = asyncio.get_running_loop()
            wait = max(0.0, company.flushed_at + _FLUSH_INTERVAL_SECONDS - time.monotonic())
            company.timer = loop.call_later(wait, self._flush, company_id, company)

    def _flush(self, company_id: int, company: _Company) -> None:
        company.timer = None
        now = time.monotonic()
        company.flushed_at = now
        # a large company on a busy machine: the frame before has not reached every socket
        if company.frames_under_way:
            self._schedule_flush(company_id, company)
            return
        self._publish(company_id, company, now, is_whole=company.is_asked)
        if (delta := company.board.refresh()) is not None:
            self._hub.send_ephemeral(company_id, text_frame(delta), company.begin_frame())
        if company.newcomers:
            newcomers, company.newcomers = company.newcomers, []
            frame = text_frame(company.board.snapshot())
            for_each_cooperatively(
                newcomers,
                lambda viewer: viewer.send_presence_snapshot(frame),
                company.begin_frame(),
            )

    def _publish(self, company_id: int, company: _Company, now: float, *, is_whole: bool) -> None:
        """Send the other processes what has changed here since the last time, or everything."""
        company.is_asked = False
        if not self._channel.is_shared:
            return
        message = company.board.publication(self._channel.process, is_whole=is_whole)
        if message is not None:
            company.published_at = now
            self._channel.publish(company_id, message)
