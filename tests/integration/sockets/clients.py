"""What several of these tests do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.socket_client import AgentSocket


@contextlib.asynccontextmanager
async def silent(socket: AgentSocket) -> AsyncIterator[AgentSocket]:
    """Connected, without hello."""
    async with asyncio.TaskGroup() as group:
        socket._tasks = group
        await socket.open()
        yield socket
        await socket.close()


async def head_after(company: Company, messages: int, limit: float = 5.0) -> int:
    """The head once so many messages are in."""

    async def head() -> int | None:
        rows = await company.rows(
            "SELECT COUNT(*) FROM social_messages m JOIN social_conversations c ON c.id = "
            "m.conversation_id WHERE c.company_id = :c",
            c=company.id,
        )
        return await company.head() if rows[0][0] == messages else None

    return await eventually(head, limit)
