"""How Chatwoot's socket is reached: over TLS, by a proxy, and what is said where it is not."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from server.chatwoot.cable import (
    Cable,
    CableFailed,
    CableNetwork,
    CableRefused,
)
from server.lab.chatwoot_sim import ChatwootSim, serving
from server.lab.chatwoot_sim.sim_cable import pubsub_token
from tests.kit.doors import Authority, connect_proxy, tls_before

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sim() -> AsyncIterator[ChatwootSim]:
    sim = ChatwootSim()
    async with serving(sim):
        yield sim


def _network(proxy: str = "", private_hosts: tuple[str, ...] = ()) -> CableNetwork:
    return CableNetwork(
        allows_private=True, private_hosts=private_hosts, proxy=proxy, most_bytes=100_000
    )


async def _hears(network: CableNetwork, sim: ChatwootSim, base_url: str) -> None:
    """Raises CableFailed."""
    admin = sim.admin
    async with network.listening(base_url, sim.account.id, admin.id, pubsub_token(admin)) as cable:
        sim.customer_says("Lea", "Is anybody there?")
        async with asyncio.timeout(30):
            assert await _next_text(cable) == "Is anybody there?"


async def _next_text(cable: Cable) -> str:
    async for frame in cable.frames():
        message = json.loads(frame).get("message")
        if isinstance(message, dict) and message["event"] == "message.created":
            return str(message["data"]["content"])
    return ""


async def test_it_is_heard_over_tls(
    sim: ChatwootSim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its authority is trusted, and for the host that the certificate names."""
    authority, port = Authority(tmp_path), urlsplit(sim.base_url).port or 0
    async with tls_before(port, authority) as secure:
        with pytest.raises(
            CableFailed,
            match="its certificate is not accepted: unable to get local issuer certificate",
        ):
            await _hears(_network(), sim, f"https://127.0.0.1:{secure}")
        # the authorities are those of httpx, as for calls
        monkeypatch.setattr(
            httpx, "create_ssl_context", lambda *, trust_env: authority.client_side()
        )
        await _hears(_network(), sim, f"https://127.0.0.1:{secure}")
        with pytest.raises(CableFailed, match="its certificate is not accepted: Hostname mismatch"):
            await _hears(_network(), sim, f"https://localhost:{secure}")
        with pytest.raises(CableFailed, match="it does not speak TLS at this port"):
            await _hears(_network(), sim, f"https://127.0.0.1:{port}")


async def test_it_is_heard_by_a_proxy(
    sim: ChatwootSim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With TLS inside of it as well; what lies in our own network is called without."""
    authority, port = Authority(tmp_path), urlsplit(sim.base_url).port or 0
    async with connect_proxy() as (proxy, asked), tls_before(port, authority) as secure:
        await _hears(_network(proxy), sim, sim.base_url)
        assert asked == [f"CONNECT 127.0.0.1:{port}"]
        monkeypatch.setattr(
            httpx, "create_ssl_context", lambda *, trust_env: authority.client_side()
        )
        await _hears(_network(proxy), sim, f"https://127.0.0.1:{secure}")
        assert asked[1:] == [f"CONNECT 127.0.0.1:{secure}"]
        await _hears(_network(proxy, ("127.0.0.1",)), sim, sim.base_url)
        assert len(asked) == 2


async def test_a_proxy_that_is_away_is_said(sim: ChatwootSim) -> None:
    with pytest.raises(CableFailed, match="nothing listens at this port of its host"):
        await _hears(_network("http://127.0.0.1:9"), sim, sim.base_url)


async def test_silence_is_a_refusal(sim: ChatwootSim) -> None:
    """Pings go on."""
    sim.switches.set(refuses_sockets=True, ping_seconds=0.02)
    network = _network()
    network.confirm_seconds = 0.3
    with pytest.raises(CableRefused, match="which is how it refuses one"):
        await _hears(network, sim, sim.base_url)
