"""The REST calls as OpenAPI 3.1, made from the typed messages."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from server.core.identifiers import MAX_SAFE_INTEGER
from server.core.state.entities import Json
from server.core.wire import admin_schema as a
from server.core.wire import rest_schema as m
from server.core.wire.socket_schema import MessageView

_SCHEMAS = "#/components/schemas/{name}"
_PROBLEM = "application/problem+json"
_OPEN = ("/api/webhooks/chatwoot", "/livez", "/readyz", "/metrics")


class Operation(NamedTuple):
    """`answer` None: no body. `kind` other than JSON: its media type. `query`: name -> schema."""

    method: str
    path: str
    text: str
    status: int = 200
    answer: Any = None
    body: Any = None
    query: dict[str, Json] | None = None
    kind: str = "application/json"


_NUMBER: Json = {"type": "integer", "minimum": 1, "maximum": 10_000}
_ID: Json = {"type": "integer", "minimum": 1, "maximum": MAX_SAFE_INTEGER}
_STRING: Json = {"type": "string", "maxLength": 200}
_LIST = {
    "status": {"enum": ["Open", "Closed"]},
    "platform": {"enum": ["facebook", "chatwoot"]},
    "unsent": {"enum": ["true", "false"]},
    "q": _STRING,
    "limit": _NUMBER,
}
_ONE = "/api/conversations/{id}"
_FACTOR = "/api/me/second-factor"
_OWN_TOKENS = "/api/me/own-tokens"
_INTEGRATION = "/api/integrations/{id}"

OPERATIONS = (
    Operation(
        "get",
        "/api/conversations",
        "Conversations, newest first",
        answer=list[m.OwnConversation],
        query=_LIST,
    ),
    Operation("get", "/api/conversations/unread", "How much is unread", answer=m.Unread),
    Operation("get", _ONE, "One conversation", answer=m.OwnConversation),
    Operation("patch", _ONE, "Open or close it", answer=m.OwnConversation, body=m.StatusChange),
    Operation(
        "get",
        _ONE + "/messages",
        "It with its messages",
        answer=m.Thread,
        query={"limit": _NUMBER, "before": _ID},
    ),
    Operation("post", _ONE + "/reply", "Answer the customer", 201, MessageView, m.NewReply),
    Operation(
        "post",
        _ONE + "/read",
        "The agent has read up to a message",
        answer=m.OwnConversation,
        body=m.ReadMark,
    ),
    Operation(
        "post",
        _ONE + "/messages/{messageId}/retry",
        "Send a failed reply again",
        answer=MessageView,
    ),
    Operation(
        "post",
        _ONE + "/messages/{messageId}/discard",
        "Send a failed reply no more",
        answer=MessageView,
    ),
    Operation(
        "post",
        _ONE + "/erase-contact",
        "Erase its contact for good (administrators)",
        answer=a.ErasedView,
    ),
    Operation(
        "post",
        "/api/chatwoot/sync",
        "Fetch what Chatwoot has, and wait for it",
        answer=m.SyncAnswer,
        body=m.SyncWish,
    ),
    Operation(
        "get",
        "/api/events",
        "Events after a cursor",
        answer=m.EventsAnswer,
        query={"cursor": _STRING, "limit": _NUMBER},
    ),
    Operation(
        "post", "/api/sessions", "Sign in with a password; sets a cookie", 201, m.Me, m.SignIn
    ),
    Operation("delete", "/api/sessions", "Sign out", 204),
    Operation("get", "/api/me", "Who am I", answer=m.Me),
    Operation("patch", "/api/me", "Change preferences", answer=m.Me, body=m.MeChange),
    Operation(
        "put",
        "/api/me/password",
        "Change the password; every other sign-in ends",
        204,
        body=m.PasswordChange,
    ),
    Operation("delete", "/api/me/sessions", "End every sign-in", 204),
    Operation("get", "/api/me/sessions", "One's own sign-ins", answer=list[m.SessionView]),
    Operation("delete", "/api/me/sessions/{id}", "End one of them", 204),
    Operation(
        "post", "/api/me/sessions/end-others", "End all but this one", answer=m.EndedSessions
    ),
    Operation("get", _FACTOR, "Whether one has a second factor", answer=m.SecondFactorView),
    Operation("post", _FACTOR, "Begin to set one up", 201, m.NewSecondFactor, m.PasswordAgain),
    Operation("put", _FACTOR, "The first code ends it", answer=m.RecoveryCodes, body=m.Code),
    Operation("delete", _FACTOR, "Turn it off", 204, body=m.PasswordAgain),
    Operation(
        "get",
        _OWN_TOKENS,
        "Under which name one replies, by integration",
        answer=list[m.OwnTokenView],
    ),
    Operation(
        "put",
        _OWN_TOKENS + "/{id}",
        "Connect one's own access token of Chatwoot: {id} is the integration's",
        answer=list[m.OwnTokenView],
        body=m.NewOwnToken,
    ),
    Operation(
        "post",
        _OWN_TOKENS + "/{id}/check",
        "Ask Chatwoot anew whose it is",
        answer=list[m.OwnTokenView],
    ),
    Operation("delete", _OWN_TOKENS + "/{id}", "Remove it", 204),
    Operation(
        "get",
        "/api/people/{id}/own-tokens",
        "Whose tokens an agent has connected (administrators)",
        answer=list[m.OwnTokenView],
    ),
    Operation(
        "delete", "/api/people/{id}/own-tokens", "Remove an agent's tokens (administrators)", 204
    ),
    Operation("get", "/api/agents", "Colleagues", answer=list[m.Colleague]),
    Operation("get", "/api/attachments/{messageId}/{index}", "A file of a message", kind="*/*"),
    Operation(
        "get", "/api/attachments/{messageId}/{index}/thumb", "A picture's small form", kind="*/*"
    ),
    Operation(
        "get",
        "/api/canned-replies",
        "Texts answered again and again",
        answer=list[m.CannedReplyView],
    ),
    Operation(
        "post",
        "/api/canned-replies",
        "Add one (administrators)",
        201,
        m.CannedReplyView,
        m.NewCannedReply,
    ),
    Operation(
        "put",
        "/api/canned-replies/{id}",
        "Change one (administrators)",
        answer=m.CannedReplyView,
        body=m.NewCannedReply,
    ),
    Operation("delete", "/api/canned-replies/{id}", "Delete one (administrators)", 204),
    Operation(
        "get",
        "/api/integrations",
        "Chatwoot inboxes (administrators)",
        answer=list[a.IntegrationView],
    ),
    Operation(
        "post",
        "/api/integrations",
        "Add one (administrators)",
        201,
        a.IntegrationView,
        a.NewIntegrationBody,
    ),
    Operation(
        "delete",
        "/api/integrations/{id}",
        "Delete one; its conversations stay to be read (administrators)",
        204,
    ),
    Operation(
        "patch",
        _INTEGRATION,
        "Change one (administrators)",
        answer=a.IntegrationView,
        body=a.IntegrationChange,
    ),
    Operation(
        "post",
        _INTEGRATION + "/check",
        "Look whether it works (administrators)",
        answer=a.CheckAnswer,
    ),
    Operation(
        "post",
        _INTEGRATION + "/register",
        "Register its webhook (administrators)",
        answer=a.IntegrationView,
    ),
    Operation(
        "post",
        _INTEGRATION + "/rotate",
        "Renew its webhook secret (administrators)",
        answer=a.IntegrationView,
    ),
    Operation(
        "get",
        _INTEGRATION + "/sync",
        "How far its sync is (administrators)",
        answer=a.SyncRunView | None,
    ),
    Operation(
        "post",
        _INTEGRATION + "/sync",
        "Begin a sync, or go on (administrators)",
        202,
        a.SyncRunView,
    ),
    Operation(
        "delete", _INTEGRATION + "/sync", "Stop the sync (administrators)", 202, a.SyncRunView
    ),
    Operation(
        "get", "/api/people", "Agents with their access (administrators)", answer=list[a.Person]
    ),
    Operation(
        "patch",
        "/api/people/{id}",
        "Change role or access (administrators)",
        204,
        body=a.PersonChange,
    ),
    Operation(
        "delete", "/api/people/{id}/sessions", "End an agent's sign-ins (administrators)", 204
    ),
    Operation(
        "get",
        "/api/invitations",
        "Invitations that can still be used (administrators)",
        answer=list[a.OpenInvitation],
    ),
    Operation("delete", "/api/invitations/{id}", "End an invitation (administrators)", 204),
    Operation(
        "post",
        "/api/invitations",
        "A link that makes an agent (administrators)",
        201,
        a.InvitationView,
        a.NewInvitation,
    ),
    Operation(
        "get",
        "/api/deliveries",
        "Webhook deliveries (administrators)",
        answer=list[a.DeliveryView],
        query={
            "state": {"enum": ["received", "done", "ignored", "dead"]},
            "hours": _NUMBER,
            "integrationId": _ID,
            "before": _ID,
            "limit": _NUMBER,
        },
    ),
    Operation(
        "get", "/api/deliveries/{id}", "One with its body (administrators)", answer=a.WholeDelivery
    ),
    Operation("post", "/api/deliveries/{id}/retry", "Put it back in line (administrators)", 204),
    Operation(
        "get", "/api/messages/{id}/trace", "The way of a message (administrators)", answer=a.Trace
    ),
    Operation("get", "/api/status", "How it goes (administrators)", answer=a.StatusView),
    Operation(
        "delete", "/api/people/{id}/second-factor", "Take a lost one away (administrators)", 204
    ),
    Operation("get", "/api/policy", "What is asked of agents (administrators)", answer=a.Policy),
    Operation("put", "/api/policy", "Ask it (administrators)", answer=a.Policy, body=a.Policy),
    Operation(
        "get",
        "/api/audit/export",
        "All of it as JSON lines (administrators)",
        kind="application/x-ndjson",
    ),
    Operation(
        "get",
        "/api/audit",
        "Administrative acts (administrators)",
        answer=list[a.ActView],
        query={"before": _ID, "limit": _NUMBER},
    ),
    Operation(
        "post",
        "/api/webhooks/chatwoot",
        "Chatwoot's webhook",
        body=dict[str, Any],
        kind="text/plain",
    ),
    Operation("get", "/livez", "The process answers", kind="text/plain"),
    Operation("get", "/readyz", "What works and what does not", answer=m.Ready),
    Operation("get", "/metrics", "Prometheus' text form", kind="text/plain"),
)


def document(base_url: str) -> Json:
    """`base_url`: http(s) address without a slash at its end."""
    _, schemas = msgspec.json.schema_components(list(_types()), ref_template=_SCHEMAS)
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Omni Inbox", "version": "1.0.0", "license": {"name": "MIT"}},
        "servers": [{"url": base_url}],
        "security": [{"token": []}, {"cookie": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "omni_session"},
            },
        },
    }


def _described(operation: Operation) -> Json:
    described: Json = {
        "summary": operation.text,
        "operationId": re.sub(r"\W+", "-", f"{operation.method}{operation.path}").strip("-"),
        "responses": {str(operation.status): _answer(operation), "default": _problem()},
    }
    parameters = [
        _parameter(name, "path", _ID | {"minimum": 0})
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    parameters += [
        _parameter(name, "query", schema) for name, schema in (operation.query or {}).items()
    ]
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _schema(operation.body)}},
        }
    if operation.path in _OPEN or (operation.method, operation.path) == ("post", "/api/sessions"):
        described["security"] = []
    return described


def _answer(operation: Operation) -> Json:
    described: Json = {"description": operation.text}
    if operation.answer is not None:
        described["content"] = {operation.kind: {"schema": _schema(operation.answer)}}
    elif operation.kind != "application/json":
        described["content"] = {operation.kind: {}}
    return described


def _problem() -> Json:
    return {
        "description": "What was refused or could not be done",
        "content": {_PROBLEM: {"schema": _schema(m.Problem)}},
    }


def _parameter(name: str, place: str, schema: Json) -> Json:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


def _schema(kind: Any) -> Json:
    [schema], _ = msgspec.json.schema_components([kind], ref_template=_SCHEMAS)
    return schema


def _types() -> Iterator[Any]:
    yield m.Problem
    for operation in OPERATIONS:
        yield from (kind for kind in (operation.answer, operation.body) if kind is not None)
