"""Deliveries that were taken in and are damaged: said in words, wherever people look."""

import asyncio
import time

import pytest

from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni

_CASES: dict[str, dict[str, object]] = {
    "the body is no JSON": {"body": '{"event": "message_created", "conv'},
    "this row of the journal cannot be read": {"now": 9 * 10**18},
}


@pytest.mark.parametrize("words", _CASES)
async def test_a_damaged_delivery_is_named_in_words(omni: Omni, words: str) -> None:
    """In `/readyz`, on the status page and in the list; what came after it is shown."""
    async with Company(omni) as crm:
        await crm.execute(
            "INSERT INTO omni_webhook_deliveries (uid, received_at, body, integration_id) "
            "VALUES ('damaged', :now, :body, :integration)",
            **{
                "now": time.time_ns() // 1000,
                "body": "{}",
                "integration": crm.integration_id,
                **_CASES[words],
            },
        )
        await crm.post(crm.message(1, "behind it"))
        await crm.conversation_with(1)

        async def is_said() -> bool:
            problems = (await crm.get("/readyz"))["problems"]
            start = f"integration {crm.integration_id}: 1 delivery cannot be stored"
            return any(one.startswith(start) and words in one for one in problems)

        await eventually(is_said, limit=30)
        async with omni.client(crm.token("boss", role="admin")) as http:
            status = (await http.get("/api/status")).json()
        assert words in status["integrations"][0]["text"]

        async def is_listed() -> bool:  # now and then it is tried again, and not dead then
            done = await asyncio.to_thread(omni.cli, "deliveries", "list", "--state", "dead")
            return words in done.stdout

        await eventually(is_listed, limit=30)
