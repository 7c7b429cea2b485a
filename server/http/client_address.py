"""The address that a client's failures and requests are counted under."""

from starlette.requests import HTTPConnection


def address_of(connection: HTTPConnection) -> str:
    """Return the client's address, as the connection or a trusted proxy says; `unknown` for a Unix
    socket.
    """
    return connection.client.host if connection.client else "unknown"
