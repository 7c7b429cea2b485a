"""Keys and roles that are taken away, on a running server: tokens it has seen and sockets that are
open end with them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.socket_client import AgentSocket

_LIMIT = 30.0


def _key(number: str) -> tuple[Any, dict[str, Any]]:
    key = ec.generate_private_key(ec.SECP256R1())
    public: dict[str, Any] = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    return key, public | {"kid": number}


OLD, OLD_JWK = _key("old")
NEW, NEW_JWK = _key("new")


def _write(path: Path, *keys: dict[str, Any]) -> None:
    path.write_text(json.dumps({"keys": keys}))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Omni]:
    """Tokens of the CRM are signed with the keys of a file."""
    keys = tmp_path / "keys.json"
    _write(keys, OLD_JWK)
    omni = Omni(
        tmp_path,
        database_url=f"sqlite:///{tmp_path / 'omni.db'}",
        env={"JWT_JWKS_PATH": str(keys), "ACCESS_CHECK_SECONDS": "0.5"},
    )
    omni.prepare()
    try:
        omni.start()
        yield omni
    finally:
        omni.kill9()


def _token(key: Any, number: str) -> str:
    claims = {"sub": "17", "companyId": 1, "exp": 9_999_999_999, "role": "admin"}
    return jwt.encode(claims, key, "ES256", headers={"kid": number})


async def test_a_withdrawn_key_ends_what_it_has_signed(server: Omni) -> None:
    """Also a token that was seen before, and its socket: 401 and 4205, sign in again. What the new
    key has signed goes on.
    """
    old = _token(OLD, "old")
    keys = Path(server.env["JWT_JWKS_PATH"])
    async with server.client(old) as http, AgentSocket(server.ws_url, token=old) as socket:
        assert (await http.get("/api/people")).status_code == 200
        _write(keys, OLD_JWK, NEW_JWK)
        new = _token(NEW, "new")

        async def is_taken() -> bool:
            return (
                await http.get("/api/me", headers={"Authorization": f"Bearer {new}"})
            ).status_code == 200

        await eventually(is_taken, limit=_LIMIT)
        async with AgentSocket(server.ws_url, token=new) as other:
            _write(keys, NEW_JWK)
            assert await socket.wait_closed(limit=_LIMIT) == 4205
            assert (await http.get("/api/people")).status_code == 401
            assert other.is_open
            assert await is_taken()


async def test_a_role_that_was_taken_away_here_is_not_brought_back_by_a_token(server: Omni) -> None:
    """The token of the CRM says administrator for as long as it lives."""
    boss = server.add_agent(role="admin", email="boss@example.org")
    async with server.client(_token(OLD, "old")) as http:
        number = (await http.get("/api/me")).json()["id"]
        assert (await http.get("/api/people")).status_code == 200
        done = server.cli("agent", "role", "--agent-id", str(number), "--role", "agent")
        assert done.returncode == 0, done.stderr

        async def is_refused() -> bool:
            return (await http.get("/api/people")).status_code == 403

        await eventually(is_refused, limit=_LIMIT)
        assert (await http.get("/api/me")).json()["role"] == "agent"
    assert boss["id"] != number
