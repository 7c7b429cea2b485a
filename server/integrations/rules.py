"""What administrators may write about an integration, and the columns that follow from it: checks
without asking anybody.
"""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from server.chatwoot import ChatwootError, ChatwootRefused
from server.core.checks import integration_checks
from server.core.choices import REFUSED_OWN_TOKENS, UNSIGNED_WEBHOOKS, WEBHOOK_MODES
from server.db.access.audit_log import Actor
from server.db.access.integration_record import Integration
from server.errors import BadRequest, ChatwootFailed, Unprocessable
from server.integrations.proofs import previous_secret_us
from server.problems import Problem

UNWRITTEN = Problem.of("trial.token_needed")
_MAX_TOKEN_CHARACTERS = 500

Json = dict[str, Any]


def previous_end_us(own: Integration) -> int | None:
    """Until when a replaced secret counts; None where there is none, or it has ended."""
    if not own.previous_webhook_secret or own.previous_webhook_secret not in own.secrets:
        return None
    return own.previous_until_us or None


def replaced_secret(integration: Integration, secret: str, now_us: int) -> Json:
    """The columns of a new secret; the one before counts for a day."""
    before = integration.webhook_secret
    until = now_us + previous_secret_us() if before else None
    return {
        "webhook_secret": secret,
        "previous_webhook_secret": before,
        "previous_secret_until": until,
    }


def check_token_is_written(actor: Actor, own: Integration, values: Json) -> None:
    """A stored token goes to the address it was given for, and to no other: no administrator could
    read it here, but anybody could have it sent to a server of theirs. The same address may go over
    to TLS. Raises Unprocessable.
    """
    base_url = values.get("base_url", own.base_url)
    is_same = base_url in (own.base_url, own.base_url.replace("http://", "https://", 1))
    if not is_same and "access_token" not in values and actor.agent_id is not None:
        raise Unprocessable(UNWRITTEN)


def secrets_of(hooks: list[Json]) -> set[str]:
    """The secrets that Chatwoot shows of its webhooks."""
    return {str(hook["secret"]) for hook in hooks if hook.get("secret")}


def new_key() -> str:
    """A random key for the address of a webhook that is not signed."""
    return secrets.token_urlsafe(24)


def check_unsigned(actor: Actor, unsigned: object) -> None:
    """At the plain address anybody may send what is not signed, and only numbers say whose it is:
    for who runs the server to allow.
    """
    if unsigned not in UNSIGNED_WEBHOOKS or (unsigned == "accepted" and actor.agent_id is not None):
        raise BadRequest(Problem.of("form.unsigned"))


def check_mode(mode: object) -> None:
    """Raises BadRequest for a mode that there is not."""
    if mode not in WEBHOOK_MODES:
        raise BadRequest("webhookMode must be live or local")


def check_refused_own_tokens(choice: object) -> None:
    """Raises BadRequest for what cannot be chosen."""
    if choice not in REFUSED_OWN_TOKENS:
        raise BadRequest("refusedOwnTokens must be fail or fallback")


def checked_secret(text: str, what: Problem) -> str:
    """It goes into a header or a digest. Raises BadRequest without quoting it."""
    stripped = text.strip()
    if (
        not 0 < len(stripped) <= _MAX_TOKEN_CHARACTERS
        or not stripped.isascii()
        or not stripped.isprintable()
        or " " in stripped
    ):
        raise BadRequest(Problem.of("form.one_word", what=what))
    return stripped


def failure(error: ChatwootError) -> ChatwootFailed:
    """Chatwoot's refusal or silence as the answer to a person."""
    return ChatwootFailed(Problem.of("chatwoot.not_carried_out", why=error.problem))


async def with_events(write: Callable[[list[str]], Awaitable[Json]]) -> Json:
    """With a customer's typing as well; a Chatwoot older than that refuses it, and gets the
    rest.
    """
    try:
        return await write([*integration_checks.EVENTS, *integration_checks.TYPING_EVENTS])
    except ChatwootRefused as error:
        if error.chatwoot_status != 422:
            raise
        return await write(list(integration_checks.EVENTS))
