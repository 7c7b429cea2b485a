"""A reply with files, as a browser's form sends it: read to disk within limits, checked, and given
on in pieces.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from server.core.identifiers import parse_digits
from server.core.state.upload_rules import MAX_FILES, checked_file
from server.errors import (
    BadRequest,
    TooLarge,
    TooManyRequests,
    Unprocessable,
)
from server.outgoing.reply_files import Upload

_FORM = "multipart/form-data"
_MAX_FIELDS = 10
_MAX_TEXT_BYTES = 1_000_000  # a reply has up to 150,000 characters of four bytes
_MAX_AGENT_UPLOADS = 2  # uploads of one agent at a time
_MAX_UPLOAD_SECONDS = 600.0  # a phone on a slow line; longer holds a file on our disk for nobody


class Uploads:
    """Reads forms with files; `max_bytes` is the largest body."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._under_way: Counter[int] = Counter()

    @staticmethod
    def is_form(request: Request) -> bool:
        """Whether the request's body is a form that may have files."""
        return request.headers.get("content-type", "").lower().startswith(_FORM)

    @asynccontextmanager
    async def read(
        self, request: Request, agent_id: int
    ) -> AsyncIterator[tuple[dict[str, str], list[Upload]]]:
        """Yield the text fields, and the files under `attachments`; the files are gone afterwards.
        Raises what says why they are not accepted.
        """
        if self._under_way[agent_id] >= _MAX_AGENT_UPLOADS:
            raise TooManyRequests("Two uploads are under way already; wait for them")
        self._under_way[agent_id] += 1
        try:
            form = await self._form(request)
            try:
                yield _fields(form), _files(form)
            finally:
                await form.close()
        finally:
            self._under_way[agent_id] -= 1
            if not self._under_way[agent_id]:
                del self._under_way[agent_id]

    async def _form(self, request: Request) -> FormData:
        length = parse_digits(request.headers.get("content-length", ""))
        if length is not None and length > self._max_bytes:
            raise TooLarge(
                f"The files have {length:,} bytes together; at most {self._max_bytes:,} are taken"
            )
        size = 0

        async def receive() -> Message:
            nonlocal size
            message = await request.receive()
            size += len(message.get("body", b""))
            if size > self._max_bytes:
                raise TooLarge(f"The files are larger than {self._max_bytes:,} bytes together")
            return message

        limited = Request(request.scope, receive)
        try:
            async with asyncio.timeout(_MAX_UPLOAD_SECONDS):
                return await limited.form(
                    max_files=MAX_FILES + 1,
                    max_fields=_MAX_FIELDS,
                    max_part_size=_MAX_TEXT_BYTES,
                )
        except TimeoutError:
            raise BadRequest("The files did not come in time") from None
        except HTTPException as error:
            if "files" in error.detail:
                raise _too_many() from None
            raise BadRequest(f"The form cannot be read: {error.detail}") from None


def _fields(form: FormData) -> dict[str, str]:
    return {name: value for name, value in form.multi_items() if isinstance(value, str)}


def _files(form: FormData) -> list[Upload]:
    files = [(name, value) for name, value in form.multi_items() if isinstance(value, UploadFile)]
    if len(files) > MAX_FILES:
        raise _too_many()
    if any(name not in ("attachments", "attachments[]") for name, _ in files):
        raise BadRequest("Files go under the name attachments")
    return [
        Upload(checked_file(file.filename, file.content_type, file.size or 0), file.read)
        for _, file in files
    ]


def _too_many() -> Unprocessable:
    return Unprocessable(f"A reply has at most {MAX_FILES} files")
