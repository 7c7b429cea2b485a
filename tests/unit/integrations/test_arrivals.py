"""How late Chatwoot's news comes, and when that is said."""

import json

from server.core.chatwoot.payloads import parse_delivery
from server.core.times import SECOND, iso, wall_now_us
from server.integrations.arrivals import Arrivals, seconds_late
from server.problems import english


def _us(seconds_ago: float) -> int:
    return wall_now_us() - int(seconds_ago * SECOND)


def test_from_ten_seconds_on_it_is_said() -> None:
    """With what to do; of the integration that is late, and no other."""
    arrivals = Arrivals()
    for delay in (0.1, 12, 40, 43, 60):
        arrivals.record("webhook", 1, _us(delay))
        arrivals.record("webhook", 2, _us(0.2))
    [problem] = arrivals.problems([1, 2])
    sentence = english(problem)
    assert sentence.startswith("integration 1: webhooks come 40 s late")
    assert "medium" in sentence
    assert (arrivals.is_late(1), arrivals.is_late(2)) == (True, False)


def test_sources_are_kept_apart() -> None:
    """The socket is quick while webhooks wait in Chatwoot's queue."""
    arrivals = Arrivals()
    arrivals.record("webhook", 1, _us(30))
    arrivals.record("socket", 1, _us(0.1))
    assert (arrivals.delay_seconds([1]) or 0) > 29
    assert (arrivals.delay_seconds([1], "socket") or 9) < 5


def test_fetched_history_is_no_delay() -> None:
    """Nor is silence, nor a clock that is behind."""
    arrivals = Arrivals()
    arrivals.record("webhook", 1, _us(7 * 24 * 3600))
    assert arrivals.delay_seconds([1]) is None
    arrivals.record("webhook", 1, _us(-5))
    assert arrivals.delay_seconds([1]) == 0


def test_a_message_that_is_written_down_only_now_is_not_late() -> None:
    """An import keeps the messages' own times; its conversation was changed a moment ago."""
    now_us = _us(0)
    body = {
        "event": "message_created",
        "id": 7,
        "message_type": "incoming",
        "content": "hello",
        "created_at": iso(_us(300)),
    }
    body["conversation"] = {"id": 9, "updated_at": (now_us - 2 * SECOND) / SECOND}
    imported = parse_delivery(json.dumps(body), now_us)
    assert 1.5 < (seconds_late(imported, now_us) or 0) < 2.5
    body["conversation"] = {"id": 9, "updated_at": _us(300) / SECOND}
    assert (seconds_late(parse_delivery(json.dumps(body), now_us), now_us) or 0) > 250
