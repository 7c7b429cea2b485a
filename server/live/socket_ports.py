"""The two sides of a socket after its welcome: who writes to it, and who is called when something
comes.
"""

from typing import Protocol


class SocketHandler(Protocol):
    """What a handed-over socket calls when something comes, or its state changes."""

    def on_text(self, text: bytes) -> None:
        """Get a whole text message, not yet decoded."""

    def on_binary(self) -> None:
        """Get a binary message, which this protocol does not know."""

    def on_pause(self) -> None:
        """Write no more: the output buffer is full."""

    def on_resume(self) -> None:
        """Write again: the output buffer has room."""

    def on_lost(self, code: int) -> None:
        """Clean up: the connection is over. Called once; `code` is the close code."""

    def on_shutdown(self) -> None:
        """Close, at once or within the drain's window: the server stops."""


class SocketWriter(Protocol):
    """The writing side of a socket."""

    def hand_over(self, handler: SocketHandler, high_water_bytes: int) -> "SocketWriter":
        """Give the socket to the handler, which is paused above `high_water_bytes` of output. What
        is written from now on goes through the returned object.
        """

    def write(self, frames: bytes) -> None:
        """Write complete frames; never waits. Ignored when the connection is over."""

    def close(self, code: int, reason: str = "") -> None:
        """Write a close frame with this code; ignored when the connection is over."""
