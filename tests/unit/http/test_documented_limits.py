"""What `/openapi.json` says a field may hold is what the rule of that field takes."""

from collections.abc import Callable
from typing import Any, get_args

import pytest

from server.access.passwords import MAX_PASSWORD_CHARACTERS, MIN_PASSWORD_CHARACTERS
from server.access.people_administration import checked_email, checked_name
from server.core import choices
from server.core.state import canned_reply_rules
from server.core.wire import openapi, rest_schema
from server.errors import BadRequest
from server.integrations.rules import checked_secret
from server.outgoing import new_replies
from server.problems import Problem

_SCHEMAS: dict[str, Any] = openapi.document("http://127.0.0.1")["components"]["schemas"]


def _limits(schema: str, name: str) -> dict[str, Any]:
    """Of a field that may be null, too, those of the other kind."""
    found: dict[str, Any] = _SCHEMAS[schema]["properties"][name]
    return next((one for one in found.get("anyOf", []) if one["type"] != "null"), found)


def _email(length: int) -> str:
    host = "@example.com"
    return "a" * (length - len(host)) + host


def _secret(text: str) -> str:
    return checked_secret(text, Problem.of("noun.access_token"))


def _is_taken(rule: Callable[[str], object], text: str) -> bool:
    try:
        rule(text)
    except BadRequest:
        return False
    return True


@pytest.mark.parametrize(
    ("schema", "name", "rule"),
    [
        ("NewReply", "content", lambda text: new_replies.checked_content(text, has_files=False)),
        ("NewCannedReply", "shortcut", canned_reply_rules.checked_shortcut),
        ("NewCannedReply", "content", canned_reply_rules.checked_content),
        ("NewInvitation", "name", checked_name),
        ("NewIntegrationBody", "accessToken", _secret),
        ("NewIntegrationBody", "webhookSecret", _secret),
        ("IntegrationChange", "accessToken", _secret),
        ("IntegrationChange", "webhookSecret", _secret),
    ],
)
def test_a_text_is_as_long_as_the_document_says(
    schema: str, name: str, rule: Callable[[str], object]
) -> None:
    """The longest and the shortest are taken, one character more or less is not."""
    limits = _limits(schema, name)
    longest, shortest = limits["maxLength"], limits["minLength"]
    assert [_is_taken(rule, "x" * length) for length in (longest, longest + 1)] == [True, False]
    assert [_is_taken(rule, "x" * length) for length in (shortest, shortest - 1)] == [True, False]


def test_an_address_is_as_long_as_the_document_says() -> None:
    longest = _limits("NewInvitation", "email")["maxLength"]
    assert _is_taken(checked_email, _email(longest))
    assert not _is_taken(checked_email, _email(longest + 1))


def test_a_password_is_as_long_as_the_document_says() -> None:
    limits = _limits("PasswordChange", "newPassword")
    assert (limits["minLength"], limits["maxLength"]) == (
        MIN_PASSWORD_CHARACTERS,
        MAX_PASSWORD_CHARACTERS,
    )
    for schema, name in (("SignIn", "password"), ("PasswordAgain", "password")):
        assert _limits(schema, name)["maxLength"] == MAX_PASSWORD_CHARACTERS


def test_the_words_to_choose_from_are_the_rules_own() -> None:
    assert get_args(rest_schema.Role) == choices.ROLES
    assert tuple(_limits("DeliveryView", "state")["enum"]) == tuple(sorted(choices.DELIVERY_STATES))
    for schema in ("NewIntegrationBody", "IntegrationChange", "IntegrationView"):
        assert set(_limits(schema, "webhookMode")["enum"]) == set(choices.WEBHOOK_MODES)
    assert set(_limits("IntegrationView", "unsignedWebhooks")["enum"]) == set(
        choices.UNSIGNED_WEBHOOKS
    )
