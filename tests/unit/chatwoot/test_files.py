"""Where files may be fetched from: an address that comes with a webhook is anybody's invention, and
so is every redirect.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from server.chatwoot.files import Files
from server.errors import AttachmentUnavailable, NotFound

OK = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 5\r\n\r\nhello"


class Storage:
    """A server on this machine that gives each path a fixed answer, and writes down who asked."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.address = ""

    def redirects(self, path: str, target: str) -> None:
        self.answers[path] = (
            f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
        )

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ", 2)[1]
        self.asked.append(path)
        writer.write(self.answers.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
        await writer.drain()
        writer.close()


@asynccontextmanager
async def storage() -> AsyncIterator[Storage]:
    place = Storage()
    server = await asyncio.start_server(place.answer, "127.0.0.1", 0)
    place.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield place


async def read(files: Files, url: str, base_url: str) -> bytes:
    opened = await files.open(url, base_url, None)
    try:
        return b"".join([chunk async for chunk in opened.chunks()])
    finally:
        await opened.close()


def _files(
    *, allows_private: bool = True, hosts: tuple[str, ...] = (), most_bytes: int = 1_000
) -> Files:
    return Files(allows_private=allows_private, private_hosts=hosts, most_bytes=most_bytes)


async def test_the_integration_s_own_host_is_read_also_on_this_machine() -> None:
    """Where the operator allows a private Chatwoot; redirects within it are followed."""
    async with storage() as own, _files() as files:
        own.redirects("/blob", "/disk")
        own.answers["/disk"] = OK
        assert await read(files, own.address + "/blob", own.address) == b"hello"


async def test_a_private_chatwoot_must_be_allowed() -> None:
    """Its own host too."""
    async with storage() as own, _files(allows_private=False) as files:
        own.answers["/a"] = OK
        with pytest.raises(AttachmentUnavailable):
            await read(files, own.address + "/a", own.address)
        assert own.asked == []


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:{port}/secret",
        "http://localhost:{port}/secret",
        "http://[::ffff:127.0.0.1]:{port}/secret",
    ],
)
async def test_no_address_and_no_redirect_leads_to_another_port_of_this_machine(
    target: str,
) -> None:
    """Neither at once nor from the integration's own host."""
    async with storage() as own, storage() as neighbour, _files() as files:
        neighbour.answers["/secret"] = OK
        url = target.format(port=neighbour.address.rpartition(":")[2])
        own.redirects("/a", url)
        for start in (url, own.address + "/a"):
            with pytest.raises(AttachmentUnavailable):
                await read(files, start, own.address)
        assert neighbour.asked == []


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "file:///etc/passwd",
        "gopher://x",
        "http://",
        "//",
    ],
)
async def test_private_networks_and_other_schemes_are_refused(target: str) -> None:
    """Also as a redirect; and at once, without a wait for a host that does not answer."""
    async with storage() as own, _files() as files:
        own.redirects("/a", target)
        async with asyncio.timeout(3):
            with pytest.raises(AttachmentUnavailable):
                await read(files, own.address + "/a", own.address)


async def test_a_host_named_by_the_operator_may_be_private() -> None:
    """Where Chatwoot keeps its files in the same network; the cloud's metadata stays out of
    reach.
    """
    async with (
        storage() as own,
        storage() as bucket,
        _files(hosts=("127.0.0.1", "169.254.169.254")) as files,
    ):
        bucket.answers["/file"] = OK
        own.redirects("/a", bucket.address + "/file")
        assert await read(files, own.address + "/a", "https://chat.example.org") == b"hello"
        own.redirects("/b", "http://169.254.169.254/")
        with pytest.raises(AttachmentUnavailable):
            await read(files, own.address + "/b", own.address)


async def test_a_circle_ends() -> None:
    """After a few redirects."""
    async with storage() as own, _files() as files:
        own.redirects("/a", "/a")
        with pytest.raises(AttachmentUnavailable):
            await read(files, own.address + "/a", own.address)
        assert len(own.asked) == 5


async def test_too_large_is_refused_or_broken_off() -> None:
    """By its stated length before anything is read; without one as soon as it is too much."""
    async with storage() as own, _files(most_bytes=10) as files:
        own.answers["/stated"] = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world"
        own.answers["/silent"] = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 11
        for path in ("/stated", "/silent"):
            with pytest.raises(AttachmentUnavailable):
                await read(files, own.address + path, own.address)


async def test_a_file_that_breaks_off_is_told() -> None:
    """Half a picture is no picture."""
    async with storage() as own, _files() as files:
        own.answers["/a"] = OK.replace(b"Length: 5", b"Length: 50")
        with pytest.raises(AttachmentUnavailable):
            await read(files, own.address + "/a", own.address)


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_what_is_not_there_is_not_found(status: int) -> None:
    """Storage says it in three ways."""
    async with storage() as own, _files() as files:
        own.answers["/a"] = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()
        with pytest.raises(NotFound):
            await read(files, own.address + "/a", own.address)


async def test_nobody_there_is_unavailable() -> None:
    """And no traceback."""
    async with _files() as files:
        with pytest.raises(AttachmentUnavailable):
            await read(files, "http://127.0.0.1:9/a", "http://127.0.0.1:9")


_BLOB = "/rails/active_storage/blobs/redirect/eyJ--1/a%20b.png"


async def test_a_file_of_chatwoot_s_is_asked_of_the_connected_address() -> None:
    """Where its FRONTEND_URL is another one, private or not there at all; the redirect that names
    it again is followed in the same way.
    """
    async with storage() as own, storage() as neighbour, _files() as files:
        own.redirects(_BLOB, f"{neighbour.address}/rails/active_storage/disk/x/a.png?d=1")
        own.answers["/rails/active_storage/disk/x/a.png?d=1"] = OK
        for host in (neighbour.address, "http://chat.invalid", "http://169.254.169.254"):
            assert await read(files, host + _BLOB, own.address) == b"hello"
        assert neighbour.asked == []


async def test_no_other_path_is_asked_of_the_connected_address() -> None:
    """A payload that names a private host meets a refusal, and one that names Chatwoot's own paths
    on another host meets none of its pages.
    """
    async with storage() as own, storage() as neighbour, _files() as files:
        own.answers["/secret"] = neighbour.answers["/secret"] = OK
        for path in ("/secret", "/rails/active_storage/../../secret", "/rails/active_storage/"):
            with pytest.raises(AttachmentUnavailable):
                await read(files, neighbour.address + path, own.address)
        assert own.asked == neighbour.asked == []


async def test_what_the_connected_address_does_not_give_is_asked_where_it_is_said_to_be() -> None:
    """A gate may pass on the API alone; the named host is called as far as it may be."""
    async with storage() as own, storage() as other, _files(hosts=("127.0.0.1",)) as files:
        other.answers[_BLOB] = OK
        assert await read(files, other.address + _BLOB, own.address) == b"hello"
    async with storage() as own, storage() as other, _files() as files:
        other.answers[_BLOB] = OK
        with pytest.raises(AttachmentUnavailable):
            await read(files, other.address + _BLOB, own.address)
        assert (own.asked, other.asked) == ([_BLOB], [])


@pytest.mark.parametrize("path", [_BLOB, "/track?/rails/active_storage/", "/x" + _BLOB])
async def test_a_picture_whose_address_the_sender_may_have_written_tells_them_nothing(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a mail anybody can write an address that looks like Chatwoot's: the connected one is
    asked, and else a host that the operator names.
    """
    async with storage() as own, storage() as sender, _files() as files:
        monkeypatch.setattr(files, "_public", files._private)  # as if the sender's were public
        sender.answers[path] = OK
        with pytest.raises((NotFound, AttachmentUnavailable)):
            await files.open(sender.address + path, own.address, None, is_by_sender=True)
        assert sender.asked == []
        own.answers[_BLOB] = OK
        for address in (own.address, sender.address):
            opened = await files.open(address + _BLOB, own.address, None, is_by_sender=True)
            await opened.close()
        assert sender.asked == []


async def test_a_picture_of_a_mail_is_read_from_a_host_that_the_operator_names() -> None:
    """Where a gate before the connected address passes on the API alone."""
    async with storage() as own, storage() as other, _files(hosts=("127.0.0.1",)) as files:
        other.answers[_BLOB] = OK
        opened = await files.open(other.address + _BLOB, own.address, None, is_by_sender=True)
        await opened.close()
        assert other.asked == [_BLOB]


async def test_a_canonical_host_that_sends_back_is_no_circle() -> None:
    """The connected address redirects to the same path at the other one, which may be called."""
    async with storage() as own, storage() as other, _files(hosts=("127.0.0.1",)) as files:
        own.redirects(_BLOB, other.address + _BLOB)
        other.answers[_BLOB] = OK
        assert await read(files, other.address + _BLOB, own.address) == b"hello"
