"""The two sides of a socket after its welcome: who writes to it, and who is called when something
comes.
"""

from typing import Protocol


class SocketHandler(Protocol):
    """What a handed-over socket calls when something comes, or its state changes."""

    def on_text(self, text: bytes) -> None:
        """A whole text message, not yet decoded."""

    def on_binary(self) -> None:
        """A binary message, which this protocol does not know."""

    def on_pause(self) -> None:
        """The output buffer is full: write no more."""

    def on_resume(self) -> None:
        """The output buffer has room again."""

    def on_lost(self, code: int) -> None:
        """The connection is over; said once."""

    def on_shutdown(self) -> None:
        """The server stops: close, at once or within the drain's window."""


class SocketWriter(Protocol):
    """The writing side of a socket."""

    def hand_over(self, handler: SocketHandler, high_water_bytes: int) -> "SocketWriter":
        """Give the socket to the handler. What is written from now on goes through the returned
        object.
        """

    def write(self, frames: bytes) -> None:
        """Complete frames; never waits. Ignored when the connection is over."""

    def close(self, code: int, reason: str = "") -> None: ...
