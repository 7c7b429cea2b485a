"""Each recorded kind of message is one message, whichever way it came and in whatever order: by
webhook, by the agents' socket, by REST.
"""

import itertools
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from server.core.chatwoot.cable_frames import news_of
from server.core.chatwoot.changes import Change, ConversationState
from server.core.chatwoot.message_payloads import parse_message
from server.core.chatwoot.payloads import parse_delivery
from server.core.state.entities import Message
from server.core.state.projection import WorkingSet
from server.core.state.tracked import Result, Source
from server.core.state.views import message_view
from server.core.times import SECOND
from tests.kit.recorded_kinds import KINDS, frame, webhooks

Json = dict[str, Any]
_SOURCE = Source(1, 1)
_RECEIVED_US = 1_900_000_000 * SECOND
_WAYS = ("webhook", "socket", "REST")
ORDERS = [order for count in (1, 2, 3) for order in itertools.permutations(_WAYS, count)]


def _last_webhooks(kind: str) -> dict[int, Json]:
    """The newest of each message, as one that had come alone."""
    return {hook["id"]: hook for hook in webhooks(kind)}


def _told(kind: str, number: int, way: str, place: int) -> Change:
    hook = _last_webhooks(kind)[number]
    received_us = _RECEIVED_US + place * 60 * SECOND
    if way == "webhook":
        return parse_delivery(json.dumps(hook), received_us)
    if way == "socket":
        news = news_of(frame(hook), 6)
        assert news is not None
        return parse_delivery(news.body, received_us)
    row = next(one for one in KINDS[kind]["rest"] if one["id"] == number)
    message = parse_message(row, asked_us=received_us)
    state = ConversationState(display_id=hook["conversation"]["id"])
    return Change(6, hook["inbox"]["id"], state, message, received_us)


def _apply(
    working_set: WorkingSet, kind: str, number: int, way: str, place: int
) -> tuple[Result, Message]:
    change = _told(kind, number, way, place)
    _, result = working_set.apply(change, _SOURCE, _RECEIVED_US + place * 60 * SECOND)
    [entry] = working_set.entries.values()
    return result, next(one.row for one in entry.messages if one.row.chatwoot_message_id == number)


def _shown(row: Message) -> Json:
    """What clients see of it, but for what one of the ways knows more exactly: the moment by the
    millisecond, and a picture's measures, of which webhooks do not tell.
    """
    bare = tuple(replace(one, width=None, height=None) for one in row.attachments)
    row = replace(row, attachments=bare, created_us=(row.created_us or 0) // SECOND * SECOND)
    view: Json = msgspec.to_builtins(message_view(row))
    return view


def _numbers(kind: str) -> list[int]:
    by_rest = {one["id"] for one in KINDS[kind]["rest"]}
    return [number for number in _last_webhooks(kind) if number in by_rest]


@pytest.mark.parametrize("kind", [one for one in KINDS if _numbers(one)])
def test_it_is_one_message_whichever_way_it_came(kind: str) -> None:
    """Alone, after one and after both of the other ways: the same, field by field."""
    for number in _numbers(kind):
        shown = {order: _after(kind, number, order) for order in ORDERS}
        first = shown["webhook", "REST"]
        # REST alone says nothing of a campaign, and a survey's text is REST's
        known = [order for order in ORDERS if _is_whole(kind, order)]
        for order in known:
            assert shown[order] == first, order


def _is_whole(kind: str, order: Sequence[str]) -> bool:
    if kind == "154-web-campaign":
        return order != ("REST",)
    return "REST" in order if kind == "162-api-input_csat-by-hand" else True


def _after(kind: str, number: int, order: Sequence[str]) -> Json:
    working_set = WorkingSet()
    for place, way in enumerate(order):
        _, row = _apply(working_set, kind, number, way, place)
    return _shown(row)


@pytest.mark.parametrize("kind", [one for one in KINDS if _numbers(one)])
def test_another_way_is_no_edit_and_no_repair(kind: str) -> None:
    """Told a second time it is the same message: nothing that reconcile counts as a loss, and only
    what was edited is shown as edited.
    """
    for number, order in itertools.product(_numbers(kind), itertools.permutations(_WAYS)):
        working_set = WorkingSet()
        for place, way in enumerate((*order, "REST")):
            result, row = _apply(working_set, kind, number, way, place)
            assert result is (Result.CREATED if place == 0 else result), order
            assert result is not Result.UPDATED or kind == "154-web-campaign", (order, way)
        assert result is Result.SAME, order  # REST for the second time
        is_edited = kind in ("19-wa-quote", "20-wa-edited")
        assert (row.edited_us is not None) == is_edited


@pytest.mark.parametrize("kind", [one for one in KINDS if _numbers(one)])
def test_rows_of_earlier_versions_get_their_details_once(kind: str) -> None:
    """What was stored before there were details has them after the next reading, which counts as
    no loss; the one after that changes nothing.
    """
    for number in _numbers(kind):
        working_set = WorkingSet()
        _, whole = _apply(working_set, kind, number, "REST", 0)
        [entry] = working_set.entries.values()
        [tracked] = [one for one in entry.messages if one.row.chatwoot_message_id == number]
        bare = tuple(replace(one, mime_type=None) for one in whole.attachments)
        tracked.row = replace(tracked.row, details=None, edited_us=None, attachments=bare)
        result, row = _apply(working_set, kind, number, "REST", 1)
        assert result in (Result.SAME, Result.DRESSED)
        if kind != "42-tg-business-echo":  # of a known row nobody knows who wrote it
            assert _shown(row) == _shown(whole)
        assert _apply(working_set, kind, number, "REST", 2)[0] is Result.SAME
