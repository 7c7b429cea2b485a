"""The way of one message, told from what was kept of it: the deliveries, the events, the walks to
agents. Pure; times in microseconds.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from server.core.times import SECOND, iso, parse_time

_STATES = {
    "sending": "waits to be sent to Chatwoot",
    "sent": "sent: Chatwoot has it",
    "delivered": "delivered to the customer, as Chatwoot says",
    "read": "read by the customer, as Chatwoot says",
    "failed": "given up; the agent sees why and may send it again",
}

_FOUND = (
    "asking Chatwoot found it before any webhook told",
    (
        "asking Chatwoot found it before any webhook told; its webhook has not come in time and "
        "counts as lost"
    ),
)
_FOUND_EDIT = (
    "asking Chatwoot found its edit before any webhook told",
    (
        "asking Chatwoot found its edit before any webhook told; its webhook has not come in time "
        "and counts as lost"
    ),
)
_CONFIRMED, _CONFIRMED_BY_SOCKET = (
    "confirmed by Chatwoot's own webhook",
    "confirmed by Chatwoot's socket",
)


class Step(msgspec.Struct, frozen=True):
    at_us: int
    what: str


class SeenEvent(msgspec.Struct, frozen=True):
    """An event of the log; `body` is the event as clients get it."""

    seq: int
    stored_us: int
    body: dict[str, Any]


class SeenDelivery(msgspec.Struct, frozen=True):
    id: int
    received_us: int
    finished_us: int | None
    state: str
    is_heard: bool = False  # by Chatwoot's socket; else it is a webhook


class SeenFind(msgspec.Struct, frozen=True):
    """What asking Chatwoot found before a webhook told of it. `state`: open, late, lost; `came_us`:
    when its webhook came after all.
    """

    kind: str
    found_us: int
    came_us: int | None
    state: str


class SeenWalk(msgspec.Struct, frozen=True):
    seq: int
    first_us: int
    last_us: int
    sockets: int


def steps(
    events: Sequence[SeenEvent],
    deliveries: Sequence[SeenDelivery],
    walks: Sequence[SeenWalk],
    finds: Sequence[SeenFind] = (),
) -> list[Step]:
    """All that is known, in the order in which it happened. Which source came first is the first of
    their steps.
    """
    found = [step for one in finds for step in _told_of_find(one)]
    for delivery in deliveries:
        webhook, heard = (
            f"webhook received (delivery {delivery.id})",
            f"heard by Chatwoot's socket (delivery {delivery.id})",
        )
        found.append(Step(delivery.received_us, heard if delivery.is_heard else webhook))
        if delivery.finished_us is not None:
            found.append(Step(delivery.finished_us, f"delivery {delivery.id} is {delivery.state}"))
    moments = {iso(delivery.received_us) for delivery in deliveries}
    by_socket = {iso(delivery.received_us) for delivery in deliveries if delivery.is_heard}
    state: str | None = None
    for event in sorted(events, key=lambda one: one.seq):
        message = event.body["data"].get("message", {})
        told, now = event.body["receivedAt"], message.get("deliveryState")
        if (
            event.body["kind"] == "message.created"
            and (at_us := parse_time(message.get("createdAt"))) is not None
        ):
            found.append(
                Step(
                    at_us,
                    "written here by an agent" if now == "sending" else "written, as Chatwoot says",
                )
            )
        how = (
            ""
            if told in moments or now == "sending" or state is not None
            else " (found by asking Chatwoot: no webhook told it)"
        )
        found.append(
            Step(event.stored_us, f"stored as event {event.seq}, {event.body['kind']}{how}")
        )
        if now != state and now in _STATES:
            found.append(Step(event.stored_us, _STATES[now]))
        state = now or state
        if told in moments and state is not None:
            found.append(
                Step(event.stored_us, _CONFIRMED_BY_SOCKET if told in by_socket else _CONFIRMED)
            )
    for walk in walks:
        sockets = f"{walk.sockets} socket{'' if walk.sockets == 1 else 's'}"
        found.append(
            Step(walk.first_us, f"event {walk.seq} published, written to the first of {sockets}")
        )
        found.append(Step(walk.last_us, f"event {walk.seq} written to the last of {sockets}"))
    return sorted(found, key=lambda step: step.at_us)


def _told_of_find(one: SeenFind) -> list[Step]:
    open_, lost = _FOUND_EDIT if one.kind == "edit" else _FOUND
    found = [Step(one.found_us, lost if one.state == "lost" else open_)]
    if one.came_us is not None and one.state == "late":
        seconds = max(0.0, (one.came_us - one.found_us) / SECOND)
        found.append(
            Step(
                one.came_us,
                f"its webhook came after all, {seconds:.0f} s after asking: it was late",
            )
        )
    return found
