"""A stranger costs little: small bodies, a budget by address and in total, also of bytes on disk;
Chatwoot's own deliveries go on.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.kit.company import Company
from tests.kit.omni import Omni
from tests.kit.webhook import WEBHOOK_PATH, Payload, delivery_of

SECRET = "u7Qm3ZtJ1xYb9Kc2Vw5Rn8Ld"  # pragma: allowlist secret


@contextlib.asynccontextmanager
async def _company(directory: Path, **env: str) -> AsyncIterator[Company]:
    """With a secret, on a server of its own with these settings."""
    server = Omni(directory, database_url=f"sqlite:///{directory / 'omni.db'}", env=env)
    await asyncio.to_thread(server.prepare)
    try:
        await asyncio.to_thread(server.start)
        async with Company(server, webhook_secret=SECRET) as company:
            yield company
    finally:
        await asyncio.to_thread(server.kill9)


@contextlib.asynccontextmanager
async def _from(address: str, company: Company) -> AsyncIterator[httpx.AsyncClient]:
    """Another sender: the loopback network has many addresses."""
    transport = httpx.AsyncHTTPTransport(local_address=address)
    async with httpx.AsyncClient(
        base_url=company.omni.base_url, transport=transport, timeout=30
    ) as http:
        yield http


def _of_nobody(size: int = 100) -> Payload:
    return {"event": "message_created", "account": {"id": 987_654_321}, "content": "x" * size}


async def test_a_large_body_of_nobody_is_refused(company: Company) -> None:
    """413 above 64 KB, and nothing kept; of an integration it is taken."""
    answer = await delivery_of(_of_nobody(70_000)).post(company.http)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert (await delivery_of(_of_nobody(30_000)).post(company.http)).status_code == 200
    await company.post(company.message(1, "y" * 100_000))
    await company.conversation_with(1)


async def test_bad_signatures_are_counted(tmp_path: Path) -> None:
    """An address that sends them is soon refused before it is read; another one, and Chatwoot
    behind the same proxy, are not.
    """
    async with (
        _company(tmp_path, WEBHOOK_STRANGERS_PER_MINUTE="5") as company,
        _from("127.0.0.2", company) as forger,
    ):
        bad = delivery_of(company.message(66), secret="another")
        answers = [(await bad.post(forger)).status_code for _ in range(20)]
        assert answers[:5] == [401] * 5
        assert 429 in answers[5:]
        good = await delivery_of(company.message(1), secret=SECRET).post(company.http)
        assert good.status_code == 200
        for _ in range(20):  # from the address that has just sent a good one
            assert (await bad.post(company.http)).status_code == 401
        assert (
            await delivery_of(company.message(2), secret=SECRET).post(company.http)
        ).status_code == 200
        await company.conversation_with(2)


async def test_strangers_share_a_budget_of_bytes(tmp_path: Path) -> None:
    """What is kept of them all has a bound, whatever addresses they have; Chatwoot's deliveries are
    none of it.
    """
    async with _company(tmp_path, WEBHOOK_STRANGERS_MAX_BYTES="200000") as company:
        answers = []
        for number in range(2, 10):
            async with _from(f"127.0.0.{number}", company) as stranger:
                answers.append((await delivery_of(_of_nobody(60_000)).post(stranger)).status_code)
        assert answers == [200] * 3 + [429] * 5

        rows = await company.rows(
            "SELECT COUNT(*) FROM omni_webhook_deliveries WHERE body LIKE '%987654321%'"
        )
        assert rows[0][0] == 3
        assert (
            await delivery_of(company.message(1, "z" * 100_000), secret=SECRET).post(company.http)
        ).status_code == 200
        await company.conversation_with(1)


@pytest.mark.parametrize("event", ["conversation_typing_on", "message_created"])
async def test_what_names_no_account_is_refused_unless_it_may_lack_one(
    company: Company, event: str
) -> None:
    """Chatwoot's typing of a conversation without messages names none; a message always does."""
    payload: Payload = {
        "event": event,
        "conversation": {"id": 1, "inbox_id": company.inbox_id},
        "user": {"id": 1, "name": "Ann"},
    }
    answer = await delivery_of(payload).post(company.http)
    assert answer.status_code == (200 if "typing" in event else 400)


async def test_large_bodies_are_judged_as_small_ones(tmp_path: Path) -> None:
    """Hashed in a thread: a good signature is good, a bad one is not."""
    async with _company(tmp_path) as company:
        large = company.message(1, "y" * 140_000)
        assert (await delivery_of(large, secret="another").post(company.http)).status_code == 401
        assert (await delivery_of(large, secret=SECRET).post(company.http)).status_code == 200
        await company.conversation_with(1)


async def test_many_large_bodies_at_once_have_a_bound(tmp_path: Path) -> None:
    """Sixty bodies of 4.9 MB: some are refused unread, none is kept, and what an integration takes
    is taken meanwhile.
    """
    body = b'{"event": "x", "account": {"id": 987654321}, "s": "' + b"x" * 4_900_000 + b'"}'
    async with _company(tmp_path) as company, _from("127.0.0.2", company) as stranger:

        async def send() -> int:
            with contextlib.suppress(httpx.HTTPError):
                return (await stranger.post(WEBHOOK_PATH, content=body)).status_code
            return 0  # the rest of a refused body meets a closed connection

        async with asyncio.TaskGroup() as group:
            sent = [group.create_task(send()) for _ in range(60)]
            good = await delivery_of(company.message(1), secret=SECRET).post(company.http)
        assert good.status_code == 200
        assert {task.result() for task in sent} <= {0, 413, 429, 503}
        await company.conversation_with(1)
        assert not await company.rows(
            "SELECT 1 FROM omni_webhook_deliveries WHERE body LIKE '%987654321%'"
        )
