"""Changes as tests write them: one conversation, versions as small numbers, times as seconds after
a fixed moment.
"""

from typing import Any

from server.core.chatwoot.changes import Change, ConversationState, MessageState
from server.core.state.entities import Contact
from server.core.state.tracked import Source
from server.core.times import SECOND

BASE_US = 1_784_365_260 * SECOND
SOURCE = Source(integration_id=3, company_id=1)
DISPLAY_ID = 481


def at(seconds: float) -> int:
    """Microseconds of the moment so many seconds after the fixed one."""
    return BASE_US + round(seconds * SECOND)


def conversation_state(
    version: float = 0, display_id: int = DISPLAY_ID, **fields: Any
) -> ConversationState:
    """As Chatwoot tells it; version 0 is the simple payload's, which has none."""
    told: dict[str, Any] = {
        "contact": Contact(id=9071),
        "contact_name": "Léa Moreau",
        "status": "open" if version else None,
        "created_us": BASE_US if version else None,
    }
    return ConversationState(
        display_id=display_id, version_us=at(version) if version else 0, **told | fields
    )


def conversation_change(version: float, display_id: int = DISPLAY_ID, **fields: Any) -> Change:
    """A conversation event."""
    return Change(7, 12, conversation_state(version, display_id, **fields), None, at(version))


def message_change(
    content: str = "Hello",
    *,
    number: int | None = 88,
    second: float = 5,
    version: float = 0,
    told: ConversationState | None = None,
    **fields: Any,
) -> Change:
    """A message event from the customer. `number` is Chatwoot's id (None: the simple payload);
    `second` is when it was written.
    """
    state = told or conversation_state(version)
    given: dict[str, Any] = {"sender_type": "customer", "version_us": state.version_us}
    message = MessageState(
        content=content, created_us=at(second), message_id=number, **given | fields
    )
    return Change(7, 12, state, message, at(second))
