"""Webhooks that other senders write otherwise than Chatwoot does: what they mean is taken, and
shown.
"""

import time

import pytest

from server.core.times import SECOND, parse_time
from tests.kit.company import Company
from tests.kit.socket_client import AgentSocket
from tests.kit.webhook import encode_body

_AT_US = 1_784_365_265_000_000


@pytest.mark.parametrize(
    "secret", [None, "a secret of the webhook, of some length"], ids=["unsigned", "signed"]
)
async def test_a_byte_order_mark_is_passed_over(company: Company, secret: str | None) -> None:
    """By the one who judges the signature, and by the one who reads the delivery."""
    if secret is not None:
        company.webhook_secret = secret
        await company.change_integration(webhook_secret=secret)
    body = b"\xef\xbb\xbf" + encode_body(company.message(1, "after a mark"))
    delivery = await company.post(body)
    assert (await company.outcome(delivery)).state == "done"
    whole = await company.conversation_with(1)
    assert whole["messages"][0]["content"] == "after a mark"


@pytest.mark.parametrize(
    "created_at",
    [_AT_US // 1000, str(_AT_US // 1000), "Sat, 18 Jul 2026 09:01:05 +0000"],
    ids=["milliseconds", "milliseconds as text", "RFC 2822"],
)
async def test_a_time_in_another_form_is_that_time(company: Company, created_at: object) -> None:
    """And no reason to lose the message."""
    await company.post(company.message(1, created_at=created_at))
    whole = await company.conversation_with(1)
    assert parse_time(whole["messages"][0]["createdAt"]) == _AT_US


@pytest.mark.parametrize("created_at", [None, "", "yesterday"], ids=["missing", "empty", "a word"])
async def test_no_time_is_the_time_of_arrival(company: Company, created_at: str | None) -> None:
    """By the clock of the server."""
    before = time.time() - 60
    payload = company.message(1, created_at=created_at)
    if created_at is None:
        del payload["created_at"]
    await company.post(payload)
    whole = await company.conversation_with(1)
    at_us = parse_time(whole["messages"][0]["createdAt"]) or 0
    assert before < at_us / SECOND < time.time() + 60


async def test_an_unknown_priority_is_shown_as_it_is(company: Company) -> None:
    """On the page and by REST: other programs have other words."""
    payload = company.message(1)
    payload["conversation"]["priority"] = "normal"
    await company.post(payload)
    whole = await company.conversation_with(1)
    [row] = await company.conversations()
    assert row["priority"] == "normal"
    page = await company.http.get(f"/inbox/c/{whole['id']}")
    assert page.status_code == 200
    assert "normal" in page.text


async def test_a_long_message_is_there_whole(company: Company) -> None:
    """Longer than the columns that some tools make for any text."""
    text = "the lamp of last week has not come yet, please look. " * 6
    await company.post(company.message(1, text))
    whole = await company.conversation_with(1)
    assert whole["messages"][0]["content"] == text


@pytest.mark.parametrize("exp", [10**18, 10**30, 1e300])
async def test_a_token_without_a_sensible_end_opens_a_socket(company: Company, exp: float) -> None:
    """It ends at the last moment that can be written; REST and socket say the same of it."""
    token = company.token(exp=exp)
    async with company.omni.client(token) as http:
        assert (await http.get("/api/conversations")).status_code == 200
    async with AgentSocket(company.omni.ws_url, token=token) as agent:
        assert agent.welcome["expiresAt"].startswith("9998-12-31")
