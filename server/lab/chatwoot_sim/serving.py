"""Runs the simulated Chatwoot under uvicorn inside the caller's event loop, so that the caller may
use its Python API.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from server.lab.chatwoot_sim.background import beside
from server.lab.chatwoot_sim.sim_app import create_app
from server.lab.chatwoot_sim.state import ChatwootSim

_GRACE_SECONDS = 1  # an answer that hangs on purpose must not hold the shutdown


@asynccontextmanager
async def serving(
    sim: ChatwootSim, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve `sim` while inside; gives its address, which is also set as `sim.base_url`. Port 0: any
    free one.

    Raises OSError when the port is taken.
    """
    listener = socket.create_server((host, port))
    sim.base_url = f"http://{host}:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        create_app(sim),
        log_config=None,
        access_log=False,
        ws="websockets-sansio",
        lifespan="on",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = _Server(config)
    async with beside(server.serve(sockets=[listener]), server.stop):
        await server.is_ready.wait()
        yield sim.base_url


class _Server(uvicorn.Server):
    """uvicorn that says when it is ready, and leaves signals to its host."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and set `is_ready`."""
        await super().startup(sockets)
        self.is_ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, and close what uvicorn leaves open: a connection that was accepted while the others
        were being closed, and answers that hang.
        """
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()

    def stop(self, _task: object) -> None:
        """Let the server end by itself."""
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the host's signal handlers as they are."""
        yield
