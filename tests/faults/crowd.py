"""Clients of a cluster: one with a whole view of the inbox, or many lean ones."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx

from tests.faults.cluster import COMPANY
from tests.faults.lean_agent import LeanAgent
from tests.kit.client_model import ClientModel
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.socket_client import AgentSocket


async def fetch_snapshot(server: Omni, company_id: int = COMPANY) -> ClientModel:
    """A fresh client's whole view."""
    model = ClientModel()
    async with server.client(server.token(company_id)) as http:
        conversations = await _get(http, "/api/conversations")
        for conversation in conversations:
            model.load([await _get(http, f"/api/conversations/{conversation['id']}/messages")])
    return model


async def _get(http: httpx.AsyncClient, path: str) -> Any:
    answer = await http.get(path)
    assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
    return answer.json()


def follow(
    server: Omni, subject: str = "full", *, company_id: int = COMPANY, **options: Any
) -> AgentSocket:
    """A client with a whole model."""
    return AgentSocket(server.ws_url, token=server.token(company_id, subject), **options)


@contextlib.asynccontextmanager
async def crowd(agents: Sequence[LeanAgent]) -> AsyncIterator[Sequence[LeanAgent]]:
    """All of them connected, until the end of the block."""
    async with asyncio.TaskGroup() as group:
        for agent in agents:
            group.create_task(agent.run())
        try:
            await eventually(lambda: all(agent.is_live for agent in agents), limit=20)
            yield agents
        finally:
            for agent in agents:
                agent.stop()


def crowd_of(servers: Sequence[Omni], count: int, *, per_subject: int = 40) -> list[LeanAgent]:
    """Agents spread over the servers; one in fifty remembers texts."""
    tokens: dict[int, str] = defaultdict(str)
    agents = []
    for number in range(count):
        subject = number // per_subject
        tokens[subject] = tokens[subject] or servers[0].token(COMPANY, f"crowd-{subject}")
        home = number % len(servers)
        ports = [server.port for server in (*servers[home:], *servers[:home])]
        agents.append(LeanAgent(ports, tokens[subject], keeps_texts=number % 50 < len(servers)))
    return agents


async def wait_level(
    agents: Sequence[LeanAgent], head: Callable[[], int], limit: float = 20.0
) -> None:
    """Until all agents are at the database's head."""

    async def is_level() -> bool:
        wanted = await asyncio.to_thread(head)
        behind = [agent.cursor for agent in agents if agent.seq != wanted]
        assert not behind, f"head {wanted}, {len(behind)} agents are not there: {behind[:5]}"
        return True

    await eventually(is_level, limit)
