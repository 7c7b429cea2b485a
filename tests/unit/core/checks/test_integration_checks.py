"""Judging an integration from what Chatwoot answered: each finding has a cause, and a remedy where
something is to be done.
"""

from typing import Any

import pytest

from server.core.checks import integration_checks
from server.core.checks.integration_checks import EVENTS, Finding
from server.problems import english

URL = "https://inbox.example.com/api/webhooks/chatwoot"
PROFILE = {
    "name": "Nadia",
    "accounts": [{"id": 3, "name": "Shop", "role": "administrator", "status": "active"}],
}


def hook(**changes: Any) -> dict[str, Any]:
    return {"id": 1, "url": URL, "subscriptions": list(EVENTS), "secret": "s", **changes}


def by_name(findings: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.state for finding in findings}


@pytest.mark.parametrize(
    ("account", "states"),
    [
        ({}, {"access token": "ok", "account": "ok", "role": "ok"}),
        ({"role": "agent"}, {"access token": "ok", "account": "ok", "role": "failed"}),
        ({"role": None}, {"access token": "ok", "account": "ok", "role": "failed"}),
        ({"status": "suspended"}, {"access token": "ok", "account": "failed"}),
        ({"id": 4}, {"access token": "ok", "account": "failed"}),
    ],
)
def test_the_token_s_owner_must_administer_the_account(
    account: dict[str, Any], states: dict[str, str]
) -> None:
    """An agent sees neither webhooks nor other people's inboxes."""
    profile = {**PROFILE, "accounts": [{**PROFILE["accounts"][0], **account}]}  # type: ignore[dict-item]
    assert by_name(integration_checks.judge_account(profile, 3)) == states


def test_a_profile_without_accounts_is_no_error() -> None:
    """Of whatever answers there."""
    assert by_name(integration_checks.judge_account({"accounts": None}, 3)) == {
        "access token": "ok",
        "account": "failed",
    }
    assert by_name(integration_checks.judge_account({"accounts": ["x", 1]}, 3)) == {
        "access token": "ok",
        "account": "failed",
    }


def test_an_inbox_is_named_or_those_that_are_there() -> None:
    """At most ten of them."""
    inboxes = [{"id": n, "name": f"Inbox {n}"} for n in range(1, 13)]
    assert by_name(integration_checks.judge_inbox(inboxes, 3, 7, URL)) == {"inbox": "ok"}
    assert by_name(integration_checks.judge_inbox(inboxes, 3, None, URL)) == {"inbox": "warning"}
    [missing] = integration_checks.judge_inbox(inboxes, 3, 99, URL)
    assert "10 (Inbox 10) and more" in english(missing.text)
    assert "there are: none" in english(integration_checks.judge_inbox([], 3, 99, URL)[0].text)
    assert by_name(
        integration_checks.judge_inbox([{"id": 7, "webhook_url": f"{URL}?v=1"}], 3, 7, URL)
    ) == {"inbox": "ok", "callback": "warning"}


@pytest.mark.parametrize(
    ("hooks", "secrets", "requires", "states"),
    [
        ([hook()], ("s",), True, {"webhook": "ok", "events": "ok", "signature": "ok"}),
        (
            [hook(url=f"{URL}?v=ab12")],
            ("old", "s"),
            False,
            {"webhook": "ok", "events": "ok", "signature": "ok"},
        ),
        ([], ("s",), False, {"webhook": "failed"}),
        ([hook(url="https://other.example.com/hook")], ("s",), False, {"webhook": "failed"}),
        (
            [hook(), hook(id=2, url=f"{URL}?v=2")],
            ("s",),
            False,
            {"webhook": "warning", "events": "ok", "signature": "ok"},
        ),
        (
            [hook(subscriptions=None)],
            ("s",),
            False,
            {"webhook": "ok", "events": "failed", "signature": "ok"},
        ),
        ([hook()], ("other",), False, {"webhook": "ok", "events": "ok", "signature": "failed"}),
        ([hook()], (), False, {"webhook": "ok", "events": "ok", "signature": "warning"}),
        ([hook()], (), True, {"webhook": "ok", "events": "ok", "signature": "failed"}),
        ([hook(secret=None)], (), False, {"webhook": "ok", "events": "ok", "signature": "warning"}),
        ([hook(secret=None)], (), True, {"webhook": "ok", "events": "ok", "signature": "failed"}),
        (
            [hook(secret=None)],
            ("s",),
            False,
            {"webhook": "ok", "events": "ok", "signature": "failed"},
        ),
        # of two, one is signed otherwise: its deliveries are refused
        (
            [hook(), hook(id=2, secret="t")],
            ("s",),
            False,
            {"webhook": "warning", "events": "ok", "signature": "failed"},
        ),
    ],
)
def test_webhook_events_and_secret(
    hooks: list[dict[str, Any]], secrets: tuple[str, ...], requires: bool, states: dict[str, str]
) -> None:
    """What follows a question mark tells two of our webhooks apart and is not looked at."""
    assert (
        by_name(integration_checks.judge_webhooks(hooks, URL, secrets, requires_signature=requires))
        == states
    )


def test_switches_and_our_own_address() -> None:
    """Off is a failure; a private address only until a webhook has come over it."""
    for is_active, is_webhook_active, state in (
        (True, True, "ok"),
        (False, True, "failed"),
        (True, False, "failed"),
    ):
        assert (
            integration_checks.judge_switches(
                1, is_active=is_active, is_webhook_active=is_webhook_active
            ).state
            == state
        )
    assert integration_checks.judge_public_address(URL, [], has_webhooks=False).state == "ok"
    assert (
        integration_checks.judge_public_address(URL, ["10.0.0.1"], has_webhooks=False).state
        == "warning"
    )
    assert (
        integration_checks.judge_public_address(URL, ["10.0.0.1"], has_webhooks=True).state == "ok"
    )


def test_what_fails_has_a_remedy_and_no_secret_is_told() -> None:
    """Every finding that is not well says what to do."""
    found = [
        integration_checks.judge_switches(1, is_active=False, is_webhook_active=True),
        *integration_checks.judge_account({**PROFILE, "accounts": []}, 3),
        *integration_checks.judge_inbox([], 3, 7, URL),
        *integration_checks.judge_webhooks(
            [hook(secret="t0psecret", subscriptions=[])],
            URL,
            ("0urs3cret",),
            requires_signature=True,
        ),
        *integration_checks.judge_webhooks([], URL, ("0urs3cret",), requires_signature=True),
    ]
    assert all(finding.remedy for finding in found if finding.state != "ok")
    assert not any(secret in str(found) for secret in ("t0psecret", "0urs3cret"))
    assert not integration_checks.is_well(found)
    assert integration_checks.report(found)["isWell"] is False


@pytest.mark.parametrize(
    ("url", "is_ours"),
    [
        (URL, True),
        (f"{URL}?v=1", True),
        (f"{URL}/", True),
        (f"{URL}//x", False),
        ("http://[", False),
        (None, False),
        (7, False),
    ],
)
def test_a_registered_address_is_ours_or_not(url: object, is_ours: bool) -> None:
    """Whatever Chatwoot gives for it."""
    assert integration_checks.is_ours(url, URL) is is_ours


def test_listening_says_who_is_shown_as_online() -> None:
    """By name, with what to do where that is not harmless; nothing of it where nobody listens."""
    on = integration_checks.judge_socket({"name": "Nadia Karim"}, is_on=True)
    assert (
        on.state,
        "Nadia Karim" in english(on.text),
        "no member of the inbox" in english(on.remedy),
    ) == (
        "ok",
        True,
        True,
    )
    assert integration_checks.judge_socket({"name": "Nadia Karim"}, is_on=False).remedy == ""
