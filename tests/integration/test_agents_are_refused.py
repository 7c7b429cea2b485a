"""Every call of the application, by somebody who is no administrator: what is not said here to be
an agent's is refused.
"""

import re
from typing import Any

from starlette.routing import Route

from server.app import create_app
from server.core.wire import openapi
from server.settings import Settings
from tests.integration.integration_admin import admin
from tests.integration.test_hostile import (
    SECRET_WORD,
    belongings,
    filled,
    loot,
)
from tests.kit.company import Company

__all__ = ["loot"]  # a fixture

# A call that is not in this list is an administrator's, so that a new one is refused or said to be
# everybody's.
EVERYBODYS = {
    "GET /livez",
    "GET /readyz",
    "GET /metrics",
    "POST /api/webhooks/chatwoot",
    "POST /api/sessions",
    "DELETE /api/sessions",
    "GET /api/me",
    "PATCH /api/me",
    "PUT /api/me/password",
    "GET /api/me/sessions",
    "DELETE /api/me/sessions",
    "DELETE /api/me/sessions/{id}",
    "POST /api/me/sessions/end-others",
    "GET /api/me/second-factor",
    "POST /api/me/second-factor",
    "PUT /api/me/second-factor",
    "DELETE /api/me/second-factor",
    "GET /api/me/own-tokens",
    "PUT /api/me/own-tokens/{id}",
    "POST /api/me/own-tokens/{id}/check",
    "DELETE /api/me/own-tokens/{id}",
    "GET /api/agents",
    "GET /api/events",
    "POST /api/chatwoot/sync",
    "GET /api/canned-replies",
    "GET /api/conversations",
    "GET /api/conversations/unread",
    "GET /api/conversations/{id}",
    "PATCH /api/conversations/{id}",
    "GET /api/conversations/{id}/messages",
    "POST /api/conversations/{id}/reply",
    "POST /api/conversations/{id}/read",
    "POST /api/conversations/{id}/messages/{messageId}/retry",
    "POST /api/conversations/{id}/messages/{messageId}/discard",
    "GET /api/attachments/{messageId}/{index}",
    "GET /api/attachments/{messageId}/{index}/thumb",
}
BODY: dict[str, Any] = {
    "content": "x",
    "shortcut": "x",
    "email": "somebody@example.org",
    "role": "admin",
    "isActive": False,
    "requiresSecondFactor": True,
    "accountId": 1,
    "inboxId": 1,
    "baseUrl": "http://127.0.0.1:9",
    "accessToken": "x",
}


def _names_left_out(path: str) -> str:
    return re.sub(r"{[^}]*}", "{}", path)


def _administrators(directory: Any) -> list[tuple[str, str]]:
    """All calls of the API and of the pages that no agent may make."""
    made = Settings(
        database_url=f"sqlite:///{directory / 'x.db'}",
        spool_path=str(directory / "s.db"),
        jwt_secret="x" * 32,
    )
    routes = [one for one in create_app(made).routes if isinstance(one, Route)]
    found = [
        (method, one.path)
        for one in routes
        for method in sorted(one.methods or ())
        if method != "HEAD"
    ]
    everybodys = {_names_left_out(one) for one in EVERYBODYS}
    return [
        (method, path)
        for method, path in found
        if path.startswith(("/api/", "/admin"))
        and _names_left_out(f"{method} {path}") not in everybodys
    ]


def test_the_description_says_who_may(tmp_path: Any) -> None:
    """The same calls as are refused, and none of the list is gone."""
    described = {f"{one.method.upper()} {one.path}": one.text for one in openapi.OPERATIONS}
    own = {
        _names_left_out(f"{method} {path}")
        for method, path in _administrators(tmp_path)
        if path.startswith("/api/")
    }
    assert {
        _names_left_out(one) for one, text in described.items() if "(administrators)" in text
    } == own
    assert {_names_left_out(one) for one in EVERYBODYS} <= {
        _names_left_out(one) for one in described
    }


async def test_an_agent_is_refused_every_call_of_an_administrator(
    shop: Company, loot: dict[str, int], tmp_path: Any
) -> None:
    """With numbers that are there, in the agent's own company: 403, nothing told, nothing
    changed.
    """
    before, calls = await belongings(shop), _administrators(tmp_path)
    assert len(calls) > 40
    async with shop.omni.client(shop.token(role="agent")) as agent:
        for method, path in calls:
            target = filled(path, loot)
            if path.startswith("/admin"):
                answer = await agent.request(
                    method,
                    target,
                    data={k: str(v) for k, v in BODY.items()},
                    headers={"Origin": shop.omni.base_url},
                )
            else:
                answer = await agent.request(method, target, json=BODY)
            assert answer.status_code == 403, (
                f"{method} {target}: {answer.status_code} {answer.text[:300]}"
            )
            assert SECRET_WORD not in answer.text
    assert await belongings(shop) == before


async def test_a_neighbour_s_administrator_gets_nothing_by_an_administrator_s_call(
    shop: Company, company: Company, loot: dict[str, int], tmp_path: Any
) -> None:
    """The rights are those of one company: with another one's numbers each call finds nothing."""
    before = await belongings(shop)
    async with admin(company) as neighbour:
        for method, path in _administrators(tmp_path):
            if "{" not in path:
                continue
            target = filled(path, loot)
            if path.startswith("/admin"):
                answer = await neighbour.request(
                    method,
                    target,
                    data={k: str(v) for k, v in BODY.items()},
                    headers={"Origin": shop.omni.base_url},
                )
            else:
                answer = await neighbour.request(method, target, json=BODY)
            assert answer.status_code in (400, 404), (
                f"{method} {target}: {answer.status_code} {answer.text[:300]}"
            )
            assert SECRET_WORD not in answer.text
    assert await belongings(shop) == before
