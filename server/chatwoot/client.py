"""The way out to Chatwoot: its REST API, `/api/v1`, as one account and one access token see it.

Answers are plain decoded JSON; what they mean is read in `core.payloads`. Reads are tried again,
writes are not: Chatwoot has no idempotency, so after a lost answer only its list of messages can
tell. A status is the exception, as it is set by name.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx
import stamina

from server.chatwoot.answer_memory import (
    AnswerMemory,
    AnswerMemoryFull,
    HeldBytes,
    decoded_bytes,
    keep_held,
)
from server.chatwoot.answers import (
    IMPOSSIBLE,
    ChatwootError,
    ChatwootOutcomeUnknown,
    ChatwootTooLong,
    ChatwootUnanswered,
    ChatwootUnavailable,
    ChatwootUnexpected,
    JsonObject,
    check_status,
    decode_answer,
    failure_of,
)
from server.chatwoot.budget import RequestBudget
from server.chatwoot.decoding import ACCEPT_ENCODING, AnswerTooLong, read_bounded
from server.core.chatwoot.payloads import CLIENT_ID_KEY
from server.core.identifiers import MAX_SAFE_INTEGER

# messages carry up to 150,000 characters several times over, and a page of `after`+`before` up to
# 1,000 of them
UPLOAD_SECONDS = 60.0  # more than for other calls: 25 MB on 4 Mbit/s
MAX_ANSWER_BYTES = 64 * 1024 * 1024
ACTIVITY = "last_activity_at_desc"
LAST_ID = MAX_SAFE_INTEGER  # above every id there will be
# an answer to a window of ids is not cut below this; it has been 1,000 ever since windows exist
_ROWS_AT_LEAST = 100
_WAITED_FOR_SECONDS = 10.0  # how long somebody at the screen is kept waiting by further attempts
_FULL = "others fill the memory that is set aside for large answers"
_UNREACHABLE = "unreachable: the last attempt returns or raises"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `total` bounds one attempt as a whole, so that an answer dripping in cannot hold a
    caller. `work`: as long as Chatwoot may go on with a request whose client has left (its
    RACK_TIMEOUT_SERVICE_TIMEOUT).
    """

    connect: float = 5.0
    read: float = 15.0
    pool: float = 5.0
    total: float = 30.0
    work: float = 15.0


@dataclass(frozen=True, slots=True)
class ConversationPage:
    """Conversations of one answer, and how many there are in all."""

    rows: list[JsonObject]
    count: int


@dataclass(frozen=True, slots=True)
class ReadRetries:
    """How often and how long a GET is tried again; waits are jittered and double."""

    attempts: int = 3
    first_wait_seconds: float = 0.3
    longest_wait_seconds: float = 5.0
    timeout_seconds: float = 60.0


class ChatwootClient:
    """One integration's door to Chatwoot. Cheap to make: the connection pool, the budget and the
    memory that answers may take belong to somebody else.

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
        self._api = base_url.rstrip("/") + "/api/v1"
        self._account = f"/accounts/{account_id}"
        self._http = http
        self._budget = budget or RequestBudget()
        self._memory = memory or AnswerMemory()
        self._company_id = company_id
        timeouts = timeouts or Timeouts()
        self._total_seconds = timeouts.total
        self._work_seconds = timeouts.work
        self._timeout = httpx.Timeout(timeouts.read, connect=timeouts.connect, pool=timeouts.pool)
        self._retries = retries or ReadRetries()
        self.most_rows = _ROWS_AT_LEAST  # that an answer to a window of ids was ever seen to have
        # with hyphens: nginx drops header names with underscores, and Rails takes both
        self._headers = {
            "api-access-token": access_token,
            "Accept": "application/json",
            "Accept-Encoding": ACCEPT_ENCODING,
        }

    # -- who and what is there --

    async def profile(self) -> JsonObject:
        """The token's owner: id, name, email, role, `accounts` [{id, name, role, status}]. Holds
        secrets: never store or log it.
        """
        return _an_object(await self._get("/profile"), "id", "accounts")

    async def list_inboxes(self) -> list[JsonObject]:
        """All inboxes the token's owner may see: id, name, channel_type. An administrator's answer
        holds channel secrets.
        """
        return await self._list(f"{self._account}/inboxes", "payload")

    # -- webhooks (administrators only, otherwise ChatwootRefused 401) --

    async def list_webhooks(self) -> list[JsonObject]:
        """[{id, url, account_id, subscriptions, secret, name?, inbox?}]."""
        return await self._list(f"{self._account}/webhooks", "payload", "webhooks")

    async def create_webhook(
        self, url: str, subscriptions: list[str], *, name: str | None = None
    ) -> JsonObject:
        """The new webhook with its `secret`. 422 "Url has already been taken": look in
        `list_webhooks`.
        """
        body: JsonObject = {"url": url, "subscriptions": subscriptions} | (
            {"name": name} if name else {}
        )
        return _written_webhook(await self._write("POST", f"{self._account}/webhooks", body))

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
            await self._write("PATCH", f"{self._account}/webhooks/{webhook_id}", body)
        )

    async def delete_webhook(self, webhook_id: int) -> None:
        """Chatwoot answers with an empty body."""
        await self._budget.take(is_write=True)
        await self._exchange("DELETE", f"{self._account}/webhooks/{webhook_id}")

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
        rows = await self._list(
            f"{self._account}/conversations", "data", "payload", params=params, also=count.append
        )
        meta = _an_object(_an_object(count[0], "meta")["meta"], "all_count")
        return ConversationPage(
            rows, meta["all_count"] if isinstance(meta["all_count"], int) else 0
        )

    async def get_conversation(self, display_id: int) -> JsonObject:
        return _an_object(await self._get(self._conversation(display_id)), "id", "status")

    async def list_messages(
        self, display_id: int, low: int = 1, high: int = LAST_ID
    ) -> list[JsonObject]:
        """`low` <= id < `high`, the first 1,000 by their times. Read by `paging.py`, which finds
        out whether these are all.

        Activity messages (type 2) come here, though never by webhook.
        """
        return await self._list(
            self._conversation(display_id) + "/messages",
            "payload",
            params={"after": low, "before": high},
        )

    async def list_newest(self, display_id: int, *, before: int = LAST_ID) -> list[JsonObject]:
        """The last 20 by their times of those below an id: a look, which says nothing of what else
        there is.
        """
        return await self._list(
            self._conversation(display_id) + "/messages", "payload", params={"before": before}
        )

    # -- writing --

    def longest_seconds(self, *, has_files: bool = False) -> float:
        """One attempt is over after this, whatever Chatwoot does."""
        return self._total_seconds + (UPLOAD_SECONDS if has_files else 0.0)

    async def wait_turn(self) -> None:
        """Wait until the budget lets one more reply go; `send_message` then goes at once. Raises
        ChatwootUnavailable.
        """
        await self._budget.take(is_write=True)

    async def send_message(
        self,
        display_id: int,
        content: str,
        *,
        client_id: str,
        private: bool = False,
        files: Sequence[tuple[str, bytes, str]] = (),
    ) -> JsonObject:
        """Send a reply (or a note) once, marked with `client_id`; the message as Chatwoot stored
        it, with its `id`. The caller has waited with `wait_turn`: how long this takes is bounded by
        `longest_seconds`. `files`: (name, content, type).

        The marker comes back in content_attributes: in this answer, in webhooks and in
        `list_messages` (see `client_id_of`). It is what to look for after `ChatwootOutcomeUnknown`.
        """
        body: JsonObject = {
            "content": content,
            "message_type": "outgoing",
            "private": private,
            "content_attributes": {CLIENT_ID_KEY: client_id},
            "echo_id": client_id,
        }
        answer = await self._exchange(
            "POST", self._conversation(display_id) + "/messages", body=body, files=files
        )
        return _confirmed(_decoded(answer, is_write=True), "id")

    async def toggle_status(self, display_id: int, status: str) -> str:
        """Set `open`, `resolved`, `pending` or `snoozed`; the status it has now.

        With the token of an agent (not administrator), `open` also assigns the conversation to the
        token's owner. A named status is set and not toggled, so it may be asked for again when no
        answer came; a person waits for it.
        """
        async for attempt in self._attempts(
            _WAITED_FOR_SECONDS, ChatwootUnavailable, ChatwootOutcomeUnknown
        ):
            with attempt:
                answer = await self._write(
                    "POST", self._conversation(display_id) + "/toggle_status", {"status": status}
                )
                payload = _confirmed(_confirmed(answer, "payload")["payload"], "current_status")
                return str(payload["current_status"])
        raise AssertionError(_UNREACHABLE)

    async def update_last_seen(self, display_id: int) -> JsonObject | None:
        """All of it counts as seen by Chatwoot's agents; the conversation as it is then, where
        Chatwoot shows it. It sends no webhook for this, and may be asked again. Nobody waits for
        it: the last part of the budget is left to replies.
        """
        return await self._write_beside(self._conversation(display_id) + "/update_last_seen")

    async def mark_unread(self, display_id: int) -> None:
        """The customer's newest message counts as unseen again."""
        await self._write_beside(self._conversation(display_id) + "/unread")

    # -- the request itself --

    def _conversation(self, display_id: int) -> str:
        return f"{self._account}/conversations/{display_id}"

    async def _get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Tried again unless it was left without an answer: Chatwoot goes on with such a request,
        and a second one would double its work. The question is then not asked again, by anybody
        here, until Chatwoot has given it up.
        """
        question = f"{self._account}{path}?{params}"
        self._budget.check_open(question)
        try:
            return await self._ask(path, params)
        except ChatwootUnanswered:
            self._budget.close(question, self._work_seconds)
            raise

    async def _ask(self, path: str, params: Mapping[str, Any] | None) -> Any:
        async for attempt in self._attempts(self._retries.timeout_seconds, ChatwootUnavailable):
            with attempt:
                await self._budget.take(is_write=False)
                return _decoded(await self._exchange("GET", path, params=params), is_write=False)
        raise AssertionError(_UNREACHABLE)

    async def _list(
        self,
        path: str,
        *keys: str,
        params: Mapping[str, Any] | None = None,
        also: Callable[[JsonObject], object] = lambda parent: None,
    ) -> list[JsonObject]:
        """The list under these keys. What a large answer takes is counted as long as the list
        lives. `also` sees the object around it.
        """
        answer = await self._get(path, params)
        held: HeldBytes | None = getattr(answer, "held", None)
        for key in keys:
            parent, answer = answer, _an_object(answer, key)[key]
        also(parent)
        objects = _objects(answer)
        return objects if held is None else keep_held(objects, held)

    def _attempts(self, seconds: float, *on: type[ChatwootError]) -> AsyncIterator[stamina.Attempt]:
        """Tries for what may be asked again, the last of which raises what it met; none begins
        after so many seconds.
        """
        return aiter(
            stamina.retry_context(
                on=lambda problem: (
                    isinstance(problem, on) and not isinstance(problem, ChatwootUnanswered)
                ),
                attempts=self._retries.attempts,
                timeout=seconds,
                wait_initial=self._retries.first_wait_seconds,
                wait_max=self._retries.longest_wait_seconds,
                wait_jitter=self._retries.first_wait_seconds,
            )
        )

    async def _write(self, method: str, path: str, body: JsonObject) -> Any:
        await self._budget.take(is_write=True)
        return _decoded(await self._exchange(method, path, body=body), is_write=True)

    async def _write_beside(self, path: str) -> JsonObject | None:
        await self._budget.take(is_write=False)
        answer = await self._exchange("POST", path, body={})
        try:
            found = _decoded(answer, is_write=True)
        except ChatwootOutcomeUnknown:  # done, whatever it says of it
            return None
        return found if isinstance(found, dict) else None

    async def _exchange(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: JsonObject | None = None,
        files: Sequence[tuple[str, bytes, str]] = (),
    ) -> "_Body":
        """One request, one answer: the body of a 2xx, everything else raised in our words."""
        held = self._memory.hold(self._company_id)
        try:
            content = await self._answer_of(method, path, held, params, body, files)
        except BaseException:
            held.release()  # the exception may live for long, and this frame with it
            raise
        return _Body(content, held)

    async def _answer_of(
        self,
        method: str,
        path: str,
        held: HeldBytes,
        params: Mapping[str, Any] | None,
        body: JsonObject | None,
        files: Sequence[tuple[str, bytes, str]],
    ) -> bytes:
        is_write = method != "GET"
        try:
            async with asyncio.timeout(self.longest_seconds(has_files=bool(files))):
                told: dict[str, Any] = _form(body or {}, files) if files else {"json": body}
                request = self._http.build_request(
                    method,
                    self._api + path,
                    params=params,
                    headers=self._headers,
                    timeout=self._timeout,
                    **told,
                )
                head, answer = await self._read_answer(request, held, is_write=is_write)
        except (httpx.HTTPError, TimeoutError, *IMPOSSIBLE) as problem:
            # from None: an httpx error holds the request, and with it the token and the text
            raise failure_of(problem, is_write=is_write) from None
        if head.status_code == 429:
            self._budget.on_refused()
        is_quotable = head.extensions.get("is_quotable", True)
        location = head.headers.get("location", "")
        check_status(head.status_code, answer, location, is_write=is_write, is_quotable=is_quotable)
        return answer

    async def _read_answer(
        self, request: httpx.Request, held: HeldBytes, *, is_write: bool
    ) -> tuple[httpx.Response, bytes]:
        answer = await self._http.send(request, stream=True, follow_redirects=False)
        try:
            body = await read_bounded(answer, MAX_ANSWER_BYTES, held)
            await held.settle_at(decoded_bytes(body))
        except (AnswerTooLong, AnswerMemoryFull) as problem:
            if isinstance(problem, AnswerMemoryFull) and not problem.is_final:
                raise _too_much_at_once(is_write=is_write) from None
            if is_write:
                raise ChatwootOutcomeUnknown("Chatwoot's answer is far too long") from None
            raise ChatwootTooLong from None
        finally:
            await answer.aclose()
        return answer, body


class _Body(NamedTuple):
    """Of an answer, with the memory it takes."""

    content: bytes
    held: HeldBytes


def _decoded(body: _Body, *, is_write: bool) -> Any:
    try:
        answer = decode_answer(body.content, is_write=is_write)
    except BaseException:
        body.held.release()
        raise
    return keep_held(answer, body.held)


def _too_much_at_once(*, is_write: bool) -> ChatwootError:
    if is_write:
        return ChatwootOutcomeUnknown(f"Chatwoot's confirmation is large, and {_FULL}")
    return ChatwootUnavailable(f"Chatwoot's answer is large, and {_FULL}; try again in a moment")


def _form(body: JsonObject, files: Sequence[tuple[str, bytes, str]]) -> dict[str, Any]:
    """As multipart: Chatwoot reads booleans as words there, and content_attributes as JSON
    (message_builder.rb).
    """
    fields = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()
    }
    return {"data": fields, "files": [("attachments[]", file) for file in files]}


def client_id_of(message: Mapping[str, Any]) -> str | None:
    """Our marker in a message of a list, an answer or a webhook; None if it is not one of ours (or
    was deleted there).
    """
    attributes = message.get("content_attributes")
    marker = attributes.get(CLIENT_ID_KEY) if isinstance(attributes, dict) else None
    return marker if isinstance(marker, str) else None


def _an_object(answer: Any, *keys: str) -> JsonObject:
    if not isinstance(answer, dict) or any(key not in answer for key in keys):
        raise ChatwootUnexpected
    return answer


def _objects(answer: Any) -> list[JsonObject]:
    if not isinstance(answer, list) or any(not isinstance(item, dict) for item in answer):
        raise ChatwootUnexpected
    return answer


def _confirmed(answer: Any, *keys: str) -> JsonObject:
    if not isinstance(answer, dict) or any(key not in answer for key in keys):
        raise ChatwootOutcomeUnknown("Chatwoot's confirmation is not in the form it should have")
    return answer


def _written_webhook(answer: Any) -> JsonObject:
    return _confirmed(
        _confirmed(_confirmed(answer, "payload")["payload"], "webhook")["webhook"], "id", "url"
    )
