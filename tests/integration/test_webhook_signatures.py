"""Signatures of webhooks: accepted as Chatwoot signs, also while a secret is rotated, and nothing
else.
"""

import time
from collections.abc import AsyncIterator

import pytest

from tests.kit.company import Company
from tests.kit.omni import Omni
from tests.kit.webhook import WEBHOOK_PATH, delivery_of

SECRET = "u7Qm3ZtJ1xYb9Kc2Vw5Rn8Ld"  # pragma: allowlist secret


@pytest.fixture
async def signed(server: Omni) -> AsyncIterator[Company]:
    """A company whose webhook has a secret."""
    async with Company(server, webhook_secret=SECRET) as company:
        yield company


async def test_a_good_signature_is_accepted(signed: Company) -> None:
    """Signed as Chatwoot signs, over the raw bytes."""
    entry = await signed.outcome(await signed.post(signed.message(1, "Tom & Léa <3")))
    assert entry.state == "done"
    assert (await signed.conversation_with(1))["messages"][0]["content"] == "Tom & Léa <3"


@pytest.mark.parametrize(
    "case",
    [
        "wrong secret",
        "missing",
        "old",
        "from the future",
        "one byte changed",
        "timestamp changed",
        "garbage",
    ],
)
async def test_a_bad_signature_is_refused(signed: Company, case: str) -> None:
    """401, nothing in the journal, nothing shown."""
    payload, now = signed.message(66), int(time.time())
    delivery = delivery_of(payload, secret=SECRET)
    headers, body = dict(delivery.headers), delivery.body
    match case:
        case "wrong secret":
            headers = dict(delivery_of(payload, secret="another").headers)
        case "missing":
            del headers["X-Chatwoot-Signature"], headers["X-Chatwoot-Timestamp"]
        case "old":
            headers = dict(delivery_of(payload, secret=SECRET, timestamp=now - 400).headers)
        case "from the future":
            headers = dict(delivery_of(payload, secret=SECRET, timestamp=now + 400).headers)
        case "one byte changed":
            body = body.replace(b"message 66", b"message 67")
        case "timestamp changed":
            headers["X-Chatwoot-Timestamp"] = str(now - 1)
        case "garbage":
            headers["X-Chatwoot-Signature"] = "sha256=ünsigned"
    raw_headers = {name.encode(): value.encode() for name, value in headers.items()}
    answer = await signed.http.post(WEBHOOK_PATH, content=body, headers=raw_headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
    uid = headers["X-Chatwoot-Delivery"]
    assert not await signed.rows(
        "SELECT id FROM omni_webhook_deliveries WHERE headers LIKE :uid", uid=f"%{uid}%"
    )
    assert await signed.conversations() == []


async def test_a_rotated_secret_is_accepted_beside_the_previous_one(signed: Company) -> None:
    """While a rotation is under way both count; afterwards only the new one."""
    await signed.change_integration(webhook_secret="the new one", previous_webhook_secret=SECRET)
    await signed.post(signed.message(1), secret=SECRET)
    await signed.post(signed.message(2), secret="the new one")
    await signed.conversation_with(2)
    await signed.change_integration(previous_webhook_secret=None)
    old = await delivery_of(signed.message(3), secret=SECRET).post(signed.http)
    assert old.status_code == 401
    await signed.post(signed.message(4), secret="the new one")
    await signed.conversation_with(3)


async def test_an_unsigned_delivery_without_an_inbox_does_not_reach_a_signed_integration(
    signed: Company,
) -> None:
    """A forger who leaves out the inbox gets no further."""
    answer = await delivery_of(signed.simple("forged")).post(signed.http)
    assert answer.status_code == 401
    assert await signed.conversations() == []


async def test_a_forgery_for_another_company_is_refused(company: Company, signed: Company) -> None:
    """Signed with our own secret, addressed to another's account (row 35)."""
    forged = delivery_of(signed.message(1), secret="the forger's own")
    assert (await forged.post(company.http)).status_code == 401
    assert await signed.conversations() == []
