"""Runs the application under uvicorn, with our WebSocket protocol."""

import os
import socket

import uvicorn
import uvicorn.supervisors
from starlette.types import ASGIApp

from server.app import create_app
from server.errors import ConfigurationError
from server.settings import Settings
from server.websocket_protocol import MESSAGE_MOST_BYTES, PushWebSocketProtocol

_KEEP_ALIVE_SECONDS = 75  # longer than a poller's 10 s, so that each poll finds its connection open
_BACKLOG = 4_096


def uvicorn_config(settings: Settings, app: ASGIApp | str, workers: int = 1) -> uvicorn.Config:
    """uvicorn's part of the configuration; `app` is an application, or the import string of a factory."""
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        host=settings.host,
        port=settings.port,
        workers=workers,
        ws=PushWebSocketProtocol,
        ws_max_size=MESSAGE_MOST_BYTES,
        ws_ping_interval=None,  # our own pings carry the head; protocol pings would cost a timer a socket
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(5, int(settings.drain_seconds) + 5),
        lifespan="on",
    )


def take_port(host: str, port: int) -> socket.socket:
    """Take the port (0: any free one), without listening yet. Raises ConfigurationError where it cannot be had.

    uvicorn listens when the application has started. Until then a connection is refused, and a proxy goes to another process; one that was
    accepted by the system alone would wait for the start, and after a restart those are all that come.
    """
    taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, port))
    except OSError as error:
        taken.close()
        raise ConfigurationError(f"Port {port} on {host} cannot be taken ({error.strerror}); choose another with --port") from None
    return taken


def serve(settings: Settings, workers: int) -> None:
    """Serve until SIGTERM. Raises ConfigurationError before anything is opened."""
    settings.check_serving(workers)
    if workers == 1:
        listener = take_port(settings.host, settings.port)
        uvicorn.Server(uvicorn_config(settings, create_app(settings))).run(sockets=[listener])
        return
    os.environ |= {"HOST": settings.host, "PORT": str(settings.port)}  # the workers read their settings anew
    config = uvicorn_config(settings, "server.app:from_environment", workers)
    uvicorn.supervisors.Multiprocess(config, sockets=[config.bind_socket()]).run()
