"""The trace of one message, from the deliveries, events and fan-outs that were kept of it. Times in
microseconds.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from server.core.times import SECOND, iso, parse_time
from server.problems import Problem

_STATES = {
    "sending": Problem.of("trace.sending"),
    "sent": Problem.of("trace.sent"),
    "delivered": Problem.of("trace.delivered"),
    "read": Problem.of("trace.read"),
    "failed": Problem.of("trace.failed"),
}

_FOUND = Problem.of("trace.found"), Problem.of("trace.found_lost")
_FOUND_EDIT = Problem.of("trace.found_edit"), Problem.of("trace.found_edit_lost")
_WRITTEN, _WRITTEN_HERE = Problem.of("trace.written"), Problem.of("trace.written_here")
_CONFIRMED, _CONFIRMED_BY_SOCKET = (
    Problem.of("trace.confirmed"),
    Problem.of("trace.confirmed_by_socket"),
)


class Step(msgspec.Struct, frozen=True):
    """One thing that happened to a message, and when."""

    at_us: int
    what: Problem


class SeenEvent(msgspec.Struct, frozen=True):
    """An event of the log; `body` is the event as clients get it."""

    seq: int
    stored_us: int
    body: dict[str, Any]


class SeenDelivery(msgspec.Struct, frozen=True):
    """A delivery from Chatwoot in which the message was; `state` as in the journal."""

    id: int
    received_us: int
    finished_us: int | None
    state: str
    is_heard: bool = False  # by Chatwoot's socket; else it is a webhook


class SeenFind(msgspec.Struct, frozen=True):
    """What reconcile found before its webhook came. `state`: open, late, lost; `came_us`: when its
    webhook came after all.
    """

    kind: str
    found_us: int
    came_us: int | None
    state: str


class SeenFanOut(msgspec.Struct, frozen=True):
    """When an event was written to the first and to the last of so many sockets."""

    seq: int
    first_us: int
    last_us: int
    sockets: int


def steps(
    events: Sequence[SeenEvent],
    deliveries: Sequence[SeenDelivery],
    fanouts: Sequence[SeenFanOut],
    finds: Sequence[SeenFind] = (),
) -> list[Step]:
    """Return all that is known, in the order in which it happened. Which source came first is the
    first of their steps.
    """
    found = [step for one in finds for step in _steps_of_find(one)]
    for delivery in deliveries:
        found += _steps_of_delivery(delivery)
    found += _steps_of_events(events, deliveries)
    for fanout in fanouts:
        first, last = _written(fanout)
        found += [Step(fanout.first_us, first), Step(fanout.last_us, last)]
    return sorted(found, key=lambda step: step.at_us)


def _steps_of_delivery(delivery: SeenDelivery) -> list[Step]:
    heard = Problem.of("trace.socket", id=delivery.id)
    webhook = Problem.of("trace.webhook", id=delivery.id)
    found = [Step(delivery.received_us, heard if delivery.is_heard else webhook)]
    if delivery.finished_us is not None:
        found.append(Step(delivery.finished_us, _ended(delivery)))
    return found


def _steps_of_events(
    events: Sequence[SeenEvent], deliveries: Sequence[SeenDelivery]
) -> Iterator[Step]:
    """In the order of the log. An event came by the delivery that was received when it was."""
    moments = {iso(delivery.received_us) for delivery in deliveries}
    by_socket = {iso(delivery.received_us) for delivery in deliveries if delivery.is_heard}
    state: str | None = None
    for event in sorted(events, key=lambda one: one.seq):
        message = event.body["data"].get("message", {})
        received, now = event.body["receivedAt"], message.get("deliveryState")
        kind = str(event.body["kind"])
        if (
            kind == "message.created"
            and (at_us := parse_time(message.get("createdAt"))) is not None
        ):
            yield Step(at_us, _WRITTEN_HERE if now == "sending" else _WRITTEN)
        is_delivered = received in moments or now == "sending" or state is not None
        stored = (
            Problem.of("trace.stored", seq=event.seq, kind=kind)
            if is_delivered
            else Problem.of("trace.stored_found", seq=event.seq, kind=kind)
        )
        yield Step(event.stored_us, stored)
        if now != state and now in _STATES:
            yield Step(event.stored_us, _STATES[now])
        state = now or state
        if received in moments and state is not None:
            confirmed = _CONFIRMED_BY_SOCKET if received in by_socket else _CONFIRMED
            yield Step(event.stored_us, confirmed)


def _ended(delivery: SeenDelivery) -> Problem:
    if delivery.state == "done":
        return Problem.of("trace.delivery_done", id=delivery.id)
    if delivery.state == "ignored":
        return Problem.of("trace.delivery_ignored", id=delivery.id)
    return Problem.of("trace.delivery_dead", id=delivery.id)


def _written(fanout: SeenFanOut) -> tuple[Problem, Problem]:
    """To the first socket, and to the last one."""
    seq, count = fanout.seq, fanout.sockets
    if count == 1:
        return (
            Problem.of("trace.first_socket", seq=seq, count=count),
            Problem.of("trace.last_socket", seq=seq, count=count),
        )
    return (
        Problem.of("trace.first_sockets", seq=seq, count=count),
        Problem.of("trace.last_sockets", seq=seq, count=count),
    )


def _steps_of_find(one: SeenFind) -> list[Step]:
    open_, lost = _FOUND_EDIT if one.kind == "edit" else _FOUND
    found = [Step(one.found_us, lost if one.state == "lost" else open_)]
    if one.came_us is not None and one.state == "late":
        seconds = max(0.0, (one.came_us - one.found_us) / SECOND)
        found.append(Step(one.came_us, Problem.of("trace.late", seconds=f"{seconds:.0f}")))
    return found
