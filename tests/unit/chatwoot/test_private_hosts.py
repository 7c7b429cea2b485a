"""Hosts in private networks that the operator named, the words of those that were not, and proxies:
on real sockets.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from server.chatwoot import (
    ChatwootClient,
    ChatwootError,
    ChatwootRefused,
    check_destination,
    outgoing_client,
)
from server.chatwoot.files import Files
from server.errors import AttachmentUnavailable, BadRequest, ConfigurationError
from server.settings import Settings

LIMITS = httpx.Limits(max_connections=2)
WORDS = "db-internal-7: role vault-admin"


@dataclass
class Service:
    """A server on this machine that answers every request with one status and its own words."""

    status: int = 401
    address: str = ""
    asked: list[str] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.split("\r\n", 1)[0])
        body = json.dumps({"error": WORDS})
        lines = f"HTTP/1.1 {self.status} No\r\nLocation: http://{self.status}.vault.internal/\r\n"
        writer.write(
            f"{lines}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
        )
        await writer.drain()
        writer.close()

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


@asynccontextmanager
async def service(status: int = 401) -> AsyncIterator[Service]:
    place = Service(status)
    server = await asyncio.start_server(place.answer, "127.0.0.1", 0)
    place.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield place


async def ask(http: httpx.AsyncClient, base_url: str) -> str:
    """What an administrator reads of a refused call."""
    with pytest.raises(ChatwootError) as refused:
        await ChatwootClient(
            base_url=base_url, account_id=1, access_token="t", http=http
        ).update_last_seen(1)
    return refused.value.message


async def test_a_named_host_is_called_and_no_other_port_of_it() -> None:
    """By the spelling of the operator's list; a neighbour on the same machine gets no byte."""
    async with service() as chatwoot, service() as neighbour:
        hosts = frozenset({f"127.0.0.1:{chatwoot.port}"})
        async with outgoing_client(
            allows_private=False, limits=LIMITS, private_hosts=hosts
        ) as http:
            assert await ask(http, chatwoot.address) == WORDS
            with pytest.raises(ChatwootRefused, match="private or local address"):
                await ChatwootClient(
                    base_url=neighbour.address, account_id=1, access_token="t", http=http
                ).profile()
        assert (len(chatwoot.asked), neighbour.asked) == (1, [])
        await check_destination(chatwoot.address, allows_private=False, private_hosts=hosts)
        with pytest.raises(BadRequest):
            await check_destination(neighbour.address, allows_private=False, private_hosts=hosts)


@pytest.mark.parametrize("host", ["169.254.169.254", "168.63.129.16", "[fd00:ec2::254]"])
async def test_metadata_is_refused_though_it_is_named(host: str) -> None:
    """Nobody's Chatwoot is there, whatever the list says; nothing is waited for."""
    async with outgoing_client(allows_private=False, limits=LIMITS, private_hosts={host}) as http:
        with pytest.raises(ChatwootRefused, match="private or local address"):
            await ChatwootClient(
                base_url=f"http://{host}", account_id=1, access_token="t", http=http
            ).profile()
    with pytest.raises(BadRequest):
        await check_destination(f"http://{host}", allows_private=False, private_hosts={host})


@pytest.mark.parametrize("status", [302, 401, 404, 422, 500])
async def test_a_private_service_that_nobody_named_is_not_quoted(status: int) -> None:
    """Where every private address is allowed: the class of its status alone, no word, no exact
    status, no redirect.
    """
    async with (
        service(status) as private,
        outgoing_client(allows_private=True, limits=LIMITS) as http,
    ):
        told = await ask(http, private.address)
        assert f"{status // 100}xx" in told
        assert not any(word in told for word in (str(status), "vault", "db-internal"))
        async with outgoing_client(
            allows_private=False, limits=LIMITS, private_hosts={"127.0.0.1"}
        ) as named:
            assert await ask(named, private.address) != told


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would connect in our place to what we refuse, and read the access token."""
    async with service() as chatwoot, service() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.address)
        async with outgoing_client(
            allows_private=False, limits=LIMITS, private_hosts={"127.0.0.1"}
        ) as http:
            await ask(http, chatwoot.address)
        assert (len(chatwoot.asked), proxy.asked) == (1, [])


async def test_a_named_proxy_is_asked_for_public_addresses_alone() -> None:
    """A private host of the list is called directly; what leads to another private address, or to
    metadata, not at all.
    """
    async with service() as chatwoot, service() as proxy:
        hosts = {f"127.0.0.1:{chatwoot.port}"}
        async with outgoing_client(
            allows_private=False, limits=LIMITS, private_hosts=hosts, proxy=proxy.address
        ) as http:
            assert await ask(http, "http://93.184.216.34") == WORDS
            assert (
                await ask(http, "http://name-that-the-proxy-knows.invalid")
                == "Chatwoot answered 4xx"
            )
            assert await ask(http, chatwoot.address) == WORDS
            for url in (
                "http://127.0.0.1:9",
                "http://localhost:9",
                "http://169.254.169.254",
                "http://10.0.0.1",
            ):
                assert "private or local address" in await ask(http, url)
        assert [line.split()[1].split("/api/")[0] for line in proxy.asked] == [
            "http://93.184.216.34",
            "http://name-that-the-proxy-knows.invalid",
        ]
        assert len(chatwoot.asked) == 1


async def test_what_a_proxy_brings_from_a_private_address_is_not_quoted() -> None:
    """Where every private address is allowed; the line itself ends at the proxy, so the address
    that was asked for decides.
    """
    async with service() as proxy:
        async with outgoing_client(allows_private=True, limits=LIMITS, proxy=proxy.address) as http:
            assert await ask(http, "http://10.0.0.1") == "Chatwoot answered 4xx"
            assert await ask(http, "http://93.184.216.34") == WORDS
        assert len(proxy.asked) == 2


async def test_files_of_a_named_chatwoot_are_fetched_and_no_neighbour_s() -> None:
    """The integration's own host, where the list names it; never another host of the list."""
    async with service(200) as chatwoot, service(200) as neighbour:
        hosts = frozenset({f"127.0.0.1:{chatwoot.port}", f"127.0.0.1:{neighbour.port}"})
        files = Files(
            allows_private=False, private_hosts=(), most_bytes=1_000, chatwoot_hosts=hosts
        )
        async with files:
            opened = await files.open(f"{chatwoot.address}/a", chatwoot.address, None)
            await opened.close()
            with pytest.raises(AttachmentUnavailable):
                await files.open(f"{neighbour.address}/a", chatwoot.address, None)
        assert (len(chatwoot.asked), neighbour.asked) == (1, [])


def test_hosts_are_read_from_the_setting() -> None:
    """Spaces and capitals do not matter; an IPv6 address gets its brackets."""
    settings = Settings.from_environment(
        {"CHATWOOT_PRIVATE_HOSTS": " Chat.Internal:3000, fd00::1,,[fd00::2]:80 "}
    )
    assert settings.private_hosts == {"chat.internal:3000", "[fd00::1]", "[fd00::2]:80"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CHATWOOT_PRIVATE_HOSTS", "http://chat.internal"),
        ("CHATWOOT_PRIVATE_HOSTS", "10.0.0.0/8"),
        ("CHATWOOT_PRIVATE_HOSTS", "*.internal"),
        ("OUTGOING_PROXY", "proxy.internal:3128"),
        ("OUTGOING_PROXY", "socks5://proxy:1080"),
    ],
)
def test_what_is_no_host_and_no_proxy_stops_the_start(name: str, value: str) -> None:
    """Rather than being ignored silently."""
    with pytest.raises(ConfigurationError, match=name):
        Settings.from_environment({name: value})
