"""`/openapi.json`: every call is in it and nothing else, and the server answers as it says,
whatever it is asked.
"""

import re
from typing import Any

import anyio
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from server.app import create_app
from server.core.state.canned_reply_rules import MAX_CONTENT_CHARACTERS, MAX_SHORTCUT_CHARACTERS
from server.core.wire import openapi
from server.settings import Settings
from tests.integration.integration_admin import admin, one_stack
from tests.kit.company import Company
from tests.kit.eventually import eventually, scaled

# a 502 or 503 that is described is an answer: a random number may be that of what is there, and its
# Chatwoot refuses connections
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
# it ends the sign-in that all the others are tried with
LEFT_OUT = {("delete", "/api/me/sessions")}
LABELS = [
    f"{one.method.upper()} {one.path}"
    for one in openapi.OPERATIONS
    if (one.method, one.path) not in LEFT_OUT
]


def without_names(path: str) -> str:
    return re.sub(r"{[^}]*}", "{}", path)


def operations(company: Company) -> list[Any]:
    results: list[Any] = list(
        schemathesis.openapi.from_dict(openapi.document(company.omni.base_url)).get_all_operations()
    )
    return [result.ok() for result in results]


def test_every_call_is_described_and_nothing_else(tmp_path: Any) -> None:
    """The application's routes under `/api` and the probes, each method."""
    made = Settings(
        database_url=f"sqlite:///{tmp_path / 'x.db'}",
        spool_path=str(tmp_path / "s.db"),
        jwt_secret="x" * 32,
    )
    routes = [route for route in create_app(made).routes if isinstance(route, Route)]
    served = {
        (method, without_names(route.path))
        for route in routes
        for method in (route.methods or ())
        if method != "HEAD"
    }
    wanted = {
        place
        for place in served
        if place[1].startswith("/api/") or place[1] in ("/livez", "/readyz", "/metrics")
    }
    assert {(one.method.upper(), without_names(one.path)) for one in openapi.OPERATIONS} == wanted


def test_a_change_has_no_defaults() -> None:
    """A client that is generated from the description fills defaults in: a name changed would
    demote an administrator.
    """
    document = openapi.document("https://inbox.example.org")
    for path, methods in document["paths"].items():
        if "patch" in methods:
            name = methods["patch"]["requestBody"]["content"]["application/json"]["schema"][
                "$ref"
            ].rpartition("/")[2]
            schema = document["components"]["schemas"][name]
            assert [
                field for field, told in schema["properties"].items() if "default" in told
            ] == [], path
    reply = document["components"]["schemas"]["NewCannedReply"]["properties"]
    assert reply["content"]["maxLength"] == MAX_CONTENT_CHARACTERS
    assert reply["shortcut"]["maxLength"] == MAX_SHORTCUT_CHARACTERS


async def test_it_is_served_to_everybody(company: Company) -> None:
    """Without a sign-in, with this server's address."""
    async with company.omni.client() as http:
        document = (await http.get("/openapi.json")).json()
    assert (document["openapi"], document["servers"]) == ("3.1.0", [{"url": company.omni.base_url}])
    assert "IntegrationView" in document["components"]["schemas"]


@one_stack
# the simulated Chatwoot rolls its dice in another thread meanwhile, and Hypothesis takes that for
# the strategy's doing
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@pytest.mark.parametrize("label", LABELS)
async def test_each_call_answers_as_it_is_described(company: Company, label: str) -> None:
    """Whatever it is asked within its types: no error of the server's, a status and a body that are
    in the description.
    """
    await company.post(company.simple("Hello"))
    await eventually(company.conversations)
    async with admin(company) as http:
        headers = {"Authorization": http.headers["Authorization"]}
    [operation] = [one for one in operations(company) if one.label == label]

    @settings(
        max_examples=6,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def tried(case: Any) -> None:
        answer = case.call(base_url=company.omni.base_url, headers=headers, timeout=scaled(20.0))
        assert answer.status_code != 500, answer.text
        case.validate_response(answer, checks=CHECKS)

    await anyio.to_thread.run_sync(tried)


@one_stack
async def test_the_numbers_of_what_is_there_are_answered_as_described(company: Company) -> None:
    """Random numbers find nothing: the calls that read are made once with numbers that are
    there.
    """
    await company.post(company.simple("Hello"))
    [conversation] = await eventually(company.conversations)
    message = (await company.thread(conversation["id"]))[0]["id"]
    async with admin(company) as http:
        [delivery, *_] = (await http.get("/api/deliveries")).json()
        headers = {"Authorization": http.headers["Authorization"]}
        await http.post("/api/canned-replies", json={"shortcut": "hi", "content": "Hello"})
    numbers = {
        "conversations": conversation["id"],
        "messages": message,
        "deliveries": delivery["id"],
        "integrations": company.integration_id,
    }

    def read_all() -> int:
        count = 0
        for operation in operations(company):
            kind = operation.path.split("/")[2] if operation.path.startswith("/api/") else ""
            names = re.findall(r"{(\w+)}", operation.path)
            if operation.method != "get" or len(names) > 1 or (names and kind not in numbers):
                continue
            case = operation.Case(path_parameters={name: numbers[kind] for name in names})
            answer = case.call(
                base_url=company.omni.base_url, headers=headers, timeout=scaled(20.0)
            )
            assert answer.status_code == 200, f"{operation.label}: {answer.text}"
            case.validate_response(answer, checks=CHECKS)
            count += 1
        return count

    assert await anyio.to_thread.run_sync(read_all) >= 18
