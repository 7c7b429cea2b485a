"""The client of Chatwoot: its REST API, `/api/v1`, as one account and one access token see it.

Answers are plain decoded JSON; what they mean is read in `core.payloads`. Reads are tried again,
writes are not: Chatwoot has no idempotency, so after a lost answer only its list of messages can
tell. A status is the exception, as it is set by name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from server.chatwoot.account_requests import (
    UNREACHABLE,
    AccountRequests,
    ReadRetries,
    Timeouts,
    an_object,
    decoded,
)
from server.chatwoot.answer_memory import AnswerMemory
from server.chatwoot.answers import (
    ChatwootOutcomeUnknown,
    ChatwootUnavailable,
    JsonObject,
)
from server.chatwoot.budget import RequestBudget
from server.core.chatwoot.message_payloads import CLIENT_ID_KEY
from server.core.identifiers import MAX_SAFE_INTEGER

ACTIVITY = "last_activity_at_desc"
LAST_ID = MAX_SAFE_INTEGER  # above every id there will be
# an answer to a window of ids is not cut below this; it has been 1,000 ever since windows exist
_MIN_WINDOW_ROWS = 100
_WAITED_FOR_SECONDS = 10.0  # how long somebody at the screen is kept waiting by further attempts


@dataclass(frozen=True, slots=True)
class ConversationPage:
    """Conversations of one answer, and how many there are in all."""

    rows: list[JsonObject]
    count: int


class ChatwootClient:
    """Calls Chatwoot's REST API for one integration.

    Cheap to make: the connection pool, the budget and the memory that answers may take are shared.

    Every method raises `ChatwootRefused` (final) or `ChatwootUnavailable` (nothing was done, try
    later); reads also `ChatwootUnexpected`, writes `ChatwootOutcomeUnknown`. Cancelling a read is
    safe; after cancelling a write its outcome is unknown.
    """

    def __init__(
        self,
        *,
        base_url: str,
        account_id: int,
        access_token: str,
        http: httpx.AsyncClient,
        budget: RequestBudget | None = None,
        memory: AnswerMemory | None = None,
        company_id: int = 0,
        timeouts: Timeouts | None = None,
        retries: ReadRetries | None = None,
    ) -> None:
        self._account = f"/accounts/{account_id}"
        self._budget = budget or RequestBudget()
        self._requests = AccountRequests(
            base_url=base_url,
            account_id=account_id,
            access_token=access_token,
            http=http,
            budget=self._budget,
            memory=memory or AnswerMemory(),
            company_id=company_id,
            timeouts=timeouts or Timeouts(),
            retries=retries or ReadRetries(),
        )
        self.most_rows = _MIN_WINDOW_ROWS  # that an answer to a window of ids was ever seen to have

    # -- who and what is there --

    async def profile(self) -> JsonObject:
        """The token's owner: id, name, email, role, `accounts` [{id, name, role, status}]. Holds
        secrets: never store or log it.
        """
        return an_object(await self._requests.get("/profile"), "id", "accounts")

    async def list_inboxes(self) -> list[JsonObject]:
        """All inboxes the token's owner may see: id, name, channel_type. An administrator's answer
        holds channel secrets.
        """
        return await self._requests.get_list(f"{self._account}/inboxes", "payload")

    async def list_agents(self) -> list[JsonObject]:
        """The people of the account: id, name, email, role. Any token may ask (agent_policy.rb)."""
        return await self._requests.get_list(f"{self._account}/agents")

    async def list_teams(self) -> list[JsonObject]:
        """The account's teams: id, name. Any token may ask (team_policy.rb)."""
        return await self._requests.get_list(f"{self._account}/teams")

    # -- webhooks (administrators only, otherwise ChatwootRefused 401) --

    async def list_webhooks(self) -> list[JsonObject]:
        """[{id, url, account_id, subscriptions, secret, name?, inbox?}]."""
        return await self._requests.get_list(f"{self._account}/webhooks", "payload", "webhooks")

    async def create_webhook(
        self, url: str, subscriptions: list[str], *, name: str | None = None
    ) -> JsonObject:
        """The new webhook with its `secret`. 422 "Url has already been taken": look in
        `list_webhooks`.
        """
        body: JsonObject = {"url": url, "subscriptions": subscriptions} | (
            {"name": name} if name else {}
        )
        return _written_webhook(
            await self._requests.write("POST", f"{self._account}/webhooks", body)
        )

    async def update_webhook(
        self, webhook_id: int, *, url: str | None = None, subscriptions: list[str] | None = None
    ) -> JsonObject:
        """The webhook as it is now; its secret does not change."""
        body: JsonObject = {}
        if url is not None:
            body["url"] = url
        if subscriptions is not None:
            body["subscriptions"] = subscriptions
        return _written_webhook(
            await self._requests.write("PATCH", f"{self._account}/webhooks/{webhook_id}", body)
        )

    async def delete_webhook(self, webhook_id: int) -> None:
        """Chatwoot answers with an empty body."""
        await self._budget.acquire(is_write=True)
        await self._requests.exchange("DELETE", f"{self._account}/webhooks/{webhook_id}")

    # -- conversations --

    async def list_conversations(
        self,
        page: int = 1,
        *,
        inbox_id: int | None = None,
        order: str = ACTIVITY,
        status: str = "all",
    ) -> ConversationPage:
        """A page of all states, or of one, with the count of all. Read by `listing.py`, which knows
        what a page does not say.
        """
        return await self._conversations(
            {"status": status, "sort_by": order, "page": page}, inbox_id
        )

    async def list_updated(
        self, within_seconds: int, *, inbox_id: int | None = None
    ) -> list[JsonObject]:
        """All conversations that changed within so many seconds, unpaged: Chatwoot takes 20 ms for
        each, and fails after 15 s.
        """
        params = {"status": "all", "sort_by": ACTIVITY, "page": 1, "updated_within": within_seconds}
        return (await self._conversations(params, inbox_id)).rows

    async def _conversations(
        self, params: dict[str, Any], inbox_id: int | None
    ) -> ConversationPage:
        params |= {} if inbox_id is None else {"inbox_id": inbox_id}
        count: list[Any] = []
        rows = await self._requests.get_list(
            f"{self._account}/conversations", "data", "payload", params=params, also=count.append
        )
        meta = an_object(an_object(count[0], "meta")["meta"], "all_count")
        return ConversationPage(
            rows, meta["all_count"] if isinstance(meta["all_count"], int) else 0
        )

    async def get_conversation(self, display_id: int) -> JsonObject:
        """A conversation as Chatwoot shows it; refused with 404 where there is none."""
        return an_object(await self._requests.get(self._conversation(display_id)), "id", "status")

    async def list_messages(
        self, display_id: int, low: int = 1, high: int = LAST_ID
    ) -> list[JsonObject]:
        """`low` <= id < `high`, the first 1,000 by their times. Read by `paging.py`, which finds
        out whether these are all.

        Activity messages (type 2) come here, though never by webhook.
        """
        return await self._requests.get_list(
            self._conversation(display_id) + "/messages",
            "payload",
            params={"after": low, "before": high},
        )

    async def list_newest(self, display_id: int, *, before: int = LAST_ID) -> list[JsonObject]:
        """The last 20 by their times of those below an id: a look, which says nothing of what else
        there is.
        """
        return await self._requests.get_list(
            self._conversation(display_id) + "/messages", "payload", params={"before": before}
        )

    # -- writing --

    def longest_seconds(self, *, has_files: bool = False) -> float:
        """One attempt is over after this, whatever Chatwoot does."""
        return self._requests.longest_seconds(has_files=has_files)

    async def wait_turn(self) -> None:
        """Wait until the budget lets one more reply go; `send_message` then goes at once. Raises
        ChatwootUnavailable.
        """
        await self._budget.acquire(is_write=True)

    async def send_message(
        self,
        display_id: int,
        content: str,
        *,
        client_id: str,
        private: bool = False,
        files: Sequence[tuple[str, bytes, str]] = (),
        quoted: int | None = None,
        copies: Mapping[str, Sequence[str]] | None = None,
    ) -> JsonObject:
        """Send a reply (or a note) once, marked with `client_id`; the message as Chatwoot stored
        it, with its `id`. The caller has waited with `wait_turn`: how long this takes is bounded by
        `longest_seconds`. `files`: (name, content, type); `quoted`: the message it answers;
        `copies`: addresses of an e-mail under `cc`, `bcc`.

        The marker comes back in content_attributes: in this answer, in webhooks and in
        `list_messages` (see `client_id_of`). It is what to look for after `ChatwootOutcomeUnknown`.
        """
        body: JsonObject = {
            "content": content,
            "message_type": "outgoing",
            "private": private,
            "content_attributes": {CLIENT_ID_KEY: client_id}
            | ({} if quoted is None else {"in_reply_to": quoted}),
            "echo_id": client_id,
        } | {f"{kind}_emails": ",".join(found) for kind, found in (copies or {}).items() if found}
        answer = await self._requests.exchange(
            "POST", self._conversation(display_id) + "/messages", body=body, files=files
        )
        return _confirmed(decoded(answer, is_write=True), "id")

    async def retry_message(self, display_id: int, message_id: int) -> JsonObject:
        """Have Chatwoot hand a message that its channel refused to the channel once more; the
        message as it is then. Newer Chatwoots do nothing where it has not failed, older ones send
        it whatever its state is (messages_controller.rb, `retry`): look first. The caller has
        waited with `wait_turn`.
        """
        path = f"{self._conversation(display_id)}/messages/{message_id}/retry"
        answer = await self._requests.exchange("POST", path, body={})
        return _confirmed(decoded(answer, is_write=True), "id")

    async def toggle_status(self, display_id: int, status: str) -> str:
        """Set `open`, `resolved`, `pending` or `snoozed`; the status it has now.

        With the token of an agent (not administrator), `open` also assigns the conversation to the
        token's owner. A named status is set and not toggled, so it may be asked for again when no
        answer came; a person waits for it.
        """
        async for attempt in self._requests.attempts(
            _WAITED_FOR_SECONDS, ChatwootUnavailable, ChatwootOutcomeUnknown
        ):
            with attempt:
                answer = await self._requests.write(
                    "POST", self._conversation(display_id) + "/toggle_status", {"status": status}
                )
                payload = _confirmed(_confirmed(answer, "payload")["payload"], "current_status")
                return str(payload["current_status"])
        raise AssertionError(UNREACHABLE)

    async def update_last_seen(self, display_id: int) -> JsonObject | None:
        """All of it counts as seen by Chatwoot's agents; the conversation as it is then, where
        Chatwoot shows it. It sends no webhook for this, and may be asked again. Nobody waits for
        it: the last part of the budget is left to replies.
        """
        return await self._requests.write_beside(
            self._conversation(display_id) + "/update_last_seen"
        )

    async def toggle_typing(self, display_id: int, *, on: bool) -> None:
        """The customer is shown that an agent types, or no longer, where the channel can show it.
        Nobody waits for it. Chatwoot's webhook tells it back as typing of the token's owner.
        """
        path = self._conversation(display_id) + "/toggle_typing_status"
        body = {"typing_status": "on" if on else "off", "is_private": False}
        await self._requests.write_beside(path, body)

    async def mark_unread(self, display_id: int) -> None:
        """The customer's newest message counts as unseen again."""
        await self._requests.write_beside(self._conversation(display_id) + "/unread")

    def _conversation(self, display_id: int) -> str:
        return f"{self._account}/conversations/{display_id}"


def client_id_of(message: Mapping[str, Any]) -> str | None:
    """Our marker in a message of a list, an answer or a webhook; None if it is not one of ours (or
    was deleted there).
    """
    attributes = message.get("content_attributes")
    marker = attributes.get(CLIENT_ID_KEY) if isinstance(attributes, dict) else None
    return marker if isinstance(marker, str) else None


def _confirmed(answer: Any, *keys: str) -> JsonObject:
    if not isinstance(answer, dict) or any(key not in answer for key in keys):
        raise ChatwootOutcomeUnknown("Chatwoot's confirmation is not in the form it should have")
    return answer


def _written_webhook(answer: Any) -> JsonObject:
    return _confirmed(
        _confirmed(_confirmed(answer, "payload")["payload"], "webhook")["webhook"], "id", "url"
    )
