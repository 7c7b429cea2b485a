"""What must be there after a history, whatever faults were in it: no message lost, none undeleted,
newest states shown.
"""

from copy import deepcopy

from server.core.chatwoot.changes import Change
from server.core.chatwoot.future_times import SKEW_US
from tests.kit.client_model import ClientModel


class Expected:
    """Of one company. Keys are Chatwoot's numbers."""

    def __init__(self) -> None:
        self.messages: set[tuple[int, int]] = set()  # (conversation, message)
        self.deleted: set[tuple[int, int]] = set()
        # of conversations; those of which nobody can know are not here
        self.statuses: dict[int, str] = {}
        self._newest: dict[int, int] = {}  # conversation -> place of the newest change told of it
        self._ahead: set[int] = set()  # stored with the version of a clock of ours that is ahead

    def note(
        self, change: Change, place: int, received_us: int, skew_seconds: float, *, is_in_turn: bool
    ) -> None:
        """The change that came as number `place` of this history was told, perhaps again;
        `is_in_turn` False: others may be before it.
        """
        conversation = change.conversation
        number = conversation.display_id
        if change.message is not None and change.message.message_id is not None:
            self.messages.add((number, change.message.message_id))
            if change.message.is_deleted:
                self.deleted.add((number, change.message.message_id))
        is_newest = place >= self._newest.get(number, -1)
        self._newest[number] = max(place, self._newest.get(number, -1))
        # and is taken for newer than whatever is stored
        seems_future = conversation.version_us > received_us + SKEW_US
        if seems_future and skew_seconds > 0:
            self._ahead.add(number)
        if not is_in_turn or number in self._ahead or (seems_future and not is_newest):
            self.statuses.pop(number, None)
        elif is_newest and conversation.status is not None:
            self.statuses[number] = conversation.status

    def copy(self) -> "Expected":
        return deepcopy(self)

    def problems(self, fresh: ClientModel) -> list[str]:
        """What a snapshot lacks."""
        numbers = {one["id"]: one["chatwootConversationId"] for one in fresh.conversations.values()}
        shown = {
            (numbers[one["conversationId"]], one["chatwootMessageId"]): one
            for one in fresh.messages.values()
        }
        found = [f"message {number} is lost" for number in sorted(self.messages - shown.keys())]
        found += [
            f"message {number} is not deleted"
            for number in sorted(self.deleted & shown.keys())
            if not shown[number]["deleted"]
        ]
        statuses = {
            one["chatwootConversationId"]: one["chatwootStatus"]
            for one in fresh.conversations.values()
        }
        found += [
            f"conversation {n}: {statuses.get(n)}, not {told}"
            for n, told in self.statuses.items()
            if statuses.get(n) != told
        ]
        return found
