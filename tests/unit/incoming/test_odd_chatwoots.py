"""What one Chatwoot answers to the watch of integrations is the trouble of its own company."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from server.core.chatwoot.own_token_owner import judge_owner
from server.db.access.integration_record import Integration
from server.incoming.integration_watch import ChangedAccounts, Watch
from server.problems import Problem

ACCOUNT = 3
_SOUND = {"id": 7, "name": "Rahim", "accounts": [{"id": ACCOUNT, "role": "agent"}]}


class _Chatwoot:
    def __init__(self, profile: Any, inboxes: Any = ()) -> None:
        self._answers = profile, list(inboxes)
        self.was_asked_to_the_end = False

    async def profile(self) -> Any:
        return self._answers[0]

    async def list_inboxes(self) -> Any:
        await asyncio.sleep(0.05)
        self.was_asked_to_the_end = True
        return self._answers[1]


def _integration(number: int) -> Integration:
    return Integration(
        id=number,
        company_id=number,
        account_id=ACCOUNT,
        inbox_id=None,
        base_url=f"https://chat{number}.example",
        access_token="token",
        is_active=True,
        is_webhook_active=False,
        webhook_secret=None,
        previous_webhook_secret=None,
        proved_us=2,
        token_user_id=7,
    )


@pytest.mark.parametrize(
    "odd",
    [
        _Chatwoot({"id": 7, "accounts": 5}),
        _Chatwoot({"id": 7, "name": "R", "accounts": [{"id": ACCOUNT, "status": ["active"]}]}),
        _Chatwoot(_SOUND, [{"id": [1]}]),
    ],
    ids=["accounts", "status", "inbox"],
)
async def test_an_odd_answer_ends_no_check_of_another_company(odd: _Chatwoot) -> None:
    there = {1: odd, 2: _Chatwoot(_SOUND)}
    own = {number: _integration(number) for number in there}
    changed = ChangedAccounts()
    changed.on_changed(list(own.values()))

    async def nothing(*_: object) -> None:
        return None

    watch: Any = Watch(
        database=SimpleNamespace(transaction=nothing),  # type: ignore[arg-type]
        vault=None,  # type: ignore[arg-type]
        directory=SimpleNamespace(integrations=own, refresh=nothing),  # type: ignore[arg-type]
        client_of=lambda one: there[one.id],  # type: ignore[arg-type, return-value]
        administration=None,  # type: ignore[arg-type]
        gone=SimpleNamespace(check=nothing),  # type: ignore[arg-type]
        renames=None,  # type: ignore[arg-type]
        changed=changed,
        settings=SimpleNamespace(integration_watch_seconds=60.0),  # type: ignore[arg-type]
    )
    await watch._check_due()
    assert there[2].was_asked_to_the_end


@pytest.mark.parametrize(
    "profile",
    [
        {"id": 7, "name": "R", "accounts": 5},
        {"id": 2**70, "name": "R", "accounts": [{"id": ACCOUNT}]},
        {"id": True, "name": "R", "accounts": [{"id": ACCOUNT}]},
    ],
    ids=str,
)
def test_an_odd_profile_is_nobody_to_reply_with(profile: dict[str, Any]) -> None:
    assert isinstance(judge_owner(profile, ACCOUNT), Problem)
