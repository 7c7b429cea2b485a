"""A board with one conversation, as tests of the projection use it."""

from typing import Any

from server.core.chatwoot.changes import Change
from server.core.state.entities import Conversation, Message
from server.core.state.projection import Board, Entry, Result
from tests.unit.states import DISPLAY_ID, SOURCE, at

RECEIVED_US = at(1000)


CREATED, UPDATED, SAME = Result.CREATED, Result.UPDATED, Result.SAME


class Desk:
    """A board to which changes are told one after the other."""

    def __init__(self, *changes: Change) -> None:
        self.board = Board()
        for change in changes:
            self.tell(change)

    def tell(self, change: Change, received_us: int = RECEIVED_US) -> tuple[Result, Result]:
        return self.board.apply(change, SOURCE, received_us)

    @property
    def entry(self) -> Entry:
        return self.board.entries[SOURCE.integration_id, DISPLAY_ID]

    @property
    def row(self) -> Conversation:
        return self.entry.row

    @property
    def messages(self) -> list[Message]:
        return [message.row for message in self.entry.messages]

    @property
    def kinds(self) -> list[str]:
        return [draft.kind for draft in self.board.drafts]

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
        return self.board.put_message(self.entry, message, at(5), at(5)).row
