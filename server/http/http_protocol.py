"""uvicorn's HTTP protocol, with bounds it lacks: the head of a request is short and comes soon, a
body makes progress, an address has so many connections. It also notices a proxy that is not
trusted, behind which everybody would be one address.
"""

import asyncio
import ipaddress
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.middleware.proxy_headers import _TrustedHosts
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from server import log, metrics
from server.core.token_buckets import network_of

# what is found in the lifespan's state, and called with the address of a proxy that is not trusted
NOTE_PROXY = "note_proxy"
CONNECTIONS_PER_ADDRESS = 2_000
_MAX_HEAD_BYTES = 65_536
_MAX_HEAD_SECONDS = 10.0
# 1 KB/s: the slowest line on which a body is worth waiting for
_PROGRESS_INTERVAL_SECONDS, _MIN_PROGRESS_BYTES = 10.0, 10_000
_PROXY_WARNING_INTERVAL_SECONDS = 3_600.0
_logger = log.get(__name__)


class ConnectionLimits:
    """Counts the open HTTP connections of one process by address. A trusted proxy's are not
    counted: they are many people's.
    """

    def __init__(self, per_address: int, trusted: list[str] | str) -> None:
        self._per_address = per_address
        self._trusted = _TrustedHosts(trusted)
        self._open: Counter[str] = Counter()
        self._warned_at: dict[str, float] = {}

    def acquire(self, address: str) -> bool:
        """Count one more connection of the address. Returns False, and counts nothing, when it has
        all it may have.
        """
        if address in self._trusted:
            return True
        network = network_of(address)
        if self._open[network] >= self._per_address:
            return False
        self._open[network] += 1
        return True

    def release(self, address: str) -> None:
        """Count one connection of the address less."""
        if address in self._trusted:
            return
        network = network_of(address)
        self._open[network] -= 1
        if self._open[network] <= 0:
            del self._open[network]

    def may_be_proxy(self, address: str) -> bool:
        """Whether it is a machine of our own network that is not trusted: what it says of its
        clients is not believed.
        """
        try:
            return address not in self._trusted and ipaddress.ip_address(address).is_private
        except ValueError:
            return False

    def note_proxy(self, address: str, report: Callable[[str], None] | None) -> None:
        """Report a proxy that is not trusted, and log it once an hour; of at most 100 addresses."""
        now = time.monotonic()
        if (
            now - self._warned_at.get(address, float("-inf")) >= _PROXY_WARNING_INTERVAL_SECONDS
            and len(self._warned_at) < 100
        ):
            self._warned_at[address] = now
            _logger.warning("a proxy is not trusted", address=address, remedy="TRUSTED_PROXIES")
        if report is not None:
            report(address)


class BoundedHttpProtocol(HttpToolsProtocol):
    """Speaks HTTP within the bounds. Use as `uvicorn.Config(http=BoundedHttpProtocol)`;
    `config.connections_per_address` where it is not the default.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = _limits_of(config, server_state)
        self._watch: asyncio.TimerHandle | None = None
        self._address: str | None = None  # set while it is counted
        self._may_be_proxy = self._is_in_head = self._is_in_body = self._has_ended_one = False
        self._head_bytes = self._body_bytes = self._body_mark = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, or answer 429 and close it; then wait for the head."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if not self._limits.acquire(address):
            self._refuse(429, "Too many connections from this address")
            return
        self._address = address
        self._may_be_proxy = self._limits.may_be_proxy(address)
        self._watch = self.loop.call_later(_MAX_HEAD_SECONDS, self._on_late_head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection no longer."""
        self._release()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; refuse a head that is too long, and watch that head and body make
        progress.
        """
        if self.transport.is_closing():
            return  # refused: the parser is fed nothing more
        self._has_ended_one = False
        super().data_received(data)
        if not (self._is_in_head or self._is_in_body):
            if self._watch is not None:
                self._stop_watching()
            return  # a whole request, as nearly all come
        if self._address is None or self.transport.is_closing():
            return
        if self._is_in_head:
            if not self._has_ended_one:  # else part of it was the request before
                self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES:
                self._refuse(431, "The head of the request is longer than 64 KB")
            elif self._watch is None:
                self._watch = self.loop.call_later(_MAX_HEAD_SECONDS, self._on_late_head)
        else:
            # a head in the same packet counts as progress, once
            self._body_bytes += len(data)
            if self._watch is None:
                self._watch_body()

    def on_message_begin(self) -> None:
        """Begin to count the bytes of a head."""
        self._is_in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin to count the bytes of a body, and notice a proxy that is not trusted."""
        self._is_in_head = False
        self._is_in_body = True
        self._body_bytes = 0
        if self._watch is not None:
            self._stop_watching()
        if self._may_be_proxy:
            # a proxy says it with each request, so the first of a connection tells
            self._may_be_proxy = False
            if b"x-forwarded-for" in [name for name, _ in self.headers]:
                self._limits.note_proxy(self._address or "", self.app_state.get(NOTE_PROXY))
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the watch: what follows may be the next request's."""
        self._is_in_body = False
        self._has_ended_one = True
        if self._watch is not None:
            self._stop_watching()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """Count the connection no longer: a socket has limits of its own."""
        self._release()
        super().handle_websocket_upgrade()

    def _watch_body(self) -> None:
        self._body_mark = self._body_bytes
        self._watch = self.loop.call_later(_PROGRESS_INTERVAL_SECONDS, self._on_progress_due)

    def _on_late_head(self) -> None:
        self._watch = None
        self._refuse(408, "The head of the request did not come in time")

    def _on_progress_due(self) -> None:
        self._watch = None
        is_ours = self.flow.read_paused  # it is the application that does not take it
        if is_ours or self._body_bytes - self._body_mark >= _MIN_PROGRESS_BYTES:
            self._watch_body()
        else:
            self._refuse(408, "The body of the request comes too slowly")

    def _refuse(self, status: int, text: str) -> None:
        metrics.connections_refused.labels(str(status)).inc()
        self._stop_watching()
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            head = (
                b"content-type: text/plain; charset=utf-8\r\nconnection: "
                b"close\r\ncontent-length: %d\r\n\r\n"
            ) % len(text)
            self.transport.write(STATUS_LINE[status] + head + text.encode())
        # the application must not answer as well
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _release(self) -> None:
        self._stop_watching()
        if self._address is not None:
            self._limits.release(self._address)
            self._address = None


def _limits_of(config: Config, server_state: ServerState) -> ConnectionLimits:
    """Return the limits that all connections of a server share."""
    held = vars(server_state)
    if "connection_limits" not in held:
        per_address = getattr(config, "connections_per_address", CONNECTIONS_PER_ADDRESS)
        held["connection_limits"] = ConnectionLimits(
            per_address, config.forwarded_allow_ips or "127.0.0.1"
        )
    limits: ConnectionLimits = held["connection_limits"]
    return limits
