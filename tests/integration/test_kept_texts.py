"""What others write is bounded before it is kept: headers at the door, texts where they are read;
nothing is cut without a word.
"""

from typing import Any

import pytest

from tests.kit.company import Company
from tests.kit.webhook import WEBHOOK_PATH, delivery_of

_LONG = {
    "X-Chatwoot-Delivery": "a" * 70_000,
    "X-Chatwoot-Signature": "sha256=" + "0" * 65,
    "X-Chatwoot-Timestamp": "1" * 13,
}


@pytest.mark.parametrize("name", _LONG)
async def test_a_header_longer_than_it_can_be_is_refused(company: Company, name: str) -> None:
    """431 (or 400, for a head that is too long as a whole), nothing in the journal; the next good
    webhook is shown at once.
    """
    body = b'{"event": "message_created", "account": {"id": 999999}}'
    answer = await company.http.post(WEBHOOK_PATH, content=body, headers={name: _LONG[name]})
    assert answer.status_code == 431
    row = await company.rows(
        "SELECT 1 FROM omni_webhook_deliveries WHERE body LIKE '%\"id\": 999999}%'"
    )
    assert not row
    await company.post(company.message(1))
    await company.conversation_with(1)


async def test_quotes_in_headers_are_kept_as_they_came(company: Company) -> None:
    """JSON doubles them: the longest headers there can be still fit their column."""
    payload = company.message(1)
    sent = delivery_of(payload, delivery_id='"' * 64)
    assert (await sent.post(company.http)).status_code == 200
    await company.conversation_with(1)


async def test_the_longest_texts_fit_their_columns(company: Company) -> None:
    """Every text of every sample made long, of letters that take most room in a row: done, never
    `dead`, on both databases.
    """
    for number, letter in enumerate(("\u0001", '"', "😀")):
        for name in (
            "message_created.incoming_attachment",
            "conversation_updated.labels",
            "conversation_updated.assignee",
        ):
            payload = _stretched(company.sample(name), letter * 400)
            payload["content"] = letter * 100_000
            entry = await company.outcome(await company.post(payload))
            assert (number, name, entry.state, entry.reason) == (number, name, "done", None)


_MEANT = (
    "event",
    "message_type",
    "status",
    "type",
    "created_at",
    "updated_at",
    "data_url",
    "thumb_url",
    "sender_type",
)


def _stretched(value: Any, text: str, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _stretched(item, text, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_stretched(item, text, key) for item in value] * (60 if key == "labels" else 1)
    return text if isinstance(value, str) and key not in _MEANT else value
