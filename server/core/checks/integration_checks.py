"""Judging an integration: what Chatwoot answered about it, turned into findings with a cause and a
remedy each.

Nothing here asks anybody: `server/integrations/checks.py` does. A finding's texts hold no secret;
names of accounts and inboxes are Chatwoot's own.
"""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit, urlunsplit

import msgspec

from server.core.state.entities import Json

State = Literal["ok", "warning", "failed", "unknown"]
EVENTS = (
    "message_created",
    "message_updated",
    "conversation_created",
    "conversation_updated",
    "conversation_status_changed",
)
# shown where they come; Chatwoot has them since 4.2
TYPING_EVENTS = ("conversation_typing_on", "conversation_typing_off")
_NAMED_MOST = 10


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was looked at. `unknown`: could not be looked at, because of another
    finding.
    """

    name: str
    state: State
    text: str
    remedy: str = ""


def is_well(findings: Iterable[Finding]) -> bool:
    return all(finding.state in ("ok", "warning") for finding in findings)


def judge_switches(integration_id: int, *, is_active: bool, is_webhook_active: bool) -> Finding:
    remedy = (
        "Switch it on: on its page, or omni-inbox integration enable --integration-id "
        f"{integration_id}"
    )
    if not is_active:
        return Finding(
            "switched on",
            "failed",
            "The integration is switched off (is_active): its webhooks are kept and ignored",
            remedy,
        )
    if not is_webhook_active:
        return Finding(
            "switched on",
            "failed",
            "Its webhooks are switched off (is_webhook_active): they are kept and ignored",
            remedy,
        )
    return Finding("switched on", "ok", "The integration and its webhooks are switched on")


def judge_account(profile: Mapping[str, Any], account_id: int) -> list[Finding]:
    """Whose token it is, and what they may do in the account. `profile` is the answer of GET
    /profile.
    """
    owner = str(profile.get("name") or profile.get("email") or "its owner")
    accounts = [account for account in profile.get("accounts") or [] if isinstance(account, dict)]
    own = next((account for account in accounts if account.get("id") == account_id), None)
    found = [
        Finding(
            "access token",
            "ok",
            f"Chatwoot accepts the access token; it is {owner}'s, and replies appear under that "
            "name",
        )
    ]
    if own is None:
        theirs = _named(accounts) or "none"
        found.append(
            Finding(
                "account",
                "failed",
                f"{owner} does not belong to account {account_id} of this Chatwoot; theirs: "
                f"{theirs}",
                "Take the account's number from Chatwoot's address, /app/accounts/<number>/, or "
                "the token of somebody who belongs to it",
            )
        )
        return found
    if own.get("status") not in (None, "active"):
        return [
            *found,
            Finding(
                "account",
                "failed",
                f"Account {account_id} is {own['status']} in Chatwoot",
                "Have it activated again in Chatwoot",
            ),
        ]
    found.append(Finding("account", "ok", f"Account {account_id} is {own.get('name', 'there')}"))
    if own.get("role") == "administrator":
        return [*found, Finding("role", "ok", f"{owner} is an administrator of the account")]
    return [
        *found,
        Finding(
            "role",
            "failed",
            f"{owner} is {own.get('role') or 'no administrator'} in account {account_id}, not an "
            "administrator: "
            "webhooks cannot be looked at, and inboxes of others are not seen",
            "Make this user an administrator in Chatwoot (Settings > Agents), or renew the token "
            "with an administrator's",
        ),
    ]


def judge_socket(profile: Mapping[str, Any], *, is_on: bool) -> Finding:
    """Listening to the socket of Chatwoot's agents shows the token's owner as online for a moment,
    which is not harmless everywhere.
    """
    if not is_on:
        return Finding(
            "socket",
            "ok",
            "The socket of Chatwoot's agents is not listened to: news comes by webhook alone",
        )
    owner = str(profile.get("name") or profile.get("email") or "its owner")
    return Finding(
        "socket",
        "ok",
        f"The socket of Chatwoot's agents is listened to as {owner}, whom Chatwoot shows as "
        "online for some 20 seconds after each connect",
        "Where conversations are assigned automatically, use the token of an administrator who "
        "is no member of the inbox",
    )


def judge_proof(state: str, why: str, *, is_trusted: bool) -> Finding:
    """Whether deliveries are the company's. `is_trusted`: it received them before proofs were asked
    for, and goes on.
    """
    if state == "proved":
        return Finding(
            "proof",
            "ok",
            "Chatwoot shows this inbox to the access token: its deliveries are this company's",
        )
    remedy = (
        "Put right what is said here, then look again: on the integration's page, or omni-inbox "
        "integration check"
    )
    if is_trusted:
        text = (
            "Not proved yet, but trusted, as it received webhooks before proofs were asked "
            f"for: {why}"
        )
        return Finding("proof", "warning", text, remedy)
    return Finding("proof", "failed", f"Not proved yet, so nothing is received: {why}", remedy)


def judge_inbox(
    inboxes: Sequence[Mapping[str, Any]], account_id: int, inbox_id: int | None, webhook_url: str
) -> list[Finding]:
    if inbox_id is None:
        return [
            Finding(
                "inbox",
                "warning",
                "No inbox is named: messages of every inbox of the account are taken",
            )
        ]
    own = next((inbox for inbox in inboxes if inbox.get("id") == inbox_id), None)
    if own is None:
        return [
            Finding(
                "inbox",
                "failed",
                f"There is no inbox {inbox_id} in account {account_id}, or the token's owner "
                "does not see it; "
                f"there are: {_named(inboxes) or 'none'}",
                "Take the inbox's number from Chatwoot's address, /settings/inboxes/<number>",
            )
        ]
    found = [Finding("inbox", "ok", f"Inbox {inbox_id} is {own.get('name', 'there')}")]
    if is_ours(own.get("webhook_url"), webhook_url):
        found.append(
            Finding(
                "callback",
                "warning",
                "The inbox has our address as its own callback as well, so Chatwoot sends each "
                "message twice, the second signed otherwise",
                "Empty the field Webhook URL in the inbox's settings in Chatwoot",
            )
        )
    return found


def judge_webhooks(
    hooks: Sequence[Mapping[str, Any]],
    webhook_url: str,
    secrets: Sequence[str],
    *,
    requires_signature: bool,
) -> list[Finding]:
    """Whether Chatwoot has our webhook, with the right events and the secret we know. `hooks` is
    the answer of GET /webhooks.
    """
    ours = [hook for hook in hooks if is_ours(hook.get("url"), webhook_url)]
    if not ours:
        return [_no_webhook(hooks, webhook_url)]
    found = [
        Finding("webhook", "ok", f"Chatwoot has a webhook with our address, {ours[0].get('url')}")
    ]
    if len(ours) > 1:
        text = f"Chatwoot has {len(ours)} webhooks with our address and sends each event that often"
        found = [
            Finding(
                "webhook",
                "warning",
                text,
                "Delete all but one in Chatwoot: Settings > Integrations > Webhooks",
            )
        ]
    subscribed = {event for hook in ours for event in hook.get("subscriptions") or ()}
    found.append(_judge_events(subscribed))
    return [
        *found,
        _judge_secret(
            [str(hook.get("secret") or "") for hook in ours],
            secrets,
            requires_signature=requires_signature,
        ),
    ]


def _no_webhook(hooks: Sequence[Mapping[str, Any]], webhook_url: str) -> Finding:
    path = urlsplit(webhook_url).path
    other = next(
        (
            str(hook.get("url"))
            for hook in hooks
            if urlsplit(_place(str(hook.get("url")))).path == path
        ),
        None,
    )
    text = f"Chatwoot has no webhook with the address {webhook_url}"
    if other is not None:
        text += (
            f", but one with {without_query(other)}: another PUBLIC_URL, or another mode (local, "
            "live)"
        )
    return Finding(
        "webhook",
        "failed",
        text,
        "Register it: on the integration's page, or omni-inbox integration register",
    )


def _judge_events(subscribed: set[Any]) -> Finding:
    missing = [event for event in EVENTS if event not in subscribed]
    if missing:
        return Finding(
            "events",
            "failed",
            f"The webhook does not send {', '.join(missing)}",
            "Register it again, which sets the events: on the integration's page, or omni-inbox "
            "integration register",
        )
    extra = sorted(str(event) for event in subscribed if event not in (*EVENTS, *TYPING_EVENTS))
    text = "The webhook sends the five events that are needed"
    if subscribed.issuperset(TYPING_EVENTS):
        text += ", and those of a customer's typing"
    return Finding(
        "events",
        "ok",
        text + (f", and {', '.join(extra)}, which cost a little and do nothing" if extra else ""),
    )


def _judge_secret(
    theirs: Sequence[str], ours: Sequence[str], *, requires_signature: bool
) -> Finding:
    remedy = (
        "Register it again, which fetches the secret: on the integration's page, or omni-inbox "
        "integration register"
    )
    if not any(theirs):
        text = (
            "This Chatwoot is older than 4.12 and does not sign: whoever knows the address "
            "can send messages"
        )
        if ours or requires_signature:
            remedy = (
                "Update Chatwoot; until then let unsigned webhooks come to an address with a "
                "key, and register again: "
                "on the integration's page, or omni-inbox integration signing --unsigned keyed"
            )
            return Finding(
                "signature", "failed", text + ", and unsigned ones are refused here", remedy
            )
        return Finding(
            "signature",
            "warning",
            text,
            "Update Chatwoot to 4.12 or later, then register the webhook again",
        )
    if not ours:
        text = (
            "Chatwoot signs, but the secret is not known here: whoever knows the address can "
            "send messages"
        )
        return Finding("signature", "failed" if requires_signature else "warning", text, remedy)
    if any(
        not any(hmac.compare_digest(secret.encode(), known.encode()) for known in ours)
        for secret in theirs
        if secret
    ):
        return Finding(
            "signature",
            "failed",
            "The secret known here is not the one Chatwoot signs with: its webhooks are refused",
            remedy,
        )
    return Finding("signature", "ok", "Webhooks are signed, and the secret is known here")


def judge_public_address(
    webhook_url: str, private: Sequence[str], *, has_webhooks: bool
) -> Finding:
    """`private`: addresses of our own host that are not on the public Internet; `has_webhooks`:
    deliveries have come already.
    """
    host = urlsplit(webhook_url).hostname or ""
    if not private:
        return Finding("public address", "ok", f"{host} is a public address")
    text = (
        f"{host} is a private address ({private[0]}); Chatwoot 4.14 and later refuse to call "
        "those, and say so in their own log only"
    )
    if has_webhooks:
        return Finding(
            "public address",
            "ok",
            f"{host} is a private address ({private[0]}); this Chatwoot calls it all the same",
        )
    return Finding(
        "public address",
        "warning",
        text,
        "Set PUBLIC_URL to a public address (or TUNNEL_URL for mode local), or "
        "SAFE_FETCH_ALLOW_PRIVATE_NETWORK=true "
        "for Chatwoot's web and sidekiq (4.14.1 and later)",
    )


def is_ours(url: object, webhook_url: str) -> bool:
    """Whether a registered address is this one, with the same key or none; the rest of its query
    tells two of them apart (`rotate`).

    One with another key is another company's in the same account.
    """
    return (
        isinstance(url, str)
        and _place(url) == _place(webhook_url)
        and _key_of(url) == _key_of(webhook_url)
    )


def _place(url: str) -> str:
    """A slash at the end is taken as well."""
    return without_query(url).rstrip("/")


def _key_of(url: str) -> str | None:
    try:
        return parse_qs(urlsplit(url).query, max_num_fields=20).get("key", [None])[0]
    except ValueError:
        return None


def without_query(url: str) -> str:
    try:
        return urlunsplit((*urlsplit(url)[:3], "", ""))
    except ValueError:
        return url


def report(findings: Sequence[Finding]) -> Json:
    """As the API and the command print it."""
    return {
        "isWell": is_well(findings),
        "findings": [msgspec.to_builtins(finding) for finding in findings],
    }


def _named(things: Sequence[Mapping[str, Any]]) -> str:
    named = [f"{thing.get('id')} ({thing.get('name')})" for thing in things[:_NAMED_MOST]]
    return ", ".join(named) + (" and more" if len(things) > _NAMED_MOST else "")
