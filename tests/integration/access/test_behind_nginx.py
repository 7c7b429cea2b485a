"""Behind the nginx of deploy/: an address that a client invents for itself counts for nothing."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.access.visitor import Visitor
from tests.kit.processes import find_program
from tests.tools.load.nginx import Nginx

pytestmark = pytest.mark.skipif(find_program("nginx") is None, reason="nginx is not installed")


async def test_an_invented_address_is_no_new_one(visitor: Visitor, tmp_path: Path) -> None:
    """Each guess from another address by its own word: they are counted as one client's, and soon
    429.
    """
    nginx = Nginx([visitor.omni.port, visitor.omni.port])
    try:
        await asyncio.to_thread(nginx.start)
        async with visitor.browser() as http, asyncio.TaskGroup() as group:

            async def guess(number: int) -> int:
                invented = f"203.0.113.{number}"
                headers = {
                    "X-Forwarded-For": invented,
                    "X-Real-IP": invented,
                    "Forwarded": f"for={invented}",
                }
                body = {"email": visitor.email, "password": "wrong"}
                answer = await http.post(f"{nginx.url}/api/sessions", json=body, headers=headers)
                return answer.status_code

            guesses = [group.create_task(guess(number)) for number in range(40)]
        answers = Counter(task.result() for task in guesses)
        assert answers.keys() == {401, 429}
        assert answers[401] < 20  # what an account has from all addresses together
    finally:
        await asyncio.to_thread(nginx.close)
