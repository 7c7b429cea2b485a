"""A conversation that is gone: no late word brings it back."""

from tests.unit.core.desk import Desk
from tests.unit.states import at, conversation_change, message_change


def test_what_was_under_way_does_not_open_it_again() -> None:
    """Webhooks wait in Chatwoot's queue for minutes."""
    desk = Desk(message_change(version=1))
    desk.working_set.mark_gone(desk.entry, at(100))
    desk.tell(conversation_change(99, status="open"))
    assert (desk.row.status, desk.row.gone_us) == ("Closed", at(100))
    desk.tell(conversation_change(100 + 601, status="open"), received_us=at(2000))
    assert (desk.row.status, desk.row.gone_us) == ("Open", None)
