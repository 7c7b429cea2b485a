"""Whose page a request comes from, and which cookie it carries: decided by its headers alone."""

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit


def is_own_origin(headers: Mapping[str, str], public_urls: Collection[str]) -> bool:
    """Whether the request comes from a page of this very server, scheme included: a page of
    http://inbox.example, which anybody on the way can write, is not one of https://inbox.example.
    Where the operator has not said what our address is, the Host it was sent to counts.
    """
    try:
        parts = urlsplit(headers.get("origin") or "")
    except ValueError:  # half an IPv6 address
        return False
    # none, `null` or `file://`: no server's page
    if not parts.netloc or parts.scheme not in ("http", "https"):
        return False
    if public_urls:
        return any((parts.scheme, parts.netloc) == _address(url) for url in public_urls)
    return parts.netloc == headers.get("host", "")


def _address(url: str) -> tuple[str, str]:
    """As a browser writes it: in small letters, without the port that the scheme has anyway."""
    parts = urlsplit(url.lower())
    usual = {"http": ":80", "https": ":443"}.get(parts.scheme, ":")
    return parts.scheme, parts.netloc.removesuffix(usual)


def read_cookie(header: str, name: str) -> str | None:
    """Return the value of a cookie in a `Cookie` header; None where it is missing or empty."""
    for part in header.split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value or None
    return None
