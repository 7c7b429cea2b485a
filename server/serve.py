"""Runs the application under uvicorn, with our WebSocket protocol."""

import asyncio
import ipaddress
import os
import socket
import time

import uvicorn
import uvicorn.supervisors
from starlette.types import ASGIApp

from server.app import START_DRAINING, create_app
from server.errors import ConfigurationError
from server.http.http_protocol import BoundedHttpProtocol
from server.live.push_protocol import PushWebSocketProtocol
from server.live.push_socket import MAX_MESSAGE_BYTES, PushSocket
from server.settings import Settings

_NO_ADDRESS = "nobody"  # matches no address
_KEEP_ALIVE_SECONDS = 75  # longer than a poller's 10 s, so that each poll finds its connection open
_BACKLOG = 4_096
_POLL_INTERVAL_SECONDS = 0.1
# after the drain's window: a socket that is still open is closed, and has a moment to flush
_FLUSH_SECONDS = 3.0


class DrainingServer(uvicorn.Server):
    """Stops when its sockets have left. From SIGTERM on `/readyz` says `draining`, sockets are
    asked to leave and new ones refused, while every other request is answered as before: the
    listening socket is closed when the last socket has left. Had it been closed first, a server
    that is alone would refuse webhooks for the whole window, and nobody could ask how far it is.
    """

    def __init__(
        self, config: uvicorn.Config, *, window_seconds: float, min_seconds: float
    ) -> None:
        super().__init__(config)
        self._max_seconds = max(window_seconds + _FLUSH_SECONDS, min_seconds)
        self._min_seconds = min_seconds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then stop. uvicorn calls it once, when the signal came."""
        if (start_draining := self.lifespan.state.get(START_DRAINING)) is not None:
            start_draining()
        began, asked = time.monotonic(), set[object]()
        while not self.force_exit:
            # for the date; without it keep-alive connections would end in the middle of a proxy's
            # next request
            await self.on_tick(0)
            self.server_state.default_headers.append((b"connection", b"close"))
            present = {
                one
                for one in self.server_state.connections
                if isinstance(one, (PushSocket, PushWebSocketProtocol))
            }
            for one in present - asked:
                one.shutdown()
            asked |= present
            passed = time.monotonic() - began
            if (not present and passed >= self._min_seconds) or passed >= self._max_seconds:
                break
            await asyncio.sleep(_POLL_INTERVAL_SECONDS)
        await super().shutdown(sockets)


def uvicorn_config(settings: Settings, app: ASGIApp | str, workers: int = 1) -> uvicorn.Config:
    """uvicorn's part of the configuration; `app` is an application, or the import string of a
    factory. Raises ConfigurationError.
    """
    config = uvicorn.Config(
        app,
        factory=isinstance(app, str),
        host=settings.host,
        port=settings.port,
        workers=workers,
        http=BoundedHttpProtocol,
        forwarded_allow_ips=_addresses(settings.trusted_proxies),
        ws=PushWebSocketProtocol,
        ws_max_size=MAX_MESSAGE_BYTES,
        # our own pings carry the head; protocol pings would cost a timer a socket
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(5, int(settings.drain_seconds) + 5),
        lifespan="on",
    )
    # BoundedHttpProtocol asks for it
    config.connections_per_address = settings.connections_per_address  # type: ignore[attr-defined]
    return config


def _addresses(proxies: str) -> list[str]:
    """Addresses and networks as they are, names as the addresses they resolve to now. Raises
    ConfigurationError for one that does not resolve.
    """
    found: list[str] = []
    for part in filter(None, map(str.strip, proxies.split(","))):
        if part == "*":
            return ["*"]
        try:
            ipaddress.ip_network(part)
        except ValueError:
            try:
                found += sorted({str(info[4][0]) for info in socket.getaddrinfo(part, None)})
            except OSError as error:
                raise ConfigurationError(
                    f"TRUSTED_PROXIES: {part} is no address, no network and no known name ({error})"
                ) from None
        else:
            found.append(part)
    return found or [_NO_ADDRESS]


def reserve_port(host: str, port: int) -> socket.socket:
    """Bind the port (0: any free one), without listening yet. Raises ConfigurationError where that
    fails.

    uvicorn listens when the application has started. Until then a connection is refused, and a
    proxy goes to another process; one that was accepted by the system alone would wait for the
    start, and after a restart those are all that come.
    """
    taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if taken.family == socket.AF_INET6:
            # "::" is every address, IPv4 ones too
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        taken.bind((host, port))
    except OSError as error:
        taken.close()
        raise ConfigurationError(
            f"Port {port} on {host} cannot be taken ({error.strerror}); choose another with --port"
        ) from None
    return taken


def serve(settings: Settings, workers: int) -> None:
    """Serve until SIGTERM. Raises ConfigurationError before anything is opened."""
    settings.check_serving(workers)
    if workers == 1:
        listener = reserve_port(settings.host, settings.port)
        config = uvicorn_config(settings, create_app(settings))
        limits = {
            "window_seconds": settings.drain_seconds,
            "min_seconds": settings.drain_least_seconds,
        }
        DrainingServer(config, **limits).run(sockets=[listener])
        return
    # the workers read their settings anew
    os.environ |= {"HOST": settings.host, "PORT": str(settings.port)}
    config = uvicorn_config(settings, "server.app:from_environment", workers)
    uvicorn.supervisors.Multiprocess(config, sockets=[config.bind_socket()]).run()
