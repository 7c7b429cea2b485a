"""`/asyncapi.json`: valid AsyncAPI 3.0, and true of what is said on real sockets."""

import json
from pathlib import Path

import httpx
import jsonschema_rs
import msgspec
import pytest

from server.core import asyncapi, messages
from tests.conformance.record import record
from tests.kit.omni import Omni

_SCHEMA = Path(__file__).parents[1] / "node" / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0-without-$id.json"


async def test_the_document_is_valid_asyncapi(server: Omni) -> None:
    """By the schema that AsyncAPI itself publishes."""
    if not _SCHEMA.exists():
        pytest.skip("the schema is not installed: cd tests/node && npm ci")
    async with httpx.AsyncClient(base_url=server.base_url, trust_env=False) as http:
        answer = await http.get("/asyncapi.json")
    validator = jsonschema_rs.validator_for(json.loads(_SCHEMA.read_text()))
    assert [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(answer.json())] == []
    assert answer.json()["channels"]["inbox"]["address"] == "/ws"


def test_every_type_of_message_stands_in_an_operation() -> None:
    """Each in the direction in which it is said."""
    document = asyncapi.document("https://inbox.example.org")
    said = {name: len(operation["messages"]) for name, operation in document["operations"].items()}
    assert said == {"fromClient": len(asyncapi.CLIENT_MESSAGES), "toClient": len(messages.SERVER_MESSAGES)}
    assert document["servers"]["this"] == {"host": "inbox.example.org", "protocol": "wss"}


async def test_what_a_real_server_says_has_exactly_the_fields_of_its_type(tmp_path: Path) -> None:
    """None missing, none that the description does not know."""
    frames = await record(tmp_path)
    for said in [frames["welcome"], frames["live"], frames["ping"], *frames["events"]]:
        typed = msgspec.convert(said, messages.ServerMessage)
        assert msgspec.to_builtins(typed) == said
