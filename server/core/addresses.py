"""Addresses as people write them in settings: what is wrong with one, and how a host is written in
a URL.
"""

from urllib.parse import urlsplit

_EXAMPLE = "https://inbox.example.com"
# every address of the machine: one of them is shown
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def bare_host(host: str) -> str:
    """A host without the brackets an IPv6 address has in a URL."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def url_host(host: str) -> str:
    """Return a host as it is written in a URL that this machine can open: an IPv6 address in
    brackets, loopback for "every address".
    """
    host = _LOOPBACK.get(host, host)
    return f"[{host}]" if ":" in host else host


def public_url_problem(url: str) -> str | None:
    """Why an address cannot be the one that pages and webhooks are under, as the end of a sentence;
    None where it can.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return (
            f"must be an address as {_EXAMPLE}; an IPv6 address stands in brackets, as "
            "http://[fd00::1]:8000"
        )
    if parts.scheme not in ("http", "https"):
        return "must begin with http:// or https://"
    if not host or any(letter.isspace() for letter in url):
        return f"must name a host, as {_EXAMPLE}"
    if parts.username is not None or parts.password is not None:
        return "must not hold a user or a password"
    if parts.path not in ("", "/"):
        return (
            f"must not have a path, as {parts.path} is: pages and webhooks are at the root of a "
            "host. "
            f"Give the inbox a host name or a port of its own, as {_EXAMPLE}"
        )
    if parts.query or parts.fragment:
        return "must end after the host and the port"
    return None
