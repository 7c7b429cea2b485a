"""Whose an agent's own access token is, by what Chatwoot shows to it: a person of the account that
the integration connects.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from server.core.chatwoot.inbox_proof import NOT_ACCEPTED
from server.core.identifiers import parse_id
from server.problems import Problem, Text

_NOT_FOR_BOTS = "not authorized for bots"  # access_token_auth_helper.rb
REFUSING = (401, 403)
_MAX_NAME_CHARACTERS = 255


class Owner(msgspec.Struct, frozen=True):
    """A person, as their Chatwoot calls them."""

    user_id: int
    name: str
    email: str | None


def judge_owner(profile: Mapping[str, Any], account_id: int | None) -> Owner | Problem:
    """`profile` is what Chatwoot answered to the token. A Problem says why it is not one to reply
    with: its owner is no member of the account, or the account is not active.
    """
    number = parse_id(profile.get("id"))
    name = str(profile.get("name") or profile.get("email") or "")[:_MAX_NAME_CHARACTERS]
    listed = profile.get("accounts")
    accounts = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    own = next((one for one in accounts if one.get("id") == account_id), None)
    if own is None or number is None or not name:
        return Problem.of("own_token.not_member", owner=name, account=account_id or 0)
    if own.get("status") not in (None, "active"):
        return Problem.of("own_token.account_off", account=account_id or 0)
    email = profile.get("email")
    return Owner(number, name, str(email) if email else None)


def sees_inbox(inboxes: Sequence[Mapping[str, Any]], inbox_id: int | None) -> bool:
    """Whether the inboxes that Chatwoot shows to the token have this one; None: any will do."""
    return inbox_id is None or any(one.get("id") == inbox_id for one in inboxes)


def refusal_of(status: int, sentence: Text, address: str) -> Problem:
    """Why Chatwoot refuses the token, from the status and the sentence of its answer."""
    words = sentence if isinstance(sentence, str) else ""
    if status == 401 and NOT_ACCEPTED in words:
        return Problem.of("own_token.unknown", address=address)
    if status == 401 and _NOT_FOR_BOTS in words:
        return Problem.of("own_token.bot")
    return Problem.of("own_token.owner_refused", why=sentence)
