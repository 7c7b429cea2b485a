"""One live socket after its welcome: an object driven by calls, without a task and without a queue
of its own.

It remembers the seq up to which it has written. While it is level with the feed the hub pushes
ready frames; when its transport is full it stops and, once there is room, catches up from the
feed's ring or from the log. So memory per socket is bounded by the transport's buffer, and nothing
is skipped or doubled whatever the order of pause, resume and push.
"""

import asyncio
import itertools
import random
import time
import uuid
from collections.abc import Callable
from typing import Any

from server import log, metrics
from server.close_codes import CloseCode, metric_label
from server.core.times import SECOND, iso
from server.core.wire.client_frames import (
    Auth,
    Hello,
    Pong,
    Typing,
    Viewing,
    encode_error,
    encode_message,
    encode_ping,
    frame_budget,
)
from server.core.wire.client_frames import parse_client_message as parse_message
from server.core.wire.websocket_bytes import text_frame
from server.errors import OmniError, Unavailable
from server.live.connection_ports import (
    EventSource,
    PresencePort,
    Renew,
    SocketAccess,
    SocketTimings,
)
from server.live.hub import Hub
from server.live.socket_ports import SocketWriter
from server.tasks import spawn

_logger = log.get(__name__)
_PIECE_BYTES = 131_072  # caught up in pieces of this size, so that a slow reader stops us early
_DRAIN_GRACE_SECONDS = 1.0  # a client that does not know `drain` is closed this much later
_ping_numbers = itertools.count(1)


class LiveConnection:
    """One live socket, a member of the hub."""

    __slots__ = (
        "__weakref__",
        "_budget",
        "_fetching",
        "_has_snapshot",
        "_heard_at",
        "_hub",
        "_now_seconds",
        "_pinged_at",
        "_presence",
        "_renew",
        "_source",
        "_timings",
        "agent_id",
        "agent_name",
        "deadline",
        "expires_at",
        "is_admin",
        "is_over",
        "is_replaying",
        "issued_us",
        "output",
        "paused_at",
        "seq",
        "session",
        "session_key",
        "token_key",
        "viewing",
    )

    def __init__(
        self,
        push: SocketWriter,
        hub: Hub,
        source: EventSource,
        presence: PresencePort,
        timings: SocketTimings,
        *,
        agent_id: int,
        agent_name: str,
        seq: int,
        session_key: str | None,
        access: SocketAccess,
        now_seconds: Callable[[], float] = time.time,
    ) -> None:
        """`now_seconds`: the clock by which the sign-in ends."""
        now = time.monotonic()
        self._now_seconds = now_seconds
        self.output = push
        self._hub = hub
        self._source = source
        self._presence = presence
        self._timings = timings
        self.agent_id = agent_id
        self.agent_name = agent_name
        self.seq = seq
        self.session_key = session_key
        self.session = uuid.uuid4().hex[:12]
        self._budget = frame_budget(now)
        self._heard_at = now
        self._pinged_at = now
        self.paused_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._renew: Renew | None = None
        self.is_replaying = False  # `live` is still to be sent
        self.is_over = False
        self.viewing: int | None = None
        # whether presence deltas follow what the client has; else it waits for a snapshot
        self._has_snapshot = False
        self._set_access(access)

    def start(self, *, is_replaying: bool, renew: Renew) -> None:
        """Take the socket over; the caller has sent `welcome`. Then everything comes by calls.
        Raises ConnectionResetError when the client has gone, before the hub knows of this
        connection.
        """
        self.is_replaying = is_replaying
        self._renew = renew
        self.output = self.output.hand_over(self, self._timings.high_water_bytes)
        self._hub.join(self._source.company_id, self)
        self._presence.join(self)
        self.advance()

    @property
    def company_id(self) -> int:
        """The tenant whose events it gets."""
        return self._source.company_id

    def send(self, kind: str, **fields: Any) -> None:
        """Write one message of the protocol, `kind` being its type. Ignored when the connection is
        over.
        """
        self.output.write(text_frame(encode_message(kind, **fields)))

    def close(self, code: CloseCode, reason: str | None = None) -> None:
        """Write a close frame, with the code's own reason where none is given; `on_lost`
        follows.
        """
        self.output.close(code, code.reason if reason is None else reason)

    # -- the feed's side
    # ---

    def catch_up(self, last_seq: int) -> None:
        """Get up to `last_seq`: the hub has frames up to there that do not follow what was written.
        We are behind; or we joined, or caught up, between two batches of one turn of the loop, and
        have the first of what the hub put together.
        """
        if self.paused_at is None and self.seq < last_seq:
            self.advance()

    def advance(self) -> None:
        """Write what is missing up to the head: from the ring at once, else from the log. Called
        again whenever it had to stop.
        """
        while self.paused_at is None and self._fetching is None and not self.is_over:
            if self.seq >= self._source.head:
                if self.is_replaying:
                    self.is_replaying = False
                    self.send("live", cursor=self.cursor)
                return
            # it is not known whether this agent may still read: `release` follows
            if not self._hub.may_send():
                return
            ready = self._source.ready_after(self.seq, _PIECE_BYTES)
            if ready is None:
                self._fetching = spawn(self._fetch(), f"catch-up-{self.session}")
                return
            frames, self.seq = ready
            self.output.write(frames)

    def reset(self, reason: str) -> None:
        """Tell the client to get a snapshot and go on from the head: the log this socket followed
        is gone.
        """
        metrics.feed_resets.labels(reason).inc()
        if self._fetching is not None:  # a page under way is of the epoch before
            self._fetching.cancel()
            self._fetching = None
        self.seq = self._source.head
        self.is_replaying = False
        self.send("reset", reason=reason, cursor=self.cursor)
        self.advance()

    def release(self) -> None:
        """Write what was held back."""
        if self.paused_at is None:
            self.advance()
            if not self._has_snapshot:
                self._presence.request_snapshot(self)

    def send_ephemeral(self, frame: bytes) -> None:
        """Write a frame that is no event. The first to be dropped: a socket without room, or one
        that missed one before, waits for the whole.
        """
        if self.paused_at is not None or not self._hub.may_send():
            self._has_snapshot = False
        elif self._has_snapshot:
            self.output.write(frame)

    def send_presence_snapshot(self, frame: bytes) -> None:
        """Write the whole presence, after which deltas follow. Skipped while the socket has no
        room: `on_resume` asks for another one.
        """
        if self.paused_at is None and self._hub.may_send():
            self._has_snapshot = True
            self.output.write(frame)

    @property
    def cursor(self) -> str:
        """`epoch.seq` of the last event written."""
        return f"{self._source.epoch}.{self.seq}"

    async def _fetch(self) -> None:
        """Write one page of the log, then go on from there; a log that cannot be read ends the
        socket, and the client resumes.
        """
        asked = self.seq
        try:
            page = await self._source.fetch_after(asked)
        except OmniError as error:
            self._fetching = None
            self.close(error.close_code, error.code)
            return
        except Exception:
            _logger.exception("catching up failed", session=self.session)
            self._fetching = None
            self.close(CloseCode.INTERNAL_ERROR)  # else it would stay behind in silence
            return
        self._fetching = None
        if page is None and not self.is_over:
            self.reset("too_old")
        # a push may have followed on meanwhile
        elif page is not None and not self.is_over and self.seq == asked and self._hub.may_send():
            frames, self.seq = page
            self.output.write(frames)
        self.advance()

    # -- the client's side
    # ---

    def on_text(self, text: bytes) -> None:
        """Act on a message of the client; one that is too much, unreadable or out of turn closes
        the socket.
        """
        now = time.monotonic()
        self._heard_at = now
        if not self._budget.try_take(now):
            self.close(CloseCode.TOO_FAST)
            return
        try:
            message = parse_message(text)
        except ValueError as error:
            self.close(CloseCode.PROTOCOL, str(error))
            return
        if isinstance(message, Auth) and self._renew is not None:
            spawn(self._authenticate(message.token, self._renew), f"renew-{self.session}")
        elif isinstance(message, Hello):
            self.close(CloseCode.PROTOCOL, "hello was said already")
        elif isinstance(message, Viewing):
            self._presence.view(self, message.conversation_id)
        elif isinstance(message, Typing):
            self._presence.type(
                self, message.conversation_id, on=message.on, to_customer=message.to_customer
            )
        elif isinstance(message, Pong):
            pass  # heard is what counts

    def on_binary(self) -> None:
        """Close the socket: the protocol has text frames only."""
        self.close(CloseCode.UNSUPPORTED_DATA)

    def on_pause(self) -> None:
        """Write no more events until `on_resume`; a socket that stays paused for `timings.slow`
        seconds is closed.
        """
        if self.paused_at is None:
            self.paused_at = time.monotonic()
            metrics.sockets_paused.inc()
            self._set_deadline()

    def on_resume(self) -> None:
        """Go on with the events that are missing, and a snapshot of presence where one was
        skipped.
        """
        if self.paused_at is not None:
            self.paused_at = None
            metrics.sockets_paused.dec()
            self._set_deadline()
            self.advance()
            if not self._has_snapshot:
                self._presence.request_snapshot(self)

    def on_lost(self, code: int) -> None:
        """Leave the hub and presence. The last call: nothing is written afterwards."""
        self.is_over = True
        if self.paused_at is not None:
            self.paused_at = None
            metrics.sockets_paused.dec()
        self._hub.leave(self._source.company_id, self)
        self._presence.leave(self)
        if self._fetching is not None:
            self._fetching.cancel()
        metrics.socket_closes.labels(metric_label(code)).inc()
        about = {
            "session": self.session,
            "company_id": self._source.company_id,
            "agent_id": self.agent_id,
            "seq": self.seq,
        }
        _logger.info("socket closed", code=code, **about)

    def on_shutdown(self) -> None:
        """Ask the client to reconnect at a moment of its own within the window, so that they do not
        all come at once elsewhere.
        """
        if self._timings.drain <= 0:
            self.close(CloseCode.SERVICE_RESTART)
            return
        seconds = random.random() * self._timings.drain  # noqa: S311 - spread, not a secret
        self.send("drain", inMs=int(seconds * 1000))
        asyncio.get_running_loop().call_later(
            seconds + _DRAIN_GRACE_SECONDS, self.close, CloseCode.DRAIN
        )

    async def _authenticate(self, token: str, renew: Renew) -> None:
        try:
            renewed = await renew(token)
        except Unavailable as error:  # it may be tried again, until the sign-in before has expired
            self.output.write(text_frame(encode_error(error)))
            return
        except OmniError as error:
            self.output.write(text_frame(encode_error(error)))
            self.close(error.close_code, error.code)
            return
        self._set_access(renewed)
        self.send(
            "auth",
            expiresAt=None if self.expires_at is None else iso(int(self.expires_at * SECOND)),
        )

    def _set_access(self, access: SocketAccess) -> None:
        self.expires_at = access.expires_at
        self.token_key = access.token_key
        self.issued_us = access.issued_us
        self.is_admin = access.is_admin
        self._set_deadline()

    # -- time
    # ---

    def on_deadline(self, now: float) -> None:
        """Ping, or close for an expired sign-in, silence or a full output. Called by the hub once
        `deadline` has passed; `now` is monotonic seconds.
        """
        if self.expires_at is not None and self._now_seconds() >= self.expires_at:
            self.close(CloseCode.SIGN_IN_EXPIRED)
            return
        if now - self._heard_at >= self._timings.silence:
            self.close(CloseCode.SLOW, "silent")
            return
        if self.paused_at is not None and now - self.paused_at >= self._timings.slow:
            self.close(CloseCode.SLOW)
            return
        if self.paused_at is None and now - self._pinged_at >= self._timings.ping:
            self._pinged_at = now
            # what the hub still holds goes first: a ping says that everything up to its cursor has
            # been sent
            self.advance()
            self.output.write(
                text_frame(
                    encode_ping(next(_ping_numbers), self.cursor, int(self._now_seconds() * SECOND))
                )
            )
        self._set_deadline()

    def _set_deadline(self) -> None:
        times = [self._heard_at + self._timings.silence]
        times.append(
            self._pinged_at + self._timings.ping
            if self.paused_at is None
            else self.paused_at + self._timings.slow
        )
        if self.expires_at is not None:
            times.append(time.monotonic() + self.expires_at - self._now_seconds())
        self.deadline = min(times)
