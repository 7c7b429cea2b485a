"""`/asyncapi.json`: valid AsyncAPI 3.0, and true of what is said on real sockets."""

import asyncio
import json
import os
import signal
from pathlib import Path

import httpx
import jsonschema_rs
import msgspec
import pytest
from websockets.asyncio.client import connect

from server.core.wire import asyncapi, socket_schema
from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.omni import Omni
from tests.kit.socket_client import AgentSocket

_SCHEMA = (
    Path(__file__).parents[1]
    / "node"
    / "node_modules"
    / "@asyncapi"
    / "specs"
    / "schemas"
    / "3.0.0-without-$id.json"
)


async def test_the_document_is_valid_asyncapi(server: Omni) -> None:
    """By the schema that AsyncAPI itself publishes."""
    if not _SCHEMA.exists():
        pytest.skip("the schema is not installed: cd tests/node && npm ci")
    async with httpx.AsyncClient(base_url=server.base_url, trust_env=False) as http:
        answer = await http.get("/asyncapi.json")
    validator = jsonschema_rs.validator_for(json.loads(_SCHEMA.read_text()))
    assert [
        f"{error.instance_path}: {error.message}" for error in validator.iter_errors(answer.json())
    ] == []
    assert answer.json()["channels"]["inbox"]["address"] == "/ws"


def test_every_type_of_message_stands_in_an_operation() -> None:
    """Each in the direction in which it is said."""
    document = asyncapi.document("https://inbox.example.org")
    said = {name: len(operation["messages"]) for name, operation in document["operations"].items()}
    assert said == {
        "fromClient": len(asyncapi.CLIENT_MESSAGES),
        "toClient": len(socket_schema.SERVER_MESSAGES),
    }
    assert document["servers"]["this"] == {"host": "inbox.example.org", "protocol": "wss"}


async def test_what_a_real_server_says_is_what_the_document_says(tmp_path: Path) -> None:
    """Every type of its messages, said by a real server in a real situation: no field missing, none
    that the description does not know.
    """
    said = await _said(tmp_path)
    described = asyncapi.document("https://inbox.example.org")
    types = {kind.__struct_config__.tag: kind.__name__ for kind in socket_schema.SERVER_MESSAGES}
    assert set(said) == set(types)
    for name, frames in said.items():
        schema = {
            "$ref": f"#/components/schemas/{types[str(name)]}",
            "components": described["components"],
        }
        validator = jsonschema_rs.validator_for(schema)
        for frame in frames:
            assert [
                f"{error.instance_path}: {error.message}" for error in validator.iter_errors(frame)
            ] == [], frame
            assert msgspec.to_builtins(msgspec.convert(frame, socket_schema.ServerMessage)) == frame


async def _said(directory: Path) -> dict[str, list[Json]]:
    """By type: all frames that two agents and a stranger are sent in one afternoon."""
    server = Omni(
        directory,
        database_url=f"sqlite:///{directory / 'omni.db'}",
        env={"PING_SECONDS": "1", "DRAIN_SECONDS": "60"},
    )
    await asyncio.to_thread(server.prepare)
    await asyncio.to_thread(server.start)
    try:
        async with (
            Company(server) as company,
            company.socket("asha") as asha,
            company.socket("tomas") as tomas,
        ):
            before = tomas.cursor
            await _work(company, asha, tomas)
            synced = await _synced(company)
            async with company.socket("asha", cursor=before) as again:
                await again.wait_for_frame("live")
            refused = await _refused(server, company)
            await asyncio.to_thread(
                server.cli, "stream", "new-epoch", "--company-id", str(company.id)
            )
            await asha.wait_for_frame("reset")
            os.kill(server.process.pid, signal.SIGTERM)
            await asha.wait_for_frame("drain")
    finally:
        await asyncio.to_thread(server.kill9)
    found: dict[str, list[Json]] = {}
    for frame in (*asha.frames, *tomas.frames, *again.frames, *refused, *synced):
        found.setdefault(frame["type"], []).append(frame)
    return found


async def _work(company: Company, asha: AgentSocket, tomas: AgentSocket) -> None:
    """A customer types and writes, the agents look, type and read, one renews the sign-in; and a
    ping comes by.
    """
    await company.post(company.message(1))
    here = (await company.conversation_with(1))["id"]
    await company.post(
        company.sample("conversation_typing_on.contact", {"conversation": {"id": 481}})
    )
    await asha.wait_for_frame("typing")
    await tomas.send("viewing", conversationId=here)
    await tomas.send("typing", conversationId=here, on=True)
    await asha.wait_until(
        lambda: any(
            one["typing"] for frame in asha.frames_of("presence") for one in frame["agents"]
        )
    )
    whole = await company.conversation_with(1)
    answer = await company.http.post(
        f"/api/conversations/{here}/read", json={"messageId": whole["messages"][0]["id"]}
    )
    assert answer.status_code == 200
    await asha.wait_for(lambda event: event.kind == "conversation.read")
    await asha.send("auth", token=company.token("asha"))
    await asha.wait_for_frame("auth")
    await asha.wait_for_frame("ping", limit=10)


async def _synced(company: Company) -> list[Json]:
    """What an administrator is told of a sync whose Chatwoot refuses connections."""
    token = company.token("boss", role="admin")
    async with (
        AgentSocket(company.omni.ws_url, token=token) as boss,
        company.omni.client(token) as http,
    ):
        await boss.wait_for_frame("presence")
        assert (
            await http.post(f"/api/integrations/{company.integration_id}/sync")
        ).status_code == 202
        await boss.wait_until(
            lambda: any(frame["state"] == "failed" for frame in boss.frames_of("sync")), limit=30
        )
        return boss.frames


async def _refused(server: Omni, company: Company) -> list[Json]:
    """Before the welcome, and afterwards."""
    async with company.socket("eve") as eve:
        await eve.send("auth", token="none of ours")
        assert await eve.wait_closed() == 4205
    async with connect(server.ws_url, proxy=None) as stranger:
        await stranger.send(json.dumps({"type": "hello", "token": "none of ours", "cursor": None}))
        return [*eve.frames, json.loads(await stranger.recv())]
