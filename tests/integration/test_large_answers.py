"""A Chatwoot that answers hugely: a company's answers get their part of the memory set aside, and
no more.
"""

import asyncio
from pathlib import Path

import pytest

from tests.kit.company import Company
from tests.kit.large_answers import large_answers
from tests.kit.omni import Omni

MB = 1024 * 1024


@pytest.mark.parametrize(("size", "is_read"), [(3 * MB, True), (5 * MB, False)])
async def test_a_company_gets_a_half_of_the_memory_for_answers(
    tmp_path: Path, size: int, is_read: bool
) -> None:
    """Of `CHATWOOT_ANSWERS_MAX_BYTES`; an answer above it is said to be too long, and the server
    goes on.
    """
    env = {"CHATWOOT_ANSWERS_MAX_BYTES": str(8 * MB)}
    server = Omni(tmp_path, database_url=f"sqlite:///{tmp_path / 'omni.db'}", env=env)
    await asyncio.to_thread(server.prepare)
    try:
        await asyncio.to_thread(server.start)
        async with Company(server) as company, large_answers(size) as url:
            await company.change_integration(base_url=url)
            ask = {"integrationId": company.integration_id}
            answer = await company.http.post("/api/chatwoot/sync", json=ask)
            assert answer.status_code == 200
            assert ("far too long" in answer.text) is not is_read, answer.text
            assert (await company.http.get("/api/conversations")).status_code == 200
    finally:
        await asyncio.to_thread(server.kill9)
