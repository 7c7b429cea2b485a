"""Attachments over REST: an agent reads the files of their company's messages through us, and never
from a foreign address.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from server import log
from server.access.authentication import Principal
from server.chatwoot.files import WHOLE_SECONDS, Files, OpenFile
from server.core.chatwoot.attachment_payloads import MAIL
from server.core.state.attachment_rules import address_of, checked_range, find_part, shown_as
from server.db.engine.database import Database
from server.db.state import store
from server.errors import AttachmentUnavailable, NotFound, TooManyRequests
from server.http.guard import Guard
from server.http.responses import path_number
from server.integrations.directory import Directory
from server.outgoing.reply_files import ReplyFiles

_logger = log.get(__name__)
# files one agent fetches at a time: a browser opens six connections, and there may be two of them
_MAX_AGENT_FILES = 12
# of the 60 connections that all companies share: slow files of one leave room for the others
_MAX_COMPANY_FILES = 40


class Attachments:
    """Serves the files of messages to agents of their company."""

    def __init__(
        self,
        guard: Guard,
        database: Database,
        directory: Directory,
        files: Files,
        reply_files: ReplyFiles,
    ) -> None:
        self._guard = guard
        self._database = database
        self._directory = directory
        self._files = files
        self._reply_files = reply_files
        self._under_way: Counter[tuple[str, int]] = Counter()

    def routes(self) -> list[BaseRoute]:
        """The routes of a message's file and its preview."""
        one = "/api/attachments/{message_id}/{index}"
        return [
            Route(one, self._guard.agent(self.file), methods=["GET"]),
            Route(f"{one}/thumb", self._guard.agent(self.thumb), methods=["GET"]),
        ]

    async def file(self, request: Request, principal: Principal) -> Response:
        """Stream a file, or the range that was asked for. Raises NotFound, TooManyRequests,
        AttachmentUnavailable.
        """
        return await self._answer(request, principal, is_thumb=False)

    async def thumb(self, request: Request, principal: Principal) -> Response:
        """Stream the preview of a file, as `file` does."""
        return await self._answer(request, principal, is_thumb=True)

    async def _answer(self, request: Request, principal: Principal, *, is_thumb: bool) -> Response:
        message_id, index = path_number(request, "message_id"), request.path_params["index"]
        found = await self._database.read(
            lambda c: store.read_message_with_integration(c, principal.company_id, message_id)
        )
        if found is None or (place := find_part(found[0].attachments, index)) is None:
            raise NotFound
        message, integration_id = found
        attachment = message.attachments[place]
        if attachment.id is None and attachment.url is None and message.client_id is not None:
            return await self._unsent_file(message.id, place)
        url = address_of(attachment, is_thumb=is_thumb)
        if url is None:
            raise NotFound
        integration = self._directory.of_company(principal.company_id, integration_id)
        end = self._begin(principal)
        opened: OpenFile | None = None
        try:
            opened = await self._files.open(
                url,
                integration.base_url if integration else "",
                checked_range(request.headers.get("range")),
                is_by_sender=message.content_type == MAIL and attachment.id is None,
            )
            return _FileAnswer(opened, attachment.name, end)
        except BaseException:
            end()
            if opened is not None:
                await opened.close()
            raise

    async def _unsent_file(self, message_id: int, position: int) -> Response:
        """Answer with a file of a reply that Chatwoot does not have yet. Raises NotFound."""
        file = await self._reply_files.read(message_id, position)
        if file is None:
            raise NotFound
        headers = shown_as(file.line.content_type, file.line.name)
        # Chatwoot's order of them may be another one: the address is somebody else's then
        return Response(file.content, headers=headers | {"Cache-Control": "no-store"})

    def _begin(self, principal: Principal) -> Callable[[], None]:
        """Count one more file of the agent and of the company; the returned call ends that. Raises
        TooManyRequests.
        """
        agent, company = ("agent", principal.agent.id), ("company", principal.company_id)
        if (
            self._under_way[agent] >= _MAX_AGENT_FILES
            or self._under_way[company] >= _MAX_COMPANY_FILES
        ):
            raise TooManyRequests("Too many files at once; wait for the others")
        self._under_way.update((agent, company))

        def end() -> None:
            self._under_way.subtract((agent, company))
            for place in (agent, company):
                if self._under_way[place] <= 0:
                    del self._under_way[place]

        return end


class _FileAnswer(StreamingResponse):
    """Streams the file as it comes. Ended whatever happens: a client that goes away leaves no
    connection to the storage behind.
    """

    def __init__(self, opened: OpenFile, name: str | None, on_end: Callable[[], None]) -> None:
        super().__init__(
            opened.chunks(), opened.status, shown_as(opened.content_type, name) | opened.headers
        )
        self._opened = opened
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            # also while the client does not read: the storage's connection is everybody's
            async with asyncio.timeout(WHOLE_SECONDS):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            _logger.warning("attachment broke off", reason="it took too long")
        # the answer has begun: it ends short of its length, which clients see
        except AttachmentUnavailable as error:
            _logger.warning("attachment broke off", reason=error.message)
        finally:
            self._on_end()
            await self._opened.close()
