"""Forms a webhook may have: what nobody can use is refused or kept with its reason, and costs only
itself.
"""

import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.webhook import WEBHOOK_PATH, Payload, encode_body


def _nulls(value: Any) -> Any:
    return {key: _nulls(item) if isinstance(item, dict) else None for key, item in value.items()}


def _wrong_types(value: Any) -> Any:
    return {
        key: [key] if not isinstance(item, (dict, list)) else {"0": 1}
        for key, item in value.items()
    }


def _odd_payloads(company: Company) -> dict[str, tuple[Payload | bytes, str]]:
    good = company.message(900)
    event = {"event": "message_created", "account": good["account"], "inbox": good["inbox"]}
    return {
        "only nulls, with its event": (_nulls(good) | event, "dead"),
        "wrong types": (_wrong_types(good) | event, "dead"),
        "no conversation id": (company.message(901, conversation={"id": None}), "dead"),
        "text for a message type": (company.message(902, message_type="shouting"), "dead"),
        "an unknown event": (company.message(903, event="agent_was_hired"), "ignored"),
        "an activity line": (company.message(904, message_type="activity"), "ignored"),
        "an event that is no text": (
            company.message(905, event={"name": "message_created"}),
            "dead",
        ),
        "huge numbers": (company.message(906, id=10**40, conversation={"id": 10**40}), "dead"),
    }


async def test_json_that_means_nothing_is_kept_with_its_reason(company: Company) -> None:
    """200, `dead` or `ignored` with a sentence, no row; a good webhook after all of it is shown at
    once.
    """
    for case, (payload, state) in _odd_payloads(company).items():
        entry = await company.outcome(await company.post(payload))
        assert (case, entry.state) == (case, state), entry.reason
        assert entry.reason, case
    await _shows_the_next(company)


UNKEEPABLE: dict[str, tuple[bytes, dict[str, str], int]] = {
    "empty": (b"", {}, 400),
    "no JSON": (b"hello", {}, 400),
    "half a body": (b'{"event": "message_created", "conv', {}, 400),
    "a form": (
        b"event=message_created&id=1",
        {"Content-Type": "application/x-www-form-urlencoded"},
        400,
    ),
    "invalid UTF-8": (b'{"event": "message_\xff\xfe"}', {}, 400),
    "NaN": (b'{"event": "message_created", "id": NaN}', {}, 400),
    "nested too deeply": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, {}, 400),
    "an array": (b"[1, 2]", {}, 400),
    "null": (b"null", {}, 400),
    "a number": (b"17", {}, 400),
    "an empty object": (b"{}", {}, 400),
    "only nulls": (b'{"event": null, "account": null, "id": null}', {}, 400),
    "no account": (
        b'{"event": "message_created", "conversation": {"id": 1}, "content": "x"}',
        {},
        400,
    ),
    "large and unusual": (
        b'{"event": "x", "account": 5, "s": "\\ud800", "a": [' + b"[]," * 100_000 + b"1]}",
        {},
        400,
    ),
    "very many values": (
        b'{"event": "x", "account": {"id": 5}, "a": [' + b"[]," * 100_000 + b"1]}",
        {},
        400,
    ),
    "gzip": (gzip.compress(b'{"event": "message_created"}'), {"Content-Encoding": "gzip"}, 415),
    "6 MB": (b'{"event": "message_created", "content": "' + b"x" * 6_000_000 + b'"}', {}, 413),
}


@pytest.mark.parametrize("case", UNKEEPABLE)
async def test_what_cannot_be_kept_is_refused(company: Company, case: str) -> None:
    """400, 413 or 415 as a problem; the next good webhook is shown all the same."""
    body, headers, status = UNKEEPABLE[case]
    answer = await company.http.post(
        WEBHOOK_PATH, content=body, headers={"Content-Type": "application/json"} | headers
    )
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"]
    await _shows_the_next(company)


@pytest.mark.parametrize(
    ("name", "most"),
    [("X-Chatwoot-Signature", 71), ("X-Chatwoot-Timestamp", 12), ("X-Chatwoot-Delivery", 64)],
)
async def test_a_header_that_is_too_long_is_refused(company: Company, name: str, most: int) -> None:
    """Nothing of it is cut: it is judged later, and names the delivery."""
    body = encode_body(company.simple("with a long header"))
    for length, status in ((most + 1, 431), (50_000, 431)):
        answer = await company.http.post(WEBHOOK_PATH, content=body, headers={name: "1" * length})
        assert (answer.status_code, answer.json()["code"]) == (status, "header_too_large")
    if name == "X-Chatwoot-Delivery":
        assert (
            await company.http.post(WEBHOOK_PATH, content=body, headers={name: "1" * most})
        ).status_code == 200


async def test_a_body_without_end_is_refused_while_it_comes(company: Company) -> None:
    """Chunked, without a length: refused at the limit."""

    async def endless() -> AsyncIterator[bytes]:
        yield b'{"content": "'
        for _ in range(60):
            yield b"x" * 100_000

    answer = await company.http.post(
        WEBHOOK_PATH, content=endless(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413
    await _shows_the_next(company)


async def test_json_under_another_content_type_is_taken(company: Company) -> None:
    """A proxy that renames the type loses nothing."""
    body = encode_body(company.message(1))
    answer = await company.http.post(
        WEBHOOK_PATH, content=body, headers={"Content-Type": "text/plain"}
    )
    assert (answer.status_code, answer.text) == (200, "EVENT_RECEIVED")
    await company.conversation_with(1)


async def _shows_the_next(company: Company) -> Json:
    """A good webhook after the bad ones: it is shown."""
    await company.post(company.message(1_000))

    async def shown() -> Json | None:
        rows = await company.conversations()
        return rows[0] if rows else None

    return await eventually(shown, limit=20)
