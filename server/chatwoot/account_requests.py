"""One request to Chatwoot and its answer: the budget, the time it may take, the memory its answer
may fill, the attempts of a read, and every failure in our words.
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

UPLOAD_SECONDS = 60.0  # more than for other calls: 25 MB on 4 Mbit/s
# messages carry up to 150,000 characters several times over, and a page of `after`+`before` up to
# 1,000 of them
MAX_ANSWER_BYTES = 64 * 1024 * 1024
UNREACHABLE = "unreachable: the last attempt returns or raises"
_FULL = "others fill the memory that is set aside for large answers"


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
class ReadRetries:
    """How often and how long a GET is tried again; waits are jittered and double."""

    attempts: int = 3
    first_wait_seconds: float = 0.3
    longest_wait_seconds: float = 5.0
    timeout_seconds: float = 60.0


class AccountRequests:
    """Requests of one access token to one account."""

    def __init__(
        self,
        *,
        base_url: str,
        account_id: int,
        access_token: str,
        http: httpx.AsyncClient,
        budget: RequestBudget,
        memory: AnswerMemory,
        company_id: int,
        timeouts: Timeouts,
        retries: ReadRetries,
    ) -> None:
        self._api = base_url.rstrip("/") + "/api/v1"
        self._account = f"/accounts/{account_id}"
        self._http = http
        self._budget = budget
        self._memory = memory
        self._company_id = company_id
        self._total_seconds = timeouts.total
        self._work_seconds = timeouts.work
        self._timeout = httpx.Timeout(timeouts.read, connect=timeouts.connect, pool=timeouts.pool)
        self._retries = retries
        # with hyphens: nginx drops header names with underscores, and Rails takes both
        self._headers = {
            "api-access-token": access_token,
            "Accept": "application/json",
            "Accept-Encoding": ACCEPT_ENCODING,
        }

    def longest_seconds(self, *, has_files: bool = False) -> float:
        """One attempt is over after this, whatever Chatwoot does."""
        return self._total_seconds + (UPLOAD_SECONDS if has_files else 0.0)

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Read something, and try again unless it was left without an answer.

        Chatwoot goes on with such a request, and a second one would double its work. The question
        is then not asked again, by anybody here, until Chatwoot has given it up.
        """
        question = f"{self._account}{path}?{params}"
        self._budget.check_open(question)
        try:
            return await self._ask(path, params)
        except ChatwootUnanswered:
            self._budget.close(question, self._work_seconds)
            raise

    async def _ask(self, path: str, params: Mapping[str, Any] | None) -> Any:
        async for attempt in self.attempts(self._retries.timeout_seconds, ChatwootUnavailable):
            with attempt:
                await self._budget.acquire(is_write=False)
                return decoded(await self.exchange("GET", path, params=params), is_write=False)
        raise AssertionError(UNREACHABLE)

    async def get_list(
        self,
        path: str,
        *keys: str,
        params: Mapping[str, Any] | None = None,
        also: Callable[[JsonObject], object] = lambda parent: None,
    ) -> list[JsonObject]:
        """Read the list under these keys. What a large answer takes is counted as long as the list
        lives. `also` sees the object around it.
        """
        answer = await self.get(path, params)
        held: HeldBytes | None = getattr(answer, "held", None)
        parent: JsonObject = {}
        for key in keys:
            parent, answer = answer, an_object(answer, key)[key]
        also(parent)
        objects = _objects(answer)
        return objects if held is None else keep_held(objects, held)

    def attempts(self, seconds: float, *on: type[ChatwootError]) -> AsyncIterator[stamina.Attempt]:
        """Yields attempts at what may be asked again, the last of which raises its error; none
        begins after so many seconds.
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

    async def write(self, method: str, path: str, body: JsonObject) -> Any:
        """Write something. Returns the answer; raises ChatwootOutcomeUnknown without one."""
        await self._budget.acquire(is_write=True)
        return decoded(await self.exchange(method, path, body=body), is_write=True)

    async def write_beside(self, path: str, body: JsonObject | None = None) -> JsonObject | None:
        """Write something that nobody waits for. Returns its answer where it has one."""
        await self._budget.acquire(is_write=False)
        answer = await self.exchange("POST", path, body=body or {})
        try:
            found = decoded(answer, is_write=True)
        except ChatwootOutcomeUnknown:  # done, whatever it says of it
            return None
        return found if isinstance(found, dict) else None

    async def exchange(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: JsonObject | None = None,
        files: Sequence[tuple[str, bytes, str]] = (),
    ) -> "Body":
        """Send one request. Returns the body of a 2xx; everything else is raised in our words."""
        held = self._memory.hold(self._company_id)
        try:
            content = await self._answer_of(method, path, held, params, body, files)
        except BaseException:
            held.release()  # the exception may live for long, and this frame with it
            raise
        return Body(content, held)

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


class Body(NamedTuple):
    """The bytes of an answer, with the memory that is reserved for them."""

    content: bytes
    held: HeldBytes


def decoded(body: Body, *, is_write: bool) -> Any:
    """The JSON of an answer, which holds its memory as long as it lives."""
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


def an_object(answer: Any, *keys: str) -> JsonObject:
    """The answer, where it is an object with these keys. Raises ChatwootUnexpected."""
    if not isinstance(answer, dict) or any(key not in answer for key in keys):
        raise ChatwootUnexpected
    return answer


def _objects(answer: Any) -> list[JsonObject]:
    if not isinstance(answer, list) or any(not isinstance(item, dict) for item in answer):
        raise ChatwootUnexpected
    return answer
