"""Where calls to Chatwoot may go, on a real socket: judged by the address a name resolves to, at
the moment of connecting.
"""

import asyncio
import socket
from typing import Any

import httpx
import pytest

from server.chatwoot import (
    ChatwootClient,
    ChatwootRefused,
    check_base_url,
    outgoing_client,
)
from server.chatwoot.allowed_addresses import is_private, is_refused
from server.errors import BadRequest
from server.lab.chatwoot_sim import ChatwootSim, serving

pytestmark = pytest.mark.anyio
LIMITS = httpx.Limits(max_connections=2)


def client_of(sim: ChatwootSim, http: httpx.AsyncClient, base_url: str) -> ChatwootClient:
    return ChatwootClient(
        base_url=base_url, account_id=1, access_token=sim.admin.access_token, http=http
    )


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"]
)
async def test_a_private_address_is_refused_however_it_is_written(host: str) -> None:
    """No byte leaves: the simulated Chatwoot that listens there is never asked; the sentence says
    what to do.
    """
    sim = ChatwootSim()
    async with serving(sim) as url, outgoing_client(allows_private=False, limits=LIMITS) as http:
        with pytest.raises(ChatwootRefused, match="CHATWOOT_PRIVATE_HOSTS"):
            await client_of(sim, http, url.replace("127.0.0.1", host)).profile()


async def test_a_private_address_is_reached_where_it_is_allowed() -> None:
    """By number and by name."""
    sim = ChatwootSim()
    async with serving(sim) as url, outgoing_client(allows_private=True, limits=LIMITS) as http:
        for address in (url, url.replace("127.0.0.1", "localhost")):
            assert (await client_of(sim, http, address).profile())["name"] == "Nadia Karim"


async def test_a_name_that_changes_its_mind_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: each look-up is judged, and the connection goes to the address that was
    judged.
    """
    answers = iter(["93.184.216.34", "127.0.0.1"])
    asked: list[str] = []

    async def getaddrinfo(
        host: str, port: int, **_options: Any
    ) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    sim = ChatwootSim()
    async with serving(sim) as url, outgoing_client(allows_private=False, limits=LIMITS) as http:
        loop = asyncio.get_running_loop()
        port = url.rpartition(":")[2]
        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo, raising=False)
        next(answers)  # the first answer was given to whoever added the integration
        with pytest.raises(ChatwootRefused, match="private or local address"):
            await client_of(sim, http, f"http://rebinding.example:{port}").profile()
    assert asked == ["rebinding.example"]


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "127.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
    ],
)
def test_addresses_off_the_public_internet(address: str) -> None:
    """The ranges that Chatwoot 4.14 refuses as well."""
    assert is_private(address)
    assert is_refused(address, allows_private=False)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "224.0.0.1",
        "0.0.0.0",
        "fe80::1%1",
    ],
)
def test_the_machine_s_own_metadata_is_never_reached(address: str) -> None:
    """Also where private addresses are allowed: nobody's Chatwoot is there."""
    assert is_refused(address, allows_private=True)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_public_addresses_are_reached(address: str) -> None:
    """Both kinds."""
    assert not is_private(address)
    assert not is_refused(address, allows_private=False)


@pytest.mark.parametrize(
    "text", ["http://[", "http://", "https://host:99999", "https://h/?x=1", "x" * 600]
)
def test_what_is_no_base_url_is_refused(text: str) -> None:
    """With a sentence, never an error of ours."""
    with pytest.raises(BadRequest):
        check_base_url(text)


@pytest.mark.parametrize("page", ["#x", "api/v1", "app/accounts/1/inbox/2", "app/login?x#y"])
def test_the_address_of_a_page_of_chatwoot_s_is_cut(page: str) -> None:
    """People paste what stands in their browser."""
    if "?" in page:
        with pytest.raises(BadRequest):
            check_base_url(f"https://h/{page}")
    else:
        assert check_base_url(f"https://h/{page}") == "https://h"


def test_a_base_url_loses_its_slash_and_keeps_its_path() -> None:
    """A Chatwoot may live below a path."""
    assert check_base_url(" HTTPS://H.example/Chat/ ") == "https://h.example/Chat"


@pytest.mark.parametrize(
    "address",
    [
        *(
            "168.63.129.16",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "64:ff9b:1:a9fe:a9:fe00::",
            "2002:a9fe:a9fe::1",
        ),
        *(
            "::a9fe:a9fe",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "::ffff:168.63.129.16",
            "ff02::1",
            "::",
        ),
    ],
)
def test_the_metadata_s_other_spellings_are_refused_as_well(address: str) -> None:
    """Through translators and tunnels, and at other clouds; also where private addresses are
    allowed.
    """
    assert is_refused(address, allows_private=True)


@pytest.mark.parametrize(
    "address",
    [
        "64:ff9b::a00:1",
        "64:ff9b:1::808:808",
        "2002:a00:1::",
        "::10.0.0.1",
        "fec0::1",
        "2001:0:a00:1::1",
    ],
)
def test_private_addresses_inside_others_are_private(address: str) -> None:
    """What is embedded is judged; allowed where private ones are."""
    assert is_refused(address, allows_private=False)
    assert not is_refused(address, allows_private=True)


@pytest.mark.parametrize("address", ["64:ff9b::808:808", "2002:808:808::1"])
def test_a_public_address_behind_a_translator_is_reached(address: str) -> None:
    """A machine without IPv4 reaches the whole of it so."""
    assert not is_refused(address, allows_private=False)
