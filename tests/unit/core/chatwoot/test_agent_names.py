"""Which of two names of an agent or a team is the newer one."""

import json

from msgspec.structs import replace

from server.core.chatwoot.agent_names import AGENT, KnownNames, Rename
from server.core.chatwoot.changes import Change
from server.core.chatwoot.payloads import parse_delivery
from server.core.state.entities import Assignee
from server.core.times import SECOND

AT = 1_795_834_500


def _told(name: str, at: int, team: str = "orders") -> Change:
    meta = {"assignee": {"id": 5, "name": name}, "team": {"id": 6, "name": team}}
    sender = {"id": 5, "name": name, "type": "user"}
    body = {
        "event": "message_created",
        "id": 90,
        "content": "Hi",
        "message_type": "outgoing",
        "sender": sender,
        "created_at": at,
        "conversation": {"id": 9, "status": "open", "updated_at": at, "meta": meta},
    }
    return parse_delivery(json.dumps(body), at * SECOND)


def _names(change: Change) -> tuple[str | None, ...]:
    state, message = change.conversation, change.message
    assert state.assignee is not None
    assert state.marks is not None
    assert state.marks.team is not None
    assert message is not None
    return state.assignee.name, state.marks.team.name, message.sender_name


def test_what_is_older_than_the_known_name_brings_no_other_back() -> None:
    """Assignee, team and sender; in its own integration alone."""
    known = KnownNames()
    assert known.learn(1, _told("Ada Okoye", AT, "deliveries")) == []
    late = _told("Ada", AT - 9)
    assert _names(known.corrected(1, late)) == ("Ada Okoye", "deliveries", "Ada Okoye")
    assert known.corrected(2, late) is late
    newer = _told("Ada O.", AT + 9)
    assert known.corrected(1, newer) is newer


def test_a_newer_name_is_a_rename_once() -> None:
    """Of the agent and the team, and of nobody twice."""
    known = KnownNames()
    known.learn(1, _told("Ada", AT))
    found = known.learn(1, _told("Ada Okoye", AT + 9))
    assert found == [Rename(1, AGENT, 5, "Ada", "Ada Okoye")]
    assert known.learn(1, _told("Ada Okoye", AT + 12)) == []


def test_an_answer_of_chatwoots_decides() -> None:
    """Also for a minute after it, against a name that it did not have; then that is asked about."""
    known = KnownNames()
    known.learn(1, _told("Ada", AT))
    known.keep(1, AGENT, {5: "Ada Okoye"}, (AT + 5) * SECOND)
    assert _names(known.corrected(1, _told("Ada", AT + 4)))[0] == "Ada Okoye"
    assert _names(known.corrected(1, _told("Ada", AT + 64)))[0] == "Ada Okoye"
    assert known.learn(1, _told("Ada", AT + 64)) == []
    assert _names(known.corrected(1, _told("Ada O.", AT + 6)))[0] == "Ada O."
    assert _names(known.corrected(1, _told("Ada", AT + 66)))[0] == "Ada"
    assert known.learn(1, _told("Ada", AT + 66)) == [Rename(1, AGENT, 5, "Ada Okoye", "Ada")]


def test_a_bot_with_an_agents_number_is_another() -> None:
    """It keeps its name, whatever the agent is called."""
    known = KnownNames()
    known.keep(1, AGENT, {5: "Ada"}, (AT + 5) * SECOND)
    change = _told("Helper", AT)
    bot = Assignee(5, "Helper", is_bot=True)
    change = replace(change, message=None, conversation=replace(change.conversation, assignee=bot))
    assert known.corrected(1, change) is change
    assert known.learn(1, change) == []
