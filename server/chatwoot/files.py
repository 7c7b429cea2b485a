"""Files of messages, fetched from where Chatwoot keeps them, for an agent who may see them.

The address comes with a webhook, so it may be anybody's invention: only public addresses are
called, at every redirect anew, and private ones only where the integration's own Chatwoot or a host
named by the operator lies there (`outgoing.py` judges when it connects). No credentials are sent:
Chatwoot's file addresses need none.
"""

import re
import time
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx

from server.chatwoot.allowed_addresses import is_named, outgoing_client
from server.errors import AttachmentUnavailable, NotFound

_MAX_REDIRECTS = 4
_TIMEOUT = httpx.Timeout(10.0, connect=5.0, pool=5.0)
WHOLE_SECONDS = 300.0  # a file on a slow line; longer holds a connection for nobody
_LIMITS = httpx.Limits(max_connections=60, max_keepalive_connections=10)
_LENGTH = re.compile(r"[0-9]{1,15}")
# what is passed on, in the only form it is passed on in: whoever runs the storage writes these, and
# a browser reads them as ours
_PASSED = {
    "Accept-Ranges": re.compile(r"bytes|none"),
    "Content-Range": re.compile(r"bytes [0-9]{1,15}-[0-9]{1,15}/([0-9]{1,15}|\*)"),
    "Content-Length": _LENGTH,
}
# a path of Active Storage; no segment of it leads elsewhere
_STORED = re.compile(r"/rails/active_storage/(?:(?!\.{1,2}/)[^/\\]+/)*[^/\\]+")
_GONE = (403, 404, 410)  # storage says 403 for what does not exist


class NotPassedOn(AttachmentUnavailable):
    """The file is there, and too large or in a form that is not passed on."""


class OpenFile:
    """A file whose head has come; `chunks` gives the rest, `close` must be called."""

    def __init__(self, answer: httpx.Response, most_bytes: int) -> None:
        self._answer = answer
        self._most_bytes = most_bytes
        self.status = answer.status_code
        self.content_type: str = answer.headers.get("content-type", "")

    @property
    def headers(self) -> dict[str, str]:
        """Length and range, as far as they are known and are of what is passed on."""
        given = {name: self._answer.headers.get(name, "") for name in _PASSED}
        return {name: text for name, text in given.items() if _PASSED[name].fullmatch(text)}

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises AttachmentUnavailable when it breaks off, grows too large or takes too long: the
        client sees an answer cut short.
        """
        size, until = 0, time.monotonic() + WHOLE_SECONDS
        try:
            async for chunk in self._answer.aiter_raw():
                size += len(chunk)
                if size > self._most_bytes or time.monotonic() > until:
                    raise AttachmentUnavailable("The file is too large, or takes too long")
                yield chunk
        except httpx.HTTPError:
            raise AttachmentUnavailable from None

    async def close(self) -> None:
        """Gives the connection back; what was not read is given up."""
        await self._answer.aclose()


class Files:
    """An async context manager."""

    def __init__(
        self,
        *,
        allows_private: bool,
        private_hosts: Collection[str],
        most_bytes: int,
        chatwoot_hosts: Collection[str] = (),
        proxy: str = "",
    ) -> None:
        """`allows_private`: an integration's own Chatwoot may lie in a private network, as it may
        where `chatwoot_hosts` names it; `private_hosts` may in any case.
        """
        self._allows_private = allows_private
        self._private_hosts = frozenset(private_hosts)
        self._most_bytes = most_bytes
        self._chatwoot_hosts = frozenset(chatwoot_hosts)
        self._public = outgoing_client(allows_private=False, limits=_LIMITS, proxy=proxy)
        self._private = outgoing_client(allows_private=True, limits=_LIMITS)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._public)
        await self._stack.enter_async_context(self._private)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def open(
        self, url: str, base_url: str, part: str | None, *, is_by_sender: bool = False
    ) -> OpenFile:
        """Begin to fetch; `base_url` is the integration's, `part` a Range. `is_by_sender`: whoever
        sent the message may have written the address, and would learn that it was read: it is asked
        of Chatwoot, or of a host that the operator names. Raises NotFound or AttachmentUnavailable.
        """
        own = _at_connected(url, base_url)
        is_trusted = not is_by_sender or self._is_known(url, base_url)
        if own is None:
            if not is_trusted:
                raise NotFound
            return await self._follow(url, base_url, part)
        try:
            return await self._follow(own, base_url, part, stays=True)
        except NotPassedOn:
            raise
        except (NotFound, AttachmentUnavailable):
            if not is_trusted:
                raise
            # what stands before the connected address may pass on the API alone
            return await self._follow(url, base_url, part)

    async def _follow(
        self, url: str, base_url: str, part: str | None, *, stays: bool = False
    ) -> OpenFile:
        """`stays`: redirects that name Chatwoot's files elsewhere are asked of the connected
        address as well.
        """
        for _ in range(_MAX_REDIRECTS + 1):
            answer = await self._get(url, base_url, part)
            if answer.status_code in (200, 206):
                problem = self._problem_of(answer)
                if problem is not None:
                    await answer.aclose()
                    raise NotPassedOn(problem)
                return OpenFile(answer, self._most_bytes)
            location = answer.headers.get("location")
            await answer.aclose()
            if answer.status_code in _GONE:
                raise NotFound(
                    "The file is not there; one that was sent just now may take some seconds"
                )
            if not answer.has_redirect_location or location is None:
                raise AttachmentUnavailable
            target = _joined(url, location)
            own = _at_connected(target, base_url) if stays else None
            url = target if own is None or own == url else own
        raise AttachmentUnavailable("The file's address leads in a circle")

    async def _get(self, url: str, base_url: str, part: str | None) -> httpx.Response:
        # no compression: a length and a range are of the bytes as they lie there
        headers = {"Accept-Encoding": "identity"} | ({"Range": part} if part else {})
        http = self._private if self._may_be_private(url, base_url) else self._public
        try:
            request = http.build_request("GET", url, headers=headers, timeout=_TIMEOUT)
            return await http.send(request, stream=True, follow_redirects=False)
        except (httpx.HTTPError, httpx.InvalidURL):
            raise AttachmentUnavailable from None

    def _problem_of(self, answer: httpx.Response) -> str | None:
        """Why a file is not passed on. One that comes encoded, though that was not asked for, would
        grow on its way.
        """
        length = answer.headers.get("content-length", "0")
        if not _LENGTH.fullmatch(length) or int(length) > self._most_bytes:
            return "The file is larger than what is passed on here; open it in Chatwoot"
        if answer.headers.get("content-encoding", "identity").strip().lower() not in (
            "identity",
            "",
        ):
            return (
                "The file comes compressed from where Chatwoot keeps it, though that was not "
                "asked for; open it in Chatwoot"
            )
        return None

    def _may_be_private(self, url: str, base_url: str) -> bool:
        place = _place(url)
        if place is None:
            return False
        if is_named(*place, self._private_hosts):
            return True
        is_own = _origin(url) == _origin(base_url)
        return is_own and (self._allows_private or is_named(*place, self._chatwoot_hosts))

    def _is_known(self, url: str, base_url: str) -> bool:
        """Whether it is at the connected Chatwoot, or at a host that the operator names."""
        place = _place(url)
        if place is None:
            return False
        named = self._private_hosts | self._chatwoot_hosts
        return _origin(url) == _origin(base_url) or is_named(*place, named)


def _place(url: str) -> tuple[str, int] | None:
    """Its host and port; None where it has none that can be asked."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    return parts.hostname or "", port


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _at_connected(url: str, base_url: str) -> str | None:
    """The same file of Chatwoot's at the connected address, where its FRONTEND_URL is another one.

    Its paths are good on every host that is the same Chatwoot, and the token proves that the
    connected one is; so no host that a payload names is called for them. None for other addresses.
    """
    try:
        parts, own = urlsplit(url), urlsplit(base_url)
    except ValueError:
        return None
    if not own.netloc or (parts.scheme, parts.netloc) == (own.scheme, own.netloc):
        return None
    if not _STORED.fullmatch(parts.path):
        return None
    query = f"?{parts.query}" if parts.query else ""
    return f"{base_url.rstrip('/')}{parts.path}{query}"


def _joined(url: str, location: str) -> str:
    """Raises AttachmentUnavailable for what is no web address: `file:` is nothing httpx would open,
    but it need not get that far.
    """
    try:
        target = httpx.URL(url).join(location)
    except (httpx.InvalidURL, ValueError):
        raise AttachmentUnavailable from None
    if target.scheme not in ("http", "https"):
        raise AttachmentUnavailable
    return str(target)
