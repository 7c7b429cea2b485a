"""Whether an inbox belongs to the company that claims it: what Chatwoot shows to the access token
decides, as anyone can write a number.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from server.problems import Problem, Text

# every other 401 speaks of the account, or of what its owner may do
NOT_ACCEPTED = "Invalid Access Token"


class Proof(msgspec.Struct, frozen=True):
    """`refuted`: Chatwoot answered, and does not show the inbox to this token; `unknown`: it could
    not be asked.
    """

    state: Literal["proved", "refuted", "unknown"]
    text: Text = ""
    is_administrator: bool = False


def judge_account(profile: Mapping[str, Any], account_id: int) -> Proof:
    """`profile` is what Chatwoot answered to the integration's own token."""
    accounts = [account for account in profile.get("accounts") or [] if isinstance(account, dict)]
    own = next((account for account in accounts if account.get("id") == account_id), None)
    if own is None:
        return Proof("refuted", Problem.of("proof.not_member", account=account_id))
    return Proof("proved", is_administrator=own.get("role") == "administrator")


def judge_proof(
    account: Proof, inboxes: Sequence[Mapping[str, Any]], account_id: int, inbox_id: int | None
) -> Proof:
    """`account` is `judge_account`'s; `inboxes` are those Chatwoot shows to the token. A whole
    account is its administrator's alone.
    """
    if inbox_id is None:
        is_whole = account.is_administrator
        return (
            account
            if is_whole
            else Proof("refuted", Problem.of("proof.not_administrator", account=account_id))
        )
    if not any(inbox.get("id") == inbox_id for inbox in inboxes):
        return Proof(
            "refuted",
            Problem.of("proof.inbox_not_seen", inbox=inbox_id, account=account_id),
        )
    return account
