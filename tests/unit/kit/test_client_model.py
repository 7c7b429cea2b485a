"""Applying events follows the protocol: upsert by id, never older over newer."""

from typing import Any

from tests.kit.client_model import ClientModel, Event


def _conversation(seq: int, **fields: Any) -> dict[str, Any]:
    return {"id": 17, "status": "Open", "inboundCount": 2, "seq": seq, **fields}


def _event(seq: int, kind: str, **data: Any) -> Event:
    return Event(seq, kind, "2026-07-18T09:01:05.204Z", "2026-07-18T09:01:05.300Z", data)


def test_newer_replaces_and_older_is_left_alone() -> None:
    """The order of arrival does not matter, the seq does."""
    model = ClientModel()
    model.apply(_event(2, "conversation.updated", conversation=_conversation(2, status="Closed")))
    model.apply(_event(1, "conversation.created", conversation=_conversation(1)))
    assert model.conversations[17]["status"] == "Closed"


def test_snapshot_and_events_meet() -> None:
    """A client that saw events equals one that took the snapshot after them."""
    message = {
        "id": 991,
        "conversationId": 17,
        "createdAt": "2026-07-18T09:01:05.204Z",
        "chatwootMessageId": 88120,
        "seq": 2,
    }
    early, late = ClientModel(agent_id=4), ClientModel(agent_id=4)
    early.load([_conversation(1) | {"readCount": 0, "unreadCount": 2}])
    early.apply(_event(2, "message.created", conversation=_conversation(2), message=message))
    early.apply(
        _event(
            3,
            "conversation.read",
            conversation=_conversation(2),
            agentId=4,
            readCount=1,
            messageId=991,
        )
    )
    late.load([_conversation(2) | {"readCount": 1, "unreadCount": 1, "messages": [message]}])
    assert early == late
    assert early.unread_count(17) == 1
    assert early.messages_of(17) == [message]


def test_reads_of_others_are_not_ours() -> None:
    """Another agent's read leaves our unread count."""
    model = ClientModel(agent_id=4)
    model.apply(
        _event(
            1,
            "conversation.read",
            conversation=_conversation(1),
            agentId=5,
            readCount=2,
            messageId=1,
        )
    )
    assert model.unread_count(17) == 2
