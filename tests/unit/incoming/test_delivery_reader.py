"""What the reader of deliveries notices of an inbox's name."""

import json
from collections.abc import Sequence

from server.db.access.integration_record import Integration
from server.db.engine.clock import DatabaseClock
from server.db.journal.journal import Delivery
from server.incoming.delivery_reader import DeliveryReader
from tests.unit.integrations.directories import NOW_US, make_directory, make_integration


def _told(name: str) -> Delivery:
    conversation = {"id": 9, "status": "open", "updated_at": 1_784_365_000}
    body = {
        "event": "message_created",
        "id": 90,
        "content": "Hi",
        "message_type": "incoming",
        "created_at": 1_784_365_000,
        "account": {"id": 1},
        "inbox": {"id": 12, "name": name},
        "conversation": {**conversation, "inbox_id": 12},
    }
    return Delivery("uid", NOW_US, json.dumps(body), {}, is_verified=True)


def test_another_name_of_an_inbox_has_chatwoot_asked_once() -> None:
    """It may be the new one, or late; which it is only Chatwoot can say."""
    asked: list[str | None] = []

    def on_changed(integrations: Sequence[Integration]) -> None:
        asked.extend(one.inbox_name for one in integrations)

    directory = make_directory(make_integration(1, 1, inbox_name="Website"))
    reader = DeliveryReader(directory, DatabaseClock("sqlite"), on_changed)
    reader.read(_told("Website"))
    assert asked == []
    reader.read(_told("Shop"))
    reader.read(_told("Shop"))
    assert asked == ["Website"]
    reader.read(_told("Website"))
    reader.read(_told("Shop"))
    assert asked == ["Website"]


def test_ever_new_names_of_an_inbox_have_chatwoot_asked_now_and_then() -> None:
    """Whoever can send a delivery can tell any name."""
    asked: list[int] = []
    now = 100.0  # as `monotonic` says
    reader = DeliveryReader(
        make_directory(make_integration(1, 1, inbox_name="Website")),
        DatabaseClock("sqlite"),
        lambda integrations: asked.extend(one.id for one in integrations),
        monotonic=lambda: now,
    )
    for n in range(50):
        reader.read(_told(f"Shop {n}"))
    assert asked == [1]
    now += 31
    for n in range(50):
        reader.read(_told(f"Shop {n}"))
    assert asked == [1, 1]
