"""Where calls to Chatwoot may go. An administrator of one company writes the address; the server
that calls it has neighbours of its own.

The check is made on the addresses a name resolves to, at the moment of connecting, and the
connection goes to the very address that was checked: a name that answers otherwise a second later
(DNS rebinding) gains nothing. Redirects are not followed (`client.py`).

The environment's proxies are not read, as they would connect in our place, and unjudged. A proxy
that the operator names is given only hosts that do not resolve to a refused address here; what they
resolve to there is the proxy's to judge.
"""

import asyncio
import functools
import ipaddress
import re
import socket
import ssl
from collections.abc import Collection, Iterable
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from server.errors import BadRequest
from server.problems import Problem

_MAX_BASE_URL_CHARACTERS = 500
_PAGES = re.compile(r"/(?:app|api)(?=/|$)")
# the machine's own keys and addresses at cloud providers: nobody's Chatwoot, so refused even where
# private addresses are allowed
_METADATA = frozenset(
    {
        *("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16"),
        *("fd00:ec2::254", "fd20:ce::254", "fd00:c1::a9fe:a9fe"),
    }
)
_NAT64, _NAT64_LOCAL = (
    ipaddress.IPv6Network("64:ff9b::/96"),
    ipaddress.IPv6Network("64:ff9b:1::/48"),
)
_COMPATIBLE = ipaddress.IPv6Network("::/96")
Place = ipaddress.IPv4Address | ipaddress.IPv6Address


class ForbiddenAddress(httpcore.ConnectError):
    """The name leads into a network that integrations must not reach."""


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Resolves, judges, and connects to what was judged; TLS still verifies the name, which
    httpcore takes from the URL.
    """

    def __init__(
        self,
        inner: httpcore.AsyncNetworkBackend,
        *,
        allows_private: bool,
        private_hosts: Collection[str],
    ) -> None:
        self._inner = inner
        self._allows_private = allows_private
        self._private_hosts = private_hosts

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connects to the first address that answers. Raises ForbiddenAddress for a private one."""
        try:
            async with asyncio.timeout(timeout):
                found = await resolve(host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        allows_private = self._allows_private or is_named(host, port, self._private_hosts)
        if any(is_refused(address, allows_private=allows_private) for address in found):
            raise ForbiddenAddress(f"{host} is a private address")
        failure: Exception | None = None
        for address in found:
            try:
                return await self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except httpcore.ConnectError as error:
                failure = error
        raise failure or httpcore.ConnectError(f"{host} has no address")

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Raises ForbiddenAddress."""
        raise ForbiddenAddress("Chatwoot is not behind a socket file")

    async def sleep(self, seconds: float) -> None:
        """Waits as the wrapped network does."""
        await self._inner.sleep(seconds)


def outgoing_client(
    *,
    allows_private: bool,
    limits: httpx.Limits,
    private_hosts: Collection[str] = (),
    proxy: str = "",
) -> httpx.AsyncClient:
    """The client for all calls to Chatwoot.

    `private_hosts`: `host` or `host:port` that may lie in a private network; they are called
    without the `proxy`.
    """
    judge = _Judge(allows_private=allows_private, private_hosts=private_hosts)
    http = httpx.AsyncClient(
        verify=tls_context(),
        limits=limits,
        headers={"User-Agent": "Omni-Inbox"},
        trust_env=False,
        proxy=proxy or None,
        mounts={f"all://{host}": None for host in private_hosts} if proxy else None,
        event_hooks={
            "request": [judge.check_request] if proxy else [],
            "response": [judge.mark_answer],
        },
    )
    # httpx offers no way to name the network of its pool; the tests of this module fail when these
    # names change
    pool = http._transport._pool  # type: ignore[attr-defined]
    pool._network_backend = _CheckedNetwork(
        pool._network_backend, allows_private=allows_private, private_hosts=private_hosts
    )
    return http


@functools.cache
def tls_context() -> ssl.SSLContext:
    """One for all clients: each would read the list of authorities anew, some 50 ms of a core."""
    return httpx.create_ssl_context(trust_env=False)


class _Judge:
    """Hooks of a client: what a proxy is asked for, and whose words may be repeated."""

    def __init__(self, *, allows_private: bool, private_hosts: Collection[str]) -> None:
        self._allows_private = allows_private
        self._private_hosts = private_hosts

    async def check_request(self, request: httpx.Request) -> None:
        """For what a proxy will connect to. Raises httpx.ConnectError."""
        host, port = _destination(request.url)
        if is_named(host, port, self._private_hosts):
            return  # called directly, and judged there
        try:
            found = await resolve(host, port)
        except OSError:
            return  # a name that the proxy alone knows
        if any(is_refused(address, allows_private=self._allows_private) for address in found):
            raise httpx.ConnectError(f"{host} is a private address") from ForbiddenAddress()
        request.extensions["is_public"] = not any(is_private(address) for address in found)

    async def mark_answer(self, answer: httpx.Response) -> None:
        """An answer's `is_quotable`: it comes from the public Internet, or from a host that the
        operator named.

        Where every private address is allowed, a service in one's own network may be asked that
        never meant to speak to a company's administrator.
        """
        host, port = _destination(answer.request.url)
        if is_named(host, port, self._private_hosts):
            answer.extensions["is_quotable"] = True
        elif "is_public" in answer.request.extensions:
            answer.extensions["is_quotable"] = answer.request.extensions["is_public"]
        else:
            peer = answer.extensions["network_stream"].get_extra_info("server_addr")
            answer.extensions["is_quotable"] = peer is not None and not is_private(str(peer[0]))


def _destination(url: httpx.URL) -> tuple[str, int]:
    return url.host, url.port or (443 if url.scheme == "https" else 80)


def is_named(host: str, port: int, hosts: Collection[str]) -> bool:
    """Whether a list of hosts (IPv6 addresses in brackets) names this one, with its port or
    without.
    """
    name = (f"[{host}]" if ":" in host else host).lower()
    return name in hosts or f"{name}:{port}" in hosts


async def resolve(host: str, port: int) -> list[str]:
    """Every address of a name, IPv4 first. Raises OSError when it has none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(
        dict.fromkeys(
            str(place[0])
            for _, _, _, _, place in sorted(found, key=lambda one: one[0] != socket.AF_INET)
        )
    )


def is_private(address: str) -> bool:
    """Whether an address is not one of the public Internet; what Chatwoot 4.14 refuses as a
    webhook's is the same.
    """
    return any(_is_private(place) for place in _places(address))


def is_refused(address: str, *, allows_private: bool) -> bool:
    """Whether integrations must not reach an address: metadata services, link-local and multicast
    addresses always, private ones unless they are allowed.
    """
    places = _places(address)
    if any(
        str(place) in _METADATA or place.is_link_local or place.is_multicast or place.is_unspecified
        for place in places
    ):
        return True
    return not allows_private and any(_is_private(place) for place in places)


def _is_private(place: Place) -> bool:
    is_local = isinstance(place, ipaddress.IPv6Address) and (
        place.is_site_local or place in _NAT64_LOCAL
    )
    return is_local or not place.is_global or place.is_multicast


def _places(address: str) -> list[Place]:
    """Where a connection to the address may end: itself, and every IPv4 address that a translator
    or a tunnel reads in it.
    """
    place = ipaddress.ip_address(address.partition("%")[0])
    if not isinstance(place, ipaddress.IPv6Address):
        return [place]
    if place.ipv4_mapped is not None:
        return [place.ipv4_mapped]
    number, found = int(place), [place.sixtofour, *(place.teredo or ())]
    if place in _NAT64 or place in _NAT64_LOCAL or (place in _COMPATIBLE and number > 1):
        found.append(ipaddress.IPv4Address(number & 0xFFFFFFFF))
    # RFC 6052, a prefix of 48 bits: 16 bits before the eight that are zero, 16 behind them
    if place in _NAT64_LOCAL and (
        embedded := (number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF
    ):
        found.append(ipaddress.IPv4Address(embedded))
    return [place, *(one for one in found if one is not None)]


def check_base_url(text: str) -> str:
    """Chatwoot's address, as far as what stands before /app; without a slash at its end. Raises
    BadRequest with a sentence.
    """
    url = text.strip().partition("#")[0].rstrip("/")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadRequest(Problem.of("base_url.no_address")) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise BadRequest(Problem.of("base_url.scheme_or_host"))
    if parts.username or parts.password or parts.query or parts.fragment:
        raise BadRequest(Problem.of("base_url.too_much"))
    # people paste the address of a page of Chatwoot's
    path = _PAGES.split(parts.path, maxsplit=1)[0].rstrip("/")
    if len(url) > _MAX_BASE_URL_CHARACTERS:
        raise BadRequest(Problem.of("base_url.too_long", count=_MAX_BASE_URL_CHARACTERS))
    place = parts.netloc.lower()  # one spelling, so that the same inbox is noticed
    return f"{parts.scheme}://{place}{path}"


async def check_destination(
    base_url: str, *, allows_private: bool, private_hosts: Collection[str] = ()
) -> None:
    """Raises BadRequest when the address leads into a private network. A name that does not resolve
    now is judged when it is called.
    """
    parts = urlsplit(base_url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = await resolve(host, port)
    except OSError:
        return
    allows_private = allows_private or is_named(host, port, private_hosts)
    refused = next(
        (address for address in found if is_refused(address, allows_private=allows_private)), None
    )
    if refused is not None:
        raise BadRequest(Problem.of("base_url.private", host=host))
