"""Events as clients get them: encoded once, kept as text in the log, sent as they are."""

import msgspec

from server.core.state.entities import Conversation, Json, Message
from server.core.state.views import conversation_view, message_view
from server.core.times import iso

_encoder = msgspec.json.Encoder()


def encode_event(
    seq: int,
    kind: str,
    at_us: int,
    received_us: int,
    conversation: Conversation,
    message: Message | None,
    extra: Json | None,
) -> bytes:
    """The JSON of one event (`docs/protocol.md`); it holds no line break, which the bus relies
    on.
    """
    data: Json = {"conversation": conversation_view(conversation)}
    if message is not None:
        data["message"] = message_view(message)
    if extra:
        data.update(extra)
    return _encoder.encode(
        {
            "type": "event",
            "seq": seq,
            "kind": kind,
            "at": iso(at_us),
            "receivedAt": iso(received_us),
            "data": data,
        }
    )


class EventBatch(msgspec.Struct, frozen=True):
    """Consecutive events of one company, as one transaction committed them: what travels on the
    bus.
    """

    company_id: int
    epoch: str
    first_seq: int
    bodies: tuple[bytes, ...]
    received_us: int = 0
    traceparent: str | None = None  # the trace it belongs to, where one is kept
    written_us: int = 0  # when the transaction wrote them, where it is our own

    @property
    def last_seq(self) -> int:
        """The number of the last event; one less than `first_seq` for an empty batch."""
        return self.first_seq + len(self.bodies) - 1


def encode_batch(batch: EventBatch) -> str:
    """One bus message: a head line, then a line for each event."""
    head = f"1 {batch.company_id} {batch.epoch} {batch.first_seq} {batch.received_us}"
    if batch.traceparent is not None:
        head = f"{head} {batch.traceparent}"
    return f"{head}\n" + b"\n".join(batch.bodies).decode()


def parse_batch(text: str) -> EventBatch:
    """Raises ValueError for anything that is no batch of this version."""
    head, _, rest = text.partition("\n")
    version, company_id, epoch, first_seq, received_us, *traceparent = head.split(" ")
    if version != "1" or not rest or len(traceparent) > 1:
        raise ValueError("not a batch of this version")
    bodies = tuple(rest.encode().split(b"\n"))
    return EventBatch(
        int(company_id),
        epoch,
        int(first_seq),
        bodies,
        int(received_us),
        traceparent[0] if traceparent else None,
    )
