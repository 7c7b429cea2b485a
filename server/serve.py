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


def listen(host: str, port: int) -> socket.socket:
    """Take the port (0: any free one). Raises ConfigurationError where it cannot be had."""
    try:
        return socket.create_server((host, port), backlog=_BACKLOG)
    except OSError as error:
        raise ConfigurationError(f"Port {port} on {host} cannot be taken ({error.strerror}); choose another with --port") from None


def serve(settings: Settings, workers: int) -> None:
    """Serve until SIGTERM. Raises ConfigurationError before anything is opened."""
    settings.check_serving(workers)
    if workers == 1:
        listener = listen(settings.host, settings.port)
        uvicorn.Server(uvicorn_config(settings, create_app(settings))).run(sockets=[listener])
        return
    os.environ |= {"HOST": settings.host, "PORT": str(settings.port)}  # the workers read their settings anew
    config = uvicorn_config(settings, "server.app:from_environment", workers)
    uvicorn.supervisors.Multiprocess(config, sockets=[config.bind_socket()]).run()
