"""Files of replies between an agent's form and Chatwoot: kept in the database before the reply is,
dropped when Chatwoot has them.

They pass in pieces; a whole file is in memory only while it is sent, and only a few replies with
files are sent at a time.
"""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec

from server import log
from server.core.state.entities import Message
from server.core.state.upload_rules import FileLine
from server.db.engine.database import Database
from server.db.state import outgoing_files
from server.db.state.outgoing_files import PIECE_BYTES, OutgoingFile
from server.errors import Unavailable

_logger = log.get(__name__)
# uploads written at a time: their statements wait in the same lanes as everybody's
_KEPT_AT_ONCE = 4
_SENT_AT_ONCE = 4


class Upload(msgspec.Struct, frozen=True):
    """A file as it came: `read` gives at most so many bytes on, and none at its end."""

    line: FileLine
    read: Callable[[int], Awaitable[bytes]]


class Kept(msgspec.Struct, frozen=True):
    """Files in the database, not yet a reply's: `id` is where their pieces are."""

    id: str
    lines: tuple[FileLine, ...]


class ReplyFiles:
    """Stores files of replies, and reads them when a reply is sent."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keeping = asyncio.Semaphore(_KEPT_AT_ONCE)
        self._sending = asyncio.Semaphore(_SENT_AT_ONCE)

    @property
    def is_full(self) -> bool:
        """Whether as many replies with files are being sent as may be."""
        return self._sending.locked()

    async def keep(self, uploads: Sequence[Upload]) -> Kept:
        """Make the content durable. What never becomes a reply's goes by retention. Raises
        DatabaseUnavailable.
        """
        name = uuid.uuid4().hex
        async with self._keeping:
            return Kept(
                name,
                tuple(
                    [
                        await self._keep(name, position, upload)
                        for position, upload in enumerate(uploads)
                    ]
                ),
            )

    @asynccontextmanager
    async def of(self, message: Message) -> AsyncIterator[Sequence[OutgoingFile] | None]:
        """The files of a reply that is to be sent, none for most; None when they are not kept any
        more.
        """
        if not message.attachments:
            yield ()
            return
        async with self._sending:
            found = []
            for position in range(len(message.attachments)):
                one = await self.read(message.id, position)
                if one is None:
                    break
                found.append(one)
            yield found if len(found) == len(message.attachments) else None

    async def read(self, message_id: int, position: int) -> OutgoingFile | None:
        """One file with its content; None where it is not kept any more."""
        return await self._database.read(
            lambda c: outgoing_files.read_file(c, message_id, position)
        )

    async def drop(self, message_id: int) -> None:
        """Chatwoot has them; what cannot be dropped now goes by retention."""
        try:
            await self._database.transaction(lambda c: outgoing_files.drop_content(c, message_id))
        except Unavailable:
            _logger.info("files of a sent reply are dropped later", message_id=message_id)

    async def _keep(self, name: str, position: int, upload: Upload) -> FileLine:
        digest, piece = hashlib.sha256(), 0
        while content := await upload.read(PIECE_BYTES):
            digest.update(content)
            await self._write(name, position, piece, content)
            piece += 1
        return msgspec.structs.replace(upload.line, digest=digest.hexdigest())

    async def _write(self, name: str, position: int, piece: int, content: bytes) -> None:
        now_us = self._database.clock.now_us()
        await self._database.transaction(
            lambda c: outgoing_files.write_piece(c, name, position, piece, content, now_us),
            held_bytes=len(content),
        )
