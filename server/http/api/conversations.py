"""Conversations over REST: the polling fallback, exact, and what agents do in them."""

from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from server.access.authentication import Principal
from server.core.identifiers import MAX_ID, parse_digits
from server.core.state.entities import Json
from server.core.state.views import message_view
from server.core.wire.rest_schema import NewReply, ReadMark, StatusChange, SyncWish
from server.db.state.lists import Filters
from server.errors import BadRequest
from server.http.api.uploads import Uploads
from server.http.bodies import not_among, read_struct, to_struct
from server.http.guard import Guard
from server.http.responses import (
    json_answer,
    path_number,
    query_number,
)
from server.incoming.full_sync import FullSync
from server.message_observer import CARRIED, MessageObserver
from server.outgoing.reply_files import Upload
from server.outgoing.reply_intake import ReplyIntake
from server.outgoing.reply_wishes import Wish
from server.reading.inbox import STATUSES, Inbox, parse_place

MAX_LIMIT = 500
_PLATFORMS = ("facebook", "chatwoot")
_YES_NO = ("true", "false")
_encoder = msgspec.json.Encoder()


class Conversations:
    """Serves lists, threads and what agents do in a conversation."""

    def __init__(
        self,
        guard: Guard,
        inbox: Inbox,
        replies: ReplyIntake,
        sync: FullSync,
        uploads: Uploads,
        observer: MessageObserver,
    ) -> None:
        self._guard = guard
        self._inbox = inbox
        self._replies = replies
        self._sync = sync
        self._uploads = uploads
        self._observer = observer

    def routes(self) -> list[BaseRoute]:
        """The routes under `/api/conversations`, and the sync of a whole company."""
        snapshot, agent = self._guard.snapshot, self._guard.agent
        one = "/api/conversations/{id}"
        return [
            Route("/api/conversations", snapshot(self.list), methods=["GET"]),
            Route("/api/conversations/unread", snapshot(self.unread), methods=["GET"]),
            Route(f"{one}/messages", snapshot(self.thread), methods=["GET"]),
            Route(one, snapshot(self.read), methods=["GET"]),
            Route(one, agent(self.change), methods=["PATCH"]),
            Route(f"{one}/reply", agent(self.reply), methods=["POST"]),
            Route(f"{one}/read", agent(self.mark_read), methods=["POST"]),
            Route(f"{one}/messages/{{message_id}}/retry", agent(self.retry), methods=["POST"]),
            Route(f"{one}/messages/{{message_id}}/discard", agent(self.discard), methods=["POST"]),
            Route("/api/chatwoot/sync", agent(self.sync), methods=["POST"]),
        ]

    async def list(self, request: Request, principal: Principal) -> Response:
        """List all conversations, or with `limit` a page and a `Link` to the next."""
        filters, limit = _filters(request), query_number(request, "limit", MAX_LIMIT)
        if limit is None:
            pages = self._inbox.pages(principal.agent, filters)
            # before the answer begins: until here an error can still be told
            first: Sequence[Json] = await anext(pages, [])
            return StreamingResponse(_as_array(first, pages), media_type="application/json")
        page, place = await self._inbox.page(principal.agent, filters, limit)
        answer = json_answer(page)
        if place is not None:
            query = dict(request.query_params) | {"before": place}
            answer.headers["Link"] = f'<{request.url.path}?{urlencode(query)}>; rel="next"'
        return answer

    async def unread(self, request: Request, principal: Principal) -> Response:
        """Count unread messages. What is counted cannot be applied again: its cursor is the very
        place in the log that it was counted at.
        """
        counts, cursor = await self._inbox.unread(principal.agent)
        answer = json_answer(counts)
        if cursor is not None:
            answer.headers["Inbox-Cursor"] = str(cursor)
        return answer

    async def read(self, request: Request, principal: Principal) -> Response:
        """Return one conversation. Raises NotFound."""
        return json_answer(
            await self._inbox.conversation(principal.agent, path_number(request, "id"))
        )

    async def thread(self, request: Request, principal: Principal) -> Response:
        """Return a conversation's messages, the newest `limit` before the message `before`. Raises
        NotFound.
        """
        limit, before = (
            query_number(request, "limit", MAX_LIMIT),
            query_number(request, "before", MAX_ID),
        )
        return json_answer(
            await self._inbox.thread(
                principal.agent, path_number(request, "id"), limit=limit, before=before
            )
        )

    async def change(self, request: Request, principal: Principal) -> Response:
        """Open or close a conversation, and return it."""
        status = (await read_struct(request, StatusChange)).status
        return json_answer(
            await self._inbox.set_status(principal.agent, path_number(request, "id"), status)
        )

    async def mark_read(self, request: Request, principal: Principal) -> Response:
        """Mark a conversation read up to a message, and return it."""
        message_id = (await read_struct(request, ReadMark)).message_id
        return json_answer(
            await self._inbox.mark_read(principal.agent, path_number(request, "id"), message_id)
        )

    async def reply(self, request: Request, principal: Principal) -> Response:
        """Accept a reply, as JSON or with files as a form: 201, or 200 for one that was sent before
        with its key.
        """
        if not self._uploads.is_form(request):
            return await self._submit(request, principal, await read_struct(request, NewReply), [])
        async with self._uploads.read(request, principal.agent.id) as (fields, files):
            seen = fields.get("lastSeenMessageId", "")
            private = fields.get("private", "false")
            body: Json = {
                "content": fields.get("content", ""),
                "private": {"true": True, "false": False}.get(private, private),
            }
            for name, number in (
                ("lastSeenMessageId", seen),
                ("inReplyTo", fields.get("inReplyTo", "")),
            ):
                if number:
                    digits = parse_digits(number)
                    body[name] = number if digits is None else digits
            for name in ("cc", "bcc"):
                if fields.get(name):
                    body[name] = fields[name].split(",")
            return await self._submit(request, principal, to_struct(body, NewReply), files)

    async def _submit(
        self, request: Request, principal: Principal, reply: NewReply, files: Sequence[Upload]
    ) -> Response:
        key, fresh_key = request.headers.get("idempotency-key"), self._replies.fresh_key()
        with self._observer.taking_reply(key or fresh_key, request.headers.get(CARRIED)):
            message, is_new = await self._replies.submit(
                principal.agent,
                path_number(request, "id"),
                reply.content,
                key=key,
                fresh_key=fresh_key,
                last_seen=reply.last_seen_message_id,
                is_private=reply.private,
                uploads=files,
                wish=Wish(reply.in_reply_to, reply.cc, reply.bcc),
            )
        return json_answer(message_view(message), 201 if is_new else 200)

    async def retry(self, request: Request, principal: Principal) -> Response:
        """Send a reply that failed once more, and return its message."""
        message = await self._replies.retry(
            principal.agent, path_number(request, "id"), path_number(request, "message_id")
        )
        return json_answer(message_view(message))

    async def discard(self, request: Request, principal: Principal) -> Response:
        """Have a reply that failed sent no more, and return its message."""
        message = await self._replies.discard(
            principal.agent, path_number(request, "id"), path_number(request, "message_id")
        )
        return json_answer(message_view(message))

    async def sync(self, request: Request, principal: Principal) -> Response:
        """Compare the company, or one integration of it, with Chatwoot and wait for the end: an
        outcome for each integration.
        """
        wish = await read_struct(request, SyncWish)
        outcomes = await self._sync.sync_company(principal.company_id, wish.integration_id)
        return json_answer({"integrations": [outcome.view() for outcome in outcomes]})


async def _as_array(
    first: Sequence[Json], rest: AsyncIterator[Sequence[Json]]
) -> AsyncIterator[bytes]:
    """Encode pages of objects as one JSON array."""
    yield b"["
    written = _encoder.encode(first)[1:-1]
    yield written
    async for page in rest:
        more = _encoder.encode(page)[1:-1]
        yield b"," + more if written and more else more
        written = written or more
    yield b"]"


def _filters(request: Request) -> Filters:
    query = request.query_params
    status, platform = query.get("status") or None, query.get("platform") or None
    if status is not None and status not in STATUSES:
        raise BadRequest(not_among("status", STATUSES))
    if platform is not None and platform not in _PLATFORMS:
        raise BadRequest(not_among("platform", _PLATFORMS))
    unsent = query.get("unsent") or "false"
    if unsent not in _YES_NO:
        raise BadRequest(not_among("unsent", _YES_NO))
    q = query.get("q", "").strip()[:200] or None
    before = parse_place(query["before"]) if query.get("before") else None
    return Filters(status, platform, q, before, unsent == "true")
