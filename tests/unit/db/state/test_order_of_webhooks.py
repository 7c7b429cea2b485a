"""Webhooks of one conversation end in the same state in whatever order they come."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from server.core.chatwoot.changes import Change
from server.core.state.entities import Assignee
from server.core.state.projection import WorkingSet
from server.core.state.row_settling import settle
from tests.kit.client_model import ClientModel
from tests.unit.db.state.office import (
    SOURCES,
    open_office,
)
from tests.unit.states import (
    at,
    conversation_change,
    conversation_state,
    message_change,
)


def _visible(model: ClientModel) -> list[Any]:
    """What people see, without the numbers that depend on who came first."""
    personal = {"id", "seq", "updatedAt", "conversationId"}
    shown: list[Any] = []
    for conversation in model.conversations.values():
        held = [
            {name: value for name, value in m.items() if name not in personal}
            for m in model.messages_of(conversation["id"])
        ]
        shown.append(
            ({name: value for name, value in conversation.items() if name not in personal}, held)
        )
    return shown


def _story(version: int, **fields: Any) -> Any:
    return conversation_state(version, **fields)


STORY = [
    conversation_change(1),
    message_change("Hello", number=88, second=2, told=_story(2), version=2),
    message_change(
        "Hello, translated", number=88, second=2, told=_story(3, labels=("a",)), is_update=True
    ),
    message_change(
        "Hi!",
        number=89,
        second=4,
        sender_type="agent",
        told=_story(4, labels=("a",), assignee=Assignee(7, "T")),
    ),
    message_change(
        "gone",
        number=89,
        second=4,
        sender_type="agent",
        told=_story(5),
        is_update=True,
        is_deleted=True,
    ),
    conversation_change(6, status="resolved", labels=("a", "b")),
]


async def _shown_after(order: Sequence[Change], size: int) -> list[Any]:
    async with open_office() as office:
        for n in range(0, len(order), size):
            await office.tell([(1, change) for change in order[n : n + size]], received_us=at(900))
        await office.check()
        return _visible(office.clients[1])


async def test_any_order_of_versioned_webhooks_ends_in_the_same_state() -> None:
    """All orders of a conversation's story, in one batch and one by one now and then, some
    delivered twice.
    """
    wanted = await _shown_after(STORY, 1)
    async with open_office():
        for n, order in enumerate(itertools.permutations(STORY)):
            working_set = WorkingSet()
            for change in (*order, *order[:2]):
                working_set.apply(change, SOURCES[1], at(900))
            if n % 60 == 0:
                assert await _shown_after((*order, *order[:2]), size=1 + n % 7) == wanted
            assert _state_of(working_set) == _state_of_story()


def _state_of(working_set: WorkingSet) -> Any:
    settle(working_set, {})
    (entry,) = working_set.entries.values()
    held = sorted(
        (replace(message.row, observed_us=0) for message in entry.messages),
        key=lambda m: m.created_us or 0,
    )
    return replace(entry.row, seq=0), held


def _state_of_story() -> Any:
    working_set = WorkingSet()
    for change in STORY:
        working_set.apply(change, SOURCES[1], at(900))
    return _state_of(working_set)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_the_simple_payload_goes_by_its_times_alone(order: tuple[int, ...]) -> None:
    """Without ids and versions: messages and the newest of them are the same in any order,
    duplicates are one.
    """
    told = [
        message_change(text, number=None, second=second)
        for text, second in (("a", 1), ("b", 5), ("b", 5.5))
    ]
    ((conversation, held),) = await _shown_after([told[n] for n in order], 1)
    assert [message["content"] for message in held] == ["a", "b"]
    assert conversation["preview"]["content"] == "b"
    assert conversation["inboundCount"] == 2
