"""Numbers that Chatwoot gives out again: nothing is mixed with what had them before, and no edit or
merge is taken for it.
"""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from server.core.chatwoot.changes import Change
from server.core.chatwoot.conversation_payloads import parse_conversation
from server.core.chatwoot.message_payloads import parse_message
from server.core.chatwoot.payloads import parse_delivery
from server.core.state.entities import Contact
from server.core.state.projection import WorkingSet
from server.core.state.tracked import Source
from server.errors import PayloadError
from tests.unit.core.desk import Desk
from tests.unit.states import (
    DISPLAY_ID,
    SOURCE,
    at,
    conversation_change,
    conversation_state,
    message_change,
)

_DAY = Path(__file__).parents[3] / "real" / "day"
_HOUR = 3_600


def _stored(*changes: Change) -> Desk:
    """As after a commit: what is in the working set has numbers of ours."""
    desk = Desk(*changes)
    for entry in desk.working_set.entries.values():
        entry.row = replace(entry.row, id=7)
        for number, message in enumerate(entry.messages, 1):
            message.row = replace(message.row, id=number, conversation_id=7)
    return desk


def test_another_message_under_a_known_number_is_shown() -> None:
    """The old one stays and gives its number up; the new one is counted and on top."""
    desk = _stored(message_change("before the restore", second=5, version=5))
    received_us = at(90_001)
    desk.tell(message_change("another message", second=90_000, version=90_000), received_us)
    first, second = desk.messages
    assert (first.content, first.chatwoot_message_id, first.former_number) == (
        "before the restore",
        None,
        88,
    )
    assert (second.content, second.chatwoot_message_id) == ("another message", 88)
    assert desk.working_set.reissued == [(SOURCE.integration_id, "message", 88)]
    assert desk.row.preview is not None
    assert (desk.row.preview.content, desk.row.inbound_count) == ("another message", 2)
    assert "message.created" in desk.kinds
    desk.tell(message_change("another message", second=90_000, version=90_000), received_us)
    assert len(desk.messages) == 2


@pytest.mark.parametrize(
    "told",
    [
        message_change("edited", second=5, version=90_000, is_update=True),
        message_change("edited", second=6, version=90_000, asked_us=at(90_000)),
        # the same text: a copy of an import
        message_change("Hello", second=90_000, version=90_000),
        message_change("deleted", second=90_000, version=90_000, is_deleted=True, is_update=True),
    ],
    ids=["an edit", "an edit in a list", "the same text", "a deletion"],
)
def test_an_edit_is_no_other_message(told: Change) -> None:
    """It keeps the time it was written at."""
    desk = _stored(message_change("Hello", second=5, version=5))
    desk.tell(told, at(90_005))
    assert (len(desk.messages), desk.working_set.reissued) == (1, [])


def test_a_clock_that_was_ahead_makes_no_other_message() -> None:
    """Its time was capped, at this receipt or at the one before."""
    desk = _stored()
    desk.tell(message_change("Hello", second=5 + _HOUR, version=5 + _HOUR), at(5))
    desk.entry.row = replace(desk.row, id=7)
    desk.entry.messages[0].row = replace(desk.messages[0], id=1)
    desk.tell(
        message_change("edited", second=5 + _HOUR, version=6 + _HOUR, is_update=True), at(2_000)
    )
    assert (len(desk.messages), desk.working_set.reissued) == (1, [])


def _other_customer(**fields: Any) -> Change:
    given: dict[str, Any] = {
        "contact": Contact(id=31),
        "contact_name": "Nazma Akter",
        "created_us": at(80_000),
    }
    told = conversation_state(90_000, **given | fields)
    return message_change("hello", number=2, second=90_000, told=told)


def test_another_conversation_under_a_known_number_is_a_row_of_its_own() -> None:
    """Nothing of one customer stands with the other; the old one is closed, and says that Chatwoot
    no longer has it.
    """
    desk = _stored(message_change("a private line", second=5, version=5))
    desk.tell(_other_customer(), at(90_001))
    old = desk.working_set.entries[SOURCE.integration_id, -7]
    assert (desk.row.id, desk.row.external_user_name, desk.row.chatwoot_conversation_id) == (
        0,
        "Nazma Akter",
        DISPLAY_ID,
    )
    assert [message.content for message in desk.messages] == ["hello"]
    assert (
        old.row.external_user_name,
        old.row.chatwoot_conversation_id,
        old.row.former_number,
    ) == ("Léa Moreau", None, DISPLAY_ID)
    assert (old.row.status, old.row.gone_us, old.row.inbound_count) == ("Closed", at(90_001), 1)
    assert desk.working_set.reissued == [(SOURCE.integration_id, "conversation", DISPLAY_ID)]
    assert desk.kinds[-3:] == ["conversation.updated", "conversation.created", "message.created"]


@pytest.mark.parametrize(
    "fields",
    [
        {"created_us": at(0)},  # a merge of contacts
        {"contact": Contact(id=9071)},
        {"contact_name": "Léa Moreau"},
        {"created_us": None},
        {"contact": None},
        {"created_us": at(50)},
        {"contact": Contact(id=31, email="lea@example.org")},
    ],
    ids=str,
)
def test_a_merge_of_contacts_is_no_other_conversation(fields: dict[str, Any]) -> None:
    """It was begun when it was begun; and what is not said proves nothing."""
    desk = _stored(
        conversation_change(version=5, contact=Contact(id=9071, email="lea@example.org"))
    )
    desk.tell(_other_customer(**fields), at(90_001))
    assert (desk.row.id, desk.working_set.reissued) == (7, [])


@pytest.mark.parametrize("seed", range(3))
def test_nothing_of_a_real_day_is_taken_for_it(seed: int) -> None:
    """Six hundred deliveries with edits, deletions, merges and renamings, in any order, and what
    REST said afterwards.
    """
    working_set, source = WorkingSet(), Source(1, 1)
    told = [(change, received_us) for change, received_us in _deliveries()]
    assert len(told) > 500
    random.Random(seed).shuffle(told)
    for change, received_us in [*told, *_listed()]:
        working_set.apply(change, source, received_us)
        for number, entry in enumerate(working_set.entries.values(), 1):
            entry.row = replace(entry.row, id=entry.row.id or number)
            for place, message in enumerate(entry.messages, 1):
                message.row = replace(message.row, id=message.row.id or number * 1_000 + place)
    assert working_set.reissued == []


def _deliveries() -> list[tuple[Change, int]]:
    found = []
    for line in gzip.decompress((_DAY / "deliveries.jsonl.gz").read_bytes()).splitlines():
        delivery = json.loads(line)
        received_us = int(delivery["at"] * 1_000_000)
        try:
            found.append((parse_delivery(delivery["body"], received_us), received_us))
        except PayloadError:
            continue
    return found


def _listed() -> list[tuple[Change, int]]:
    """Each conversation with its messages, as a sync tells them."""
    rest = json.loads(gzip.decompress((_DAY / "rest.json.gz").read_bytes()))
    now_us = max(received_us for _, received_us in _deliveries()) + 10**9
    found = []
    for listed in rest["conversations"]:
        state = parse_conversation(listed, asked_us=now_us)
        found.append((Change(None, None, state, None, state.version_us), now_us))
        for item in rest[f"messages/{state.display_id}"]:
            message = parse_message(item, asked_us=now_us, version_us=state.version_us)
            if message is not None:
                found.append((Change(None, None, state, message, message.created_us), now_us))
    assert len(found) > 300
    return found
