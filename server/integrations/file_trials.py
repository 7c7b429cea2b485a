"""Trying a file of Chatwoot's: their addresses have the host of its FRONTEND_URL, which need not be
the one it is connected at.
"""

import asyncio
from collections.abc import Callable

from server.chatwoot import ChatwootClient, ChatwootError
from server.chatwoot.files import Files, NotPassedOn
from server.core.chatwoot import file_hosts
from server.core.checks.integration_checks import Finding
from server.db.access.integration_record import Integration
from server.errors import AttachmentUnavailable, NotFound

_SECONDS = 8.0  # for all of it
_MAX_CONVERSATIONS, _MAX_FILES = 3, 3


class FileTrial:
    """Opens one of the newest files, and reads nothing of it."""

    def __init__(self, client_of: Callable[[Integration], ChatwootClient], files: Files) -> None:
        self._client_of = client_of
        self._files = files

    async def try_files(self, own: Integration, inbox_id: int | None) -> Finding | None:
        """None where there is no file to try, or Chatwoot does not say: that is no fault of its
        files.
        """
        try:
            async with asyncio.timeout(_SECONDS):
                found = None
                for url in (await self._addresses(own, inbox_id))[:_MAX_FILES]:
                    if (is_open := await self._opens(url, own.base_url)) is not None:
                        found = file_hosts.judge(own.base_url, url, is_open=is_open)
                    if is_open:
                        break
                return found
        except (ChatwootError, TimeoutError):
            return None

    async def _addresses(self, own: Integration, inbox_id: int | None) -> list[str]:
        client = self._client_of(own)
        rows = (await client.list_conversations(inbox_id=inbox_id)).rows
        listed = [one for row in rows for one in row.get("messages") or () if isinstance(one, dict)]
        if found := file_hosts.addresses(listed):
            return found
        for row in rows[:_MAX_CONVERSATIONS]:
            if isinstance(number := row.get("id"), int) and (
                found := file_hosts.addresses(await client.list_newest(number))
            ):
                return found
        return []

    async def _opens(self, url: str, base_url: str) -> bool | None:
        """None of one that is gone, which says nothing of the others."""
        try:
            opened = await self._files.open(url, base_url, None)
        except NotFound:
            return None
        except NotPassedOn:
            return True
        except AttachmentUnavailable:
            return False
        await opened.close()
        return True
