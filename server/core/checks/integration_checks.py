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
from server.problems import Problem, Text, english

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
_MAX_NAMED = 10


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of one check. `unknown`: it could not be made, because of another finding."""

    name: str
    state: State
    text: Text
    remedy: Text = ""

    def view(self) -> Json:
        """As the API and the commands print it, in English."""
        seen: Json = {"name": self.name, "state": self.state, "text": english(self.text)}
        return seen | ({"remedy": english(self.remedy)} if self.remedy else {})


def is_well(findings: Iterable[Finding]) -> bool:
    """Whether nothing failed; warnings do not count."""
    return all(finding.state in ("ok", "warning") for finding in findings)


def judge_switches(integration_id: int, *, is_active: bool, is_webhook_active: bool) -> Finding:
    """Fail where the integration, or its webhook address, is switched off."""
    remedy = Problem.of("switch.turn_on", id=integration_id)
    if not is_active:
        return Finding(
            "switched on",
            "failed",
            Problem.of("switch.integration_off"),
            remedy,
        )
    if not is_webhook_active:
        return Finding(
            "switched on",
            "failed",
            Problem.of("switch.webhooks_off"),
            remedy,
        )
    return Finding("switched on", "ok", Problem.of("switch.on"))


def judge_account(profile: Mapping[str, Any], account_id: int) -> list[Finding]:
    """Judge whose token it is, and what its owner may do in the account. `profile` is the answer of
    GET /profile.
    """
    owner = str(profile.get("name") or profile.get("email") or "its owner")
    listed = profile.get("accounts")
    listed = listed if isinstance(listed, list) else []
    accounts = [account for account in listed if isinstance(account, dict)]
    own = next((account for account in accounts if account.get("id") == account_id), None)
    token = Finding("access token", "ok", Problem.of("token.accepted", owner=owner))
    if own is None:
        text = Problem.of(
            "account.owner_not_member",
            owner=owner,
            account=account_id,
            theirs=_named(accounts) or "none",
        )
        return [token, Finding("account", "failed", text, Problem.of("account.take_number"))]
    if own.get("status") not in (None, "active"):
        text = Problem.of("account.not_active", account=account_id, status=own["status"])
        return [token, Finding("account", "failed", text, Problem.of("account.activate"))]
    name = own.get("name", "there")
    account = Finding("account", "ok", Problem.of("account.named", account=account_id, name=name))
    return [token, account, _judge_role(own.get("role"), owner, account_id)]


def _judge_role(role: str | None, owner: str, account_id: int) -> Finding:
    if role == "administrator":
        return Finding("role", "ok", Problem.of("role.administrator", owner=owner))
    text = Problem.of(
        "role.not_administrator",
        owner=owner,
        role=role or "no administrator",
        account=account_id,
    )
    return Finding("role", "failed", text, Problem.of("role.make_administrator"))


def judge_socket(profile: Mapping[str, Any], *, is_on: bool) -> Finding:
    """Listening to the socket of Chatwoot's agents shows the token's owner as online for a moment,
    which is not harmless everywhere.
    """
    if not is_on:
        return Finding(
            "socket",
            "ok",
            Problem.of("socket.not_listened"),
        )
    owner = str(profile.get("name") or profile.get("email") or "its owner")
    return Finding(
        "socket",
        "ok",
        Problem.of("socket.listened", owner=owner),
        Problem.of("socket.use_other_token"),
    )


def judge_proof(state: str, why: Text, *, is_trusted: bool) -> Finding:
    """Whether deliveries are the company's. `is_trusted`: it received them before proofs were asked
    for, and goes on.
    """
    if state == "proved":
        return Finding(
            "proof",
            "ok",
            Problem.of("proof.shown"),
        )
    remedy = Problem.of("proof.put_right")
    if is_trusted:
        text = Problem.of("proof.trusted", why=why)
        return Finding("proof", "warning", text, remedy)
    return Finding("proof", "failed", Problem.of("proof.missing", why=why), remedy)


def judge_inbox(
    inboxes: Sequence[Mapping[str, Any]], account_id: int, inbox_id: int | None, webhook_url: str
) -> list[Finding]:
    """Judge whether the account has the inbox, and warn where the inbox's own callback is our
    address as well. `inboxes` is the answer of GET /inboxes.
    """
    if inbox_id is None:
        return [Finding("inbox", "warning", Problem.of("inbox.none_named"))]
    own = next((inbox for inbox in inboxes if inbox.get("id") == inbox_id), None)
    if own is None:
        known = _named(inboxes) or "none"
        text = Problem.of("inbox.unknown", inbox=inbox_id, account=account_id, inboxes=known)
        return [Finding("inbox", "failed", text, Problem.of("inbox.take_number"))]
    name = own.get("name", "there")
    found = [Finding("inbox", "ok", Problem.of("inbox.named", inbox=inbox_id, name=name))]
    if is_ours(own.get("webhook_url"), webhook_url):
        text = Problem.of("callback.also_ours")
        found.append(Finding("callback", "warning", text, Problem.of("callback.empty_it")))
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
        Finding("webhook", "ok", Problem.of("webhook.registered", address=str(ours[0].get("url"))))
    ]
    if len(ours) > 1:
        text = Problem.of("webhook.registered_often", count=len(ours))
        found = [
            Finding(
                "webhook",
                "warning",
                text,
                Problem.of("webhook.delete_others"),
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
    text = Problem.of("webhook.missing", address=webhook_url)
    if other is not None:
        text = Problem.of(
            "webhook.missing_but_other", address=webhook_url, other=without_query(other)
        )
    return Finding(
        "webhook",
        "failed",
        text,
        Problem.of("webhook.register"),
    )


def _judge_events(subscribed: set[Any]) -> Finding:
    missing = [event for event in EVENTS if event not in subscribed]
    if missing:
        return Finding(
            "events",
            "failed",
            Problem.of("webhook.events_missing", events=", ".join(missing)),
            Problem.of("webhook.register_for_events"),
        )
    extra = sorted(str(event) for event in subscribed if event not in (*EVENTS, *TYPING_EVENTS))
    text = Problem.of("webhook.events_needed")
    if subscribed.issuperset(TYPING_EVENTS):
        text = Problem.of("webhook.events_and_typing", text=text)
    if extra:
        text = Problem.of("webhook.events_and_more", text=text, events=", ".join(extra))
    return Finding("events", "ok", text)


def _judge_secret(
    theirs: Sequence[str], ours: Sequence[str], *, requires_signature: bool
) -> Finding:
    remedy = Problem.of("signature.register_for_secret")
    if not any(theirs):
        text = Problem.of("signature.chatwoot_too_old")
        if ours or requires_signature:
            remedy = Problem.of("signature.let_keyed")
            refused = Problem.of("signature.unsigned_refused", text=text)
            return Finding("signature", "failed", refused, remedy)
        return Finding(
            "signature",
            "warning",
            text,
            Problem.of("signature.update_chatwoot"),
        )
    if not ours:
        text = Problem.of("signature.secret_unknown")
        return Finding("signature", "failed" if requires_signature else "warning", text, remedy)
    if any(
        not any(hmac.compare_digest(secret.encode(), known.encode()) for known in ours)
        for secret in theirs
        if secret
    ):
        return Finding(
            "signature",
            "failed",
            Problem.of("signature.secret_differs"),
            remedy,
        )
    return Finding("signature", "ok", Problem.of("signature.signed"))


def judge_public_address(
    webhook_url: str, private: Sequence[str], *, has_webhooks: bool
) -> Finding:
    """`private`: addresses of our own host that are not on the public Internet; `has_webhooks`:
    deliveries have come already.
    """
    host = urlsplit(webhook_url).hostname or ""
    if not private:
        return Finding("public address", "ok", Problem.of("public_address.public", host=host))
    text = Problem.of("public_address.private", host=host, address=private[0])
    if has_webhooks:
        return Finding(
            "public address",
            "ok",
            Problem.of("public_address.private_but_called", host=host, address=private[0]),
        )
    return Finding(
        "public address",
        "warning",
        text,
        Problem.of("public_address.set_it"),
    )


def is_ours(url: object, webhook_url: str) -> bool:
    """Whether a registered address is this one, with the same key or none; the rest of its query
    distinguishes two of them (`rotate`).

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
    """Return the address without query and fragment, where keys may be; unchanged if it is no
    URL.
    """
    try:
        return urlunsplit((*urlsplit(url)[:3], "", ""))
    except ValueError:
        return url


def report(findings: Sequence[Finding]) -> Json:
    """As the API and the command print it."""
    return {
        "isWell": is_well(findings),
        "findings": [finding.view() for finding in findings],
    }


def _named(things: Sequence[Mapping[str, Any]]) -> str:
    named = [f"{thing.get('id')} ({thing.get('name')})" for thing in things[:_MAX_NAMED]]
    return ", ".join(named) + (" and more" if len(things) > _MAX_NAMED else "")
