"""The way of a message from what was kept: in order, with what is known, claiming nothing that is
not.
"""

from typing import Any

from server.core.state.message_trace import (
    SeenDelivery,
    SeenEvent,
    SeenFanOut,
    SeenFind,
    steps,
)
from server.core.times import iso
from server.problems import english

AT = 1_784_365_265_000_000


def event(
    seq: int, told_us: int, stored_us: int, kind: str = "message.created", **message: Any
) -> SeenEvent:
    body = {
        "kind": kind,
        "receivedAt": iso(told_us),
        "data": {"message": {"createdAt": iso(AT), "deliveryState": None, **message}},
    }
    return SeenEvent(seq, stored_us, body)


def test_a_customer_s_message() -> None:
    """Written, received, stored, dealt with, published, reached: in the order of their times."""
    found = steps(
        [event(7, AT + 2_000, AT + 5_000)],
        [SeenDelivery(3, AT + 2_100, AT + 6_000, "done")],
        [SeenFanOut(7, AT + 7_000, AT + 9_000, 2)],
    )
    assert [english(step.what) for step in found] == [
        "written, as Chatwoot says",
        "webhook received (delivery 3)",
        "stored as event 7, message.created",
        "delivery 3 is done",
        "event 7 published, written to the first of 2 sockets",
        "event 7 written to the last of 2 sockets",
    ]
    assert [step.at_us for step in found] == sorted(step.at_us for step in found)


def test_a_message_no_webhook_told() -> None:
    """Said so; and a delivery that is not dealt with has no end."""
    [written, stored] = steps([event(7, AT, AT + 5_000)], [], [])
    assert english(written.what) == "written, as Chatwoot says"
    assert english(stored.what).endswith("(found by asking Chatwoot: no webhook told it)")
    assert [
        english(step.what) for step in steps([], [SeenDelivery(3, AT, None, "received")], [])
    ] == ["webhook received (delivery 3)"]


def test_which_source_came_first() -> None:
    """The socket's is no webhook; what asking found was late or is lost."""
    words = [
        english(step.what)
        for step in steps(
            [event(7, AT + 2_000, AT + 5_000)],
            [
                SeenDelivery(3, AT + 2_000, AT + 6_000, "done", is_heard=True),
                SeenDelivery(4, AT + 40_000_000, AT + 40_010_000, "done"),
            ],
            [],
        )
    ]
    assert words[1:3] == [
        "heard by Chatwoot's socket (delivery 3)",
        "stored as event 7, message.created",
    ]
    assert words[-2:] == ["webhook received (delivery 4)", "delivery 4 is done"]

    late = SeenFind("message", AT + 3_000, AT + 43_003_000, "late")
    words = [
        english(step.what) for step in steps([event(7, AT + 3_000, AT + 5_000)], [], [], [late])
    ]
    assert words[1] == "asking Chatwoot found it before any webhook told"
    assert words[-1] == "its webhook came after all, 43 s after asking: it was late"

    lost = SeenFind("edit", AT + 3_000, None, "lost")
    assert [english(step.what) for step in steps([], [], [], [lost])] == [
        (
            "asking Chatwoot found its edit before any webhook told; its webhook has not come in "
            "time and counts as lost"
        )
    ]
    still_open = SeenFind("message", AT + 3_000, None, "open")
    assert [english(step.what) for step in steps([], [], [], [still_open])] == [
        "asking Chatwoot found it before any webhook told"
    ]


def test_a_reply() -> None:
    """Written here, waits, sent, and confirmed when its webhook comes back; one socket is one
    socket.
    """
    found = steps(
        [
            event(7, AT, AT + 1_000, deliveryState="sending"),
            event(8, AT + 400_000, AT + 400_000, "message.updated", deliveryState="sent"),
            event(9, AT + 500_000, AT + 501_000, "message.updated", deliveryState="sent"),
        ],
        [SeenDelivery(4, AT + 500_000, AT + 502_000, "done")],
        [SeenFanOut(7, AT + 2_000, AT + 2_000, 1)],
    )
    words = [english(step.what) for step in found]
    assert words[0] == "written here by an agent"
    assert "waits to be sent to Chatwoot" in words
    assert words.count("sent: Chatwoot has it") == 1
    assert words.index("sent: Chatwoot has it") < words.index("confirmed by Chatwoot's own webhook")
    assert "event 7 written to the last of 1 socket" in words
    assert not any("by asking" in word for word in words)


def test_a_reply_that_was_given_up() -> None:
    """The word for it, and no confirmation."""
    words = [
        english(step.what)
        for step in steps(
            [
                event(7, AT, AT, deliveryState="sending"),
                event(8, AT + 9, AT + 9, "message.updated", deliveryState="failed"),
            ],
            [],
            [],
        )
    ]
    assert any(word.startswith("given up") for word in words)
    assert not any("confirmed" in word for word in words)
