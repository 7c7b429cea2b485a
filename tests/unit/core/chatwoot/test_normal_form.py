"""What differs in dress alone is the same message, whichever source told it: no edit, and nothing
to repair.
"""

import contextlib
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from server.core.chatwoot.attachment_payloads import in_order, parse_attachments
from server.core.chatwoot.changes import Change
from server.core.chatwoot.conversation_payloads import parse_conversation
from server.core.chatwoot.message_payloads import parse_message
from server.core.chatwoot.normal_form import plain_text
from server.core.chatwoot.payloads import parse_delivery
from server.core.state.projection import WorkingSet
from server.core.state.tracked import Result, Source
from server.errors import PayloadError

_DAY = Path(__file__).parents[3] / "real" / "day"
_NOW = 1_795_000_000 * 10**6


@pytest.mark.parametrize(
    ("stored", "plain"),
    [
        ("Cold water.\\\nNo bleach.", "Cold water.\nNo bleach."),
        ("Cold water.\\\r\nNo bleach.\n\n", "Cold water.\nNo bleach."),
        ("Best,\\\n\\--\\\nTanvir", "Best,\n--\nTanvir"),
        ("\\--\nas it is", "\\--\nas it is"),
        ("C:\\new\\table", "C:\\new\\table"),
        ("ends with one \\", "ends with one \\"),
        ("  spaces stay  ", "  spaces stay  "),
        ("\n", "\n"),
        ("", ""),
        ("```\nx = 1\\\n\\--\n```", "```\nx = 1\n\\--\n```"),
    ],
)
def test_a_text_is_plain(stored: str, plain: str) -> None:
    """As Chatwoot's own webhooks have it; making it plain once more changes nothing."""
    assert plain_text(stored) == plain
    assert plain_text(plain) == plain


def _attachment(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": number,
        "file_type": "image",
        "data_url": f"https://files.example/{number}.png",
        **fields,
    }


def test_attachments_stand_in_one_order() -> None:
    """Webhook and REST have them in orders of their own."""
    mixed = parse_attachments({"attachments": [_attachment(3), _attachment(1), _attachment(2)]})
    assert [one.id for one in mixed] == [1, 2, 3]
    unnumbered = parse_attachments(
        {
            "attachments": [
                _attachment(3),
                {"file_type": "image", "data_url": "https://files.example/x.png"},
            ]
        }
    )
    assert in_order(unnumbered) == unnumbered


def _row(content: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": 7,
        "content": content,
        "message_type": 1,
        "created_at": 1_794_000_000,
        "content_type": "text",
        "status": "sent",
        **fields,
    }


def _both(webhook: dict[str, Any], listed: dict[str, Any]) -> tuple[WorkingSet, Result]:
    """A message that a webhook brought, and then a list."""
    working_set, source, state = (
        WorkingSet(),
        Source(1, 1),
        parse_conversation({"id": 5, "updated_at": 1_794_000_000.5, "status": "open"}),
    )
    for item, asked_us in ((webhook, 0), (listed, _NOW + 60 * 10**6)):
        message = parse_message(item, asked_us=asked_us, version_us=state.version_us)
        result = working_set.apply(Change(None, None, state, message, _NOW), source, _NOW)[1]
    return working_set, result


_SURVEY = {"content_type": "input_csat"}
_OTHER_HOST = "http://127.0.0.1:3000/7.png"


@pytest.mark.parametrize(
    ("webhook", "listed", "is_repair"),
    [
        (_row("a\nb"), _row("a\\\nb\n"), False),
        (_row("Rate us, https://x/survey/1", **_SURVEY), _row("How was it?", **_SURVEY), False),
        (
            _row("", attachments=[_attachment(2), _attachment(1)]),
            _row("", attachments=[_attachment(1), _attachment(2)]),
            False,
        ),
        (
            _row("", attachments=[_attachment(7)]),
            _row("", attachments=[_attachment(7, width=4, height=3)]),
            False,
        ),
        (
            _row("", attachments=[_attachment(7, data_url=_OTHER_HOST)]),
            _row("", attachments=[_attachment(7)]),
            False,
        ),
        (_row("a"), _row("a", status="read"), False),
        (_row("a"), _row("b"), True),
        (_row(""), _row("", attachments=[_attachment(7)]), True),
        (_row("a"), _row("gone", content_attributes={"deleted": True}), True),
    ],
    ids=["breaks", "survey", "order", "size", "host", "state", "edit", "a file", "deletion"],
)
def test_only_another_meaning_is_a_repair(
    webhook: dict[str, Any], listed: dict[str, Any], is_repair: bool
) -> None:
    """What reconcile counts is what a webhook should have told."""
    assert (_both(webhook, listed)[1] is Result.UPDATED) == is_repair


def test_a_survey_keeps_its_own_text() -> None:
    """Its webhook, which has another one, may come again after REST was read."""
    webhook = _row("Rate us, https://x/survey/1", **_SURVEY)
    working_set, _ = _both(webhook, _row("How was it?", **_SURVEY))
    state = parse_conversation({"id": 5, "updated_at": 1_796_000_000.5, "status": "open"})
    again = parse_message(webhook, version_us=state.version_us, is_update=True)
    working_set.apply(Change(None, None, state, again, _NOW), Source(1, 1), _NOW + 3600 * 10**6)
    [entry] = working_set.entries.values()
    assert (entry.messages[0].row.content, entry.messages[0].row.edited_us) == ("How was it?", None)


def test_a_recorded_day_leaves_nothing_to_repair() -> None:
    """All webhooks of a day at a running Chatwoot, and then what its REST says: the same messages
    in another dress.
    """
    working_set, source = WorkingSet(), Source(1, 1)
    with gzip.open(_DAY / "deliveries.jsonl.gz", "rt", encoding="utf-8") as lines:
        for delivery in map(json.loads, lines):
            at_us = int(delivery["at"] * 1e6)
            with contextlib.suppress(PayloadError):
                change = parse_delivery(delivery["body"], at_us)
                if change.typing is None:
                    working_set.apply(change, source, at_us)
    rest = json.loads(gzip.decompress((_DAY / "rest.json.gz").read_bytes()))
    compared = 0
    for state in map(parse_conversation, rest["conversations"]):
        for row in rest[f"messages/{state.display_id}"]:
            message = parse_message(row, asked_us=_NOW * 2, version_us=state.version_us)
            if message is not None:
                result = working_set.apply(
                    Change(None, None, state, message, message.created_us), source, _NOW * 2
                )[1]
                assert result in (Result.SAME, Result.DRESSED), (row["id"], row["content"])
                compared += 1
    assert compared > 300
