"""The port of a process."""

import socket

import pytest

from server.errors import ConfigurationError
from server.serve import reserve_port


def test_a_port_that_is_taken_refuses_connections_until_the_application_has_started() -> None:
    """A proxy in front goes to another process meanwhile, instead of waiting for this one's
    start.
    """
    with reserve_port("127.0.0.1", 0) as taken:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(taken.getsockname(), timeout=5)
        taken.listen()
        socket.create_connection(taken.getsockname(), timeout=5).close()


def test_a_port_of_another_process_is_a_sentence_and_no_traceback() -> None:
    """With the number, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"Port {port} .* --port"):
            reserve_port("127.0.0.1", port)
