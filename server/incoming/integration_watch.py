"""Watching integrations: whether Chatwoot still has what each of them needs. Somebody may have
ended its token, suspended the account, removed the inbox, or deleted or changed the webhook;
Chatwoot tells nobody of any of it.

What is wrong is kept in the integration's row, in Chatwoot's own words where it has said any, so
that every process, list and status says the same. Integrations of one account and token are asked
about together: three calls each round. A Chatwoot that cannot be asked changes nothing: reconcile
tells of that.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from server import log
from server.chatwoot import ChatwootClient, ChatwootError, ChatwootRefused
from server.core.chatwoot.inbox_proof import NOT_ACCEPTED
from server.core.checks import integration_checks
from server.core.identifiers import parse_id
from server.core.times import SECOND
from server.db.access import integration_rows
from server.db.access.audit_log import server_actor
from server.db.access.integration_record import Integration
from server.db.access.vault import Vault
from server.db.engine.database import Connection, Database
from server.errors import OmniError, Unavailable
from server.incoming.gone_conversations import GoneConversations
from server.incoming.inbox_renames import InboxRenames
from server.integrations.directory import Directory
from server.integrations.own_tokens import MAX_PROBLEM_CHARACTERS
from server.integrations.service import Integrations
from server.problems import Problem, Text, encode, english
from server.settings import Settings

ClientOf = Callable[[Integration], ChatwootClient]
Json = dict[str, Any]
_POLL_SECONDS = 0.5
_CHANGED_SECONDS = 3.0  # however often Chatwoot says that something has changed
_WRONG_SECONDS = 5.0  # what is put right there is not called wrong for long
_MAX_AT_ONCE = 8
_RENAMED_AGAIN = 2  # checks, _CHANGED_SECONDS apart: longer than until integrations are read anew
_MAX_NAME_CHARACTERS, _MAX_ADDRESS_CHARACTERS = 255, 600
_WEBHOOK = ("webhook", "events", "signature")
_logger = log.get(__name__)
_SERVER = "server"


class ChangedAccounts:
    """Integrations in whose accounts Chatwoot has changed something, as its socket says: the watch
    asks about them without waiting for their turn.
    """

    def __init__(self) -> None:
        self._integration_ids: set[int] = set()

    def on_changed(self, integrations: Sequence[Integration]) -> None:
        """Note that something has changed; `integrations`: all of the account."""
        self._integration_ids.update(one.id for one in integrations)

    def holds(self, group: Sequence[Integration]) -> bool:
        """Whether something has changed for one of these."""
        return any(one.id in self._integration_ids for one in group)

    def clear(self, group: Sequence[Integration]) -> bool:
        """Forget it, and return whether it was so: what changes from now on is noted anew."""
        holds = self.holds(group)
        self._integration_ids.difference_update(one.id for one in group)
        return holds


class _Inbox(msgspec.Struct, frozen=True):
    """An inbox as Chatwoot has it: its name, where mail to it goes, with commas, and the number of
    the token's owner.
    """

    name: str | None
    addresses: str | None
    owner_id: int | None


def _known(one: Integration) -> _Inbox:
    return _Inbox(one.inbox_name, one.inbox_addresses, one.token_user_id)


def _inbox_of(inbox: Json, owner_id: int | None) -> _Inbox:
    found = (inbox.get(name) for name in ("email", "forward_to_email"))
    addresses = ",".join(one for one in found if isinstance(one, str) and one)
    name = str(inbox.get("name") or "")
    return _Inbox(
        name[:_MAX_NAME_CHARACTERS] or None,
        addresses[:_MAX_ADDRESS_CHARACTERS] or None,
        owner_id,
    )


def _of_all(inboxes: Iterable[_Inbox]) -> _Inbox:
    """Of an integration for all inboxes, which has no name of one."""
    addresses = ",".join(one.addresses for one in inboxes if one.addresses)
    owner_id = next((one.owner_id for one in inboxes), None)
    return _Inbox(None, addresses[:_MAX_ADDRESS_CHARACTERS] or None, owner_id)


class Watch:
    """Asks Chatwoot about every integration each `integration_watch_seconds`, in whichever
    process.
    """

    def __init__(
        self,
        database: Database,
        vault: Vault,
        directory: Directory,
        client_of: ClientOf,
        administration: Integrations,
        gone: GoneConversations,
        renames: InboxRenames,
        changed: ChangedAccounts,
        settings: Settings,
    ) -> None:
        self._database = database
        self._vault = vault
        self._directory = directory
        self._client_of = client_of
        self._administration = administration
        self._gone = gone
        self._renames = renames
        self._changed = changed
        self._settings = settings
        # the first integration of a group -> monotonic seconds
        self._asked_at: dict[int, float] = {}
        # integration -> in how many checks its conversations get their inbox's new name again
        self._renamed: dict[int, int] = {}

    async def run(self) -> None:
        """Asks about those that are due, twice a second, once the directory is loaded."""
        while True:
            if self._directory.is_loaded:
                await self._check_due()
            await asyncio.sleep(_POLL_SECONDS)

    def problems(self) -> list[Text]:
        """What is wrong with active integrations, for `/readyz` and the status page."""
        found = sorted(self._directory.integrations.values(), key=lambda one: one.id)
        return [
            Problem.of("integration.named_problem", id=one.id, why=one.chatwoot_problem)
            for one in found
            if one.is_active and one.chatwoot_problem
        ]

    async def check_group(self, group: Sequence[Integration]) -> None:
        """Ask about integrations of one account and token, and keep what is wrong. Raises what the
        database raises.
        """
        found = await self._findings(group)
        for integration in group:
            if integration.id in found:
                await self._keep(integration, *found[integration.id])

    async def _check_due(self) -> None:
        limit = asyncio.Semaphore(_MAX_AT_ONCE)

        async def check(group: Sequence[Integration]) -> None:
            async with limit:
                try:
                    if self._changed.clear(group) or await self._claim(group):
                        await self.check_group(group)
                        for integration in group:
                            await self._gone.check(integration)
                except Unavailable:
                    return
                except OmniError as error:
                    _logger.info(
                        "integration not looked at",
                        integration_id=group[0].id,
                        reason=error.message,
                    )
                except Exception:  # an odd answer of one Chatwoot ends no check of the others
                    _logger.exception("integration not looked at", integration_id=group[0].id)

        async with asyncio.TaskGroup() as tasks:
            for group in self._due():
                tasks.create_task(check(group))

    def _due(self) -> list[list[Integration]]:
        groups: dict[tuple[str, int | None, str], list[Integration]] = defaultdict(list)
        for one in self._directory.integrations.values():
            if (
                one.is_active
                and one.is_proved
                and not one.problem
                and one.base_url
                and one.access_token
            ):
                groups[one.base_url, one.account_id, one.access_token].append(one)
        now = time.monotonic()
        due = [group for group in groups.values() if self._is_due(group, now)]
        self._asked_at = {
            group[0].id: self._asked_at.get(group[0].id, 0.0) for group in groups.values()
        }
        self._asked_at |= {group[0].id: now for group in due}
        return due

    def _is_due(self, group: Sequence[Integration], now: float) -> bool:
        asked_at = self._asked_at.get(group[0].id)
        every = self._interval_seconds(group)
        if self._changed.holds(group):
            every = min(every, _CHANGED_SECONDS)
        return asked_at is None or now - asked_at >= every

    def _interval_seconds(self, group: Sequence[Integration]) -> float:
        every = self._settings.integration_watch_seconds
        return min(every, _WRONG_SECONDS) if any(one.chatwoot_problem for one in group) else every

    async def _claim(self, group: Sequence[Integration]) -> bool:
        """One of all processes asks; another one's round a moment ago counts for this one."""
        first, every_us = group[0], int(self._interval_seconds(group) * SECOND / 2)

        async def claim(connection: Connection) -> bool:
            now_us = await self._database.clock.read(connection)
            return await integration_rows.claim_watch(connection, first.id, now_us, every_us)

        return await self._database.transaction(claim, attempts=1)

    async def _findings(
        self, group: Sequence[Integration]
    ) -> dict[int, tuple[Text | None, _Inbox]]:
        """integration -> (what is wrong, its inbox); nothing of those that could not be asked
        about.
        """
        client, account_id = self._client_of(group[0]), group[0].account_id or 0
        try:
            profile = await client.profile()
            judged = integration_checks.judge_account(profile, account_id)
            if wrong := next(
                (one.text for one in judged if one.state == "failed" and one.name == "account"),
                None,
            ):
                return {one.id: (wrong, _known(one)) for one in group}
            owner_id = parse_id(profile.get("id"))
            inboxes = {
                parse_id(inbox.get("id")): _inbox_of(inbox, owner_id)
                for inbox in await client.list_inboxes()
            }
            is_administrator = integration_checks.is_well(
                one for one in judged if one.name == "role"
            )
            hooks = await client.list_webhooks() if is_administrator else None
        except ChatwootRefused as error:
            if error.chatwoot_status not in (401, 403):
                return {}
            wrong = (
                Problem.of("token.refused_because", why=error.problem)
                if NOT_ACCEPTED in error.message
                else Problem.of("account.owner_refused", why=error.problem)
            )
            return {one.id: (wrong, _known(one)) for one in group}
        except ChatwootError:
            return {}
        return {one.id: await self._judge(one, inboxes, hooks) for one in group}

    async def _judge(
        self, one: Integration, inboxes: dict[Any, _Inbox], hooks: list[Json] | None
    ) -> tuple[Text | None, _Inbox]:
        if one.inbox_id is None:
            found = _of_all(inboxes.values())
        else:
            found = inboxes.get(one.inbox_id) or _known(one)
        if one.inbox_id is not None and one.inbox_id not in inboxes:
            return Problem.of("inbox.gone", inbox=one.inbox_id), found
        if hooks is None or not one.is_webhook_active:
            return None, found
        if (
            problem := await self._hook_problem(one, hooks)
        ) is None or not self._settings.webhook_repair:
            return problem, found
        try:
            await self._administration.register(server_actor(one.company_id, _SERVER), one.id)
        except OmniError as error:
            _logger.warning("webhook not put right", integration_id=one.id, reason=error.message)
            return problem, found
        _logger.warning("webhook put right", integration_id=one.id, problem=english(problem))
        return None, found

    async def _hook_problem(self, one: Integration, hooks: list[Json]) -> Text | None:
        overview = await self._database.read(
            lambda c: integration_rows.read_overview(c, self._vault, one.id, None)
        )
        if overview is None:
            return None
        own = overview.integration  # its secret may have been renewed since the directory was read
        webhook_url = self._settings.webhook_url_of(overview.webhook_mode, own.address_key)
        requires = self._settings.require_webhook_signature or own.unsigned == "refused"
        judged = integration_checks.judge_webhooks(
            hooks, webhook_url, own.secrets, requires_signature=requires
        )
        return next(
            (
                finding.text
                for finding in judged
                if finding.state == "failed" and finding.name in _WEBHOOK
            ),
            None,
        )

    async def _keep(self, one: Integration, problem: Text | None, inbox: _Inbox) -> None:
        known = encode(one.chatwoot_problem, MAX_PROBLEM_CHARACTERS)
        values = {
            "chatwoot_problem": encode(problem, MAX_PROBLEM_CHARACTERS),
            "inbox_name": inbox.name,
            "inbox_addresses": inbox.addresses,
            "token_user_id": inbox.owner_id,
        }
        if inbox.name is not None and (inbox.name != one.inbox_name or self._renamed.get(one.id)):
            await self._rename(one, inbox.name)
        if (known, _known(one)) == (values["chatwoot_problem"], inbox):
            return
        await self._database.transaction(
            lambda c: integration_rows.write_integration(c, self._vault, one.id, values)
        )
        await self._directory.refresh()
        if values["chatwoot_problem"] != known:
            said = english(problem) if problem else "put right"
            _logger.warning("integration", integration_id=one.id, problem=said)

    async def _rename(self, one: Integration, name: str) -> None:
        """Before the integration has the name: what fails is done again by the next check. And
        twice more: a process that has not read the integration yet gives new conversations the
        old name.
        """
        is_new = name != one.inbox_name
        await self._renames.rename(one, name)
        self._renamed[one.id] = _RENAMED_AGAIN if is_new else self._renamed[one.id] - 1
        if self._renamed[one.id]:
            self._changed.on_changed([one])
