"""Whose failures are counted together."""

from starlette.requests import HTTPConnection


def address_of(connection: HTTPConnection) -> str:
    """The client's address, as the connection or a trusted proxy says."""
    return connection.client.host if connection.client else "unknown"
