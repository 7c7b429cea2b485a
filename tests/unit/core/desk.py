"""A working set with one conversation, as tests of the projection use it."""

from typing import Any

from server.core.chatwoot.changes import Change
from server.core.state.entities import Conversation, Message
from server.core.state.projection import WorkingSet
from server.core.state.tracked import Result, TrackedConversation
from tests.unit.states import DISPLAY_ID, SOURCE, at

RECEIVED_US = at(1000)


CREATED, UPDATED, SAME = Result.CREATED, Result.UPDATED, Result.SAME


class Desk:
    """A working set to which changes are told one after the other."""

    def __init__(self, *changes: Change) -> None:
        self.working_set = WorkingSet()
        for change in changes:
            self.tell(change)

    def tell(self, change: Change, received_us: int = RECEIVED_US) -> tuple[Result, Result]:
        return self.working_set.apply(change, SOURCE, received_us)

    @property
    def entry(self) -> TrackedConversation:
        return self.working_set.entries[SOURCE.integration_id, DISPLAY_ID]

    @property
    def row(self) -> Conversation:
        return self.entry.row

    @property
    def messages(self) -> list[Message]:
        return [message.row for message in self.entry.messages]

    @property
    def kinds(self) -> list[str]:
        return [pending.kind for pending in self.working_set.pending_events]

    def reply(self, client_id: str = "key-1", **fields: Any) -> Message:
        message = Message(
            0,
            0,
            "agent",
            "On its way",
            at(5),
            client_id=client_id,
            delivery_state="sending",
            next_attempt_us=at(5),
            **fields,
        )
        return self.working_set.put_message(self.entry, message, at(5), at(5)).row
