"""The socket of Chatwoot's agents, `/cable`: connecting under the same rules as every call,
subscribing, and reading frames.

`update_presence` is never sent: it would keep the token's owner online. A wrong token is answered
with silence, so silence is a refusal.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidProxy, InvalidURI
from websockets.typing import Origin, Subprotocol

from server.chatwoot.allowed_addresses import is_named, is_refused, resolve
from server.chatwoot.answers import reason_of
from server.chatwoot.cable_connection import BoundedConnection
from server.core.chatwoot.cable_frames import read_frame
from server.errors import PayloadError

_PROTOCOL = Subprotocol("actioncable-v1-json")
_OPEN_SECONDS = 10.0
_CONFIRM_SECONDS = 10.0
_SILENT_SECONDS = 15.0  # five of Chatwoot's pings
_CLOSE_SECONDS = 1.0
_FRAMES_AHEAD = 1  # a frame may be of the largest size
# a larger one is left to its webhook: Chatwoot's longest message has 150,000 letters
_FRAME_BYTES = 1_000_000
_OVERSIZE = 3  # a frame so many times too large is left out; a larger one ends the connection


class CableFailed(Exception):
    """There is no connection, or it has ended. The text says why, for people."""


class CableRefused(CableFailed):
    """Chatwoot lets us connect, and not listen."""


class Cable:
    """An open connection that was subscribed."""

    def __init__(
        self, connection: ClientConnection, most_bytes: int, silent_seconds: float
    ) -> None:
        self._connection = connection
        self._most_bytes = most_bytes
        self._silent_seconds = silent_seconds

    async def frames(self) -> AsyncIterator[bytes]:
        """Every frame, Chatwoot's pings among them; those that are too large come empty. Raises
        CableFailed at the end.
        """
        while True:
            try:
                async with asyncio.timeout(self._silent_seconds):
                    frame = await self._connection.recv(decode=False)
            except TimeoutError:
                raise CableFailed(
                    f"nothing came for {self._silent_seconds:.0f} s, not even a ping"
                ) from None
            except ConnectionClosed as closed:
                raise CableFailed(f"the connection ended ({_reason(closed)})") from None
            yield b"" if len(frame) > self._most_bytes else frame


class CableNetwork:
    """How Chatwoots are reached from here: which private addresses may be, and by which proxy the
    others.
    """

    def __init__(
        self, *, allows_private: bool, private_hosts: Collection[str], proxy: str, most_bytes: int
    ) -> None:
        self._allows_private = allows_private
        self._private_hosts = private_hosts
        self._proxy = proxy
        self._most_bytes = min(most_bytes, _FRAME_BYTES)
        self.confirm_seconds = _CONFIRM_SECONDS
        self.silent_seconds = _SILENT_SECONDS

    @asynccontextmanager
    async def listening(
        self, base_url: str, account_id: int, user_id: int, token: str
    ) -> AsyncIterator[Cable]:
        """`token`: the owner's `pubsub_token`. Raises CableFailed and CableRefused."""
        try:
            opened = await self._open(base_url)
        except (
            OSError,
            TimeoutError,
            InvalidHandshake,
            InvalidProxy,
            InvalidURI,
            ValueError,
        ) as error:
            raise CableFailed(_open_problem(error)) from None
        async with opened as connection:
            cable = Cable(connection, self._most_bytes, self.silent_seconds)
            await self._subscribe(connection, cable, account_id, user_id, token)
            yield cable

    async def _open(self, base_url: str) -> ClientConnection:
        parts = urlsplit(base_url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        by_proxy = bool(self._proxy) and not is_named(host, port, self._private_hosts)
        wire = None if by_proxy else await self._wire(host, port)
        if by_proxy:
            await self._judge_for_proxy(host, port)
        is_secure = parts.scheme == "https"
        opening = _NoRedirect(
            f"{'wss' if is_secure else 'ws'}://{parts.netloc}{parts.path}/cable",
            origin=Origin(f"{parts.scheme}://{parts.netloc}"),
            subprotocols=[_PROTOCOL],
            compression=None,  # a small frame may not become a large one
            user_agent_header="Omni-Inbox",
            proxy=self._proxy if by_proxy else None,
            open_timeout=_OPEN_SECONDS,
            ping_interval=None,  # Chatwoot pings, and its silence is noticed
            close_timeout=_CLOSE_SECONDS,
            max_size=_OVERSIZE * self._most_bytes,
            max_queue=_FRAMES_AHEAD,
            create_connection=BoundedConnection,
            sock=wire,
            # the same authorities as for calls
            ssl=httpx.create_ssl_context(trust_env=False) if is_secure else None,
        )
        try:
            return await opening
        except BaseException:
            if wire is not None:
                wire.close()
            raise

    async def _judge_for_proxy(self, host: str, port: int) -> None:
        """Raises PermissionError; a name that the proxy alone knows is its to judge."""
        try:
            found = await resolve(host, port)
        except OSError:
            return
        self._check(host, port, found)

    def _check(self, host: str, port: int, found: list[str]) -> None:
        allows_private = self._allows_private or is_named(host, port, self._private_hosts)
        if any(is_refused(address, allows_private=allows_private) for address in found):
            raise PermissionError(f"{host} is a private address")

    async def _wire(self, host: str, port: int) -> socket.socket:
        """A TCP connection to an address that was judged, so that the name cannot lead elsewhere.
        Raises OSError.
        """
        failure: OSError | None = None
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_OPEN_SECONDS):
            found = await resolve(host, port)
            self._check(host, port, found)
            for address in found:
                wire = socket.socket(
                    socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM
                )
                wire.setblocking(False)
                try:
                    await loop.sock_connect(wire, (address, port))
                except OSError as error:
                    wire.close()
                    failure = error
                except BaseException:
                    wire.close()
                    raise
                else:
                    return wire
        raise failure or OSError("the host has no address")

    async def _subscribe(
        self, connection: ClientConnection, cable: Cable, account_id: int, user_id: int, token: str
    ) -> None:
        identifier = {
            "channel": "RoomChannel",
            "pubsub_token": token,
            "account_id": account_id,
            "user_id": user_id,
        }
        try:
            await connection.send(
                json.dumps({"command": "subscribe", "identifier": json.dumps(identifier)})
            )
            async with asyncio.timeout(self.confirm_seconds):
                async for frame in cable.frames():
                    kind = _kind(frame)
                    if kind == "confirm_subscription":
                        return
                    if kind in ("reject_subscription", "disconnect"):
                        raise CableRefused(
                            "Chatwoot refuses the access token's owner as a listener"
                        )
        except TimeoutError:
            raise CableRefused(
                "Chatwoot did not answer the subscription, which is how it refuses one"
            ) from None
        except ConnectionClosed as closed:
            raise CableFailed(f"the connection ended ({_reason(closed)})") from None


class _NoRedirect(connect):
    """As every call: a redirect may lead where nobody has judged."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Fails with the redirect's own error."""
        return exc


def _kind(frame: bytes) -> str:
    try:
        return read_frame(frame)[0]
    except PayloadError:
        return ""


def _reason(closed: ConnectionClosed) -> str:
    return str(closed.rcvd.code) if closed.rcvd is not None else "without a word"


def _open_problem(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return (
            f"Chatwoot's socket answered with status {status}; is /cable passed on by the "
            "proxy before it?"
        )
    if isinstance(error, PermissionError):
        return f"{error}, which integrations may not reach"
    return f"Chatwoot's socket cannot be reached ({reason_of(error)})"
