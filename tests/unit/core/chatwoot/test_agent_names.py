"""Which of two names of an agent or a team is the newer one."""

import json
import tracemalloc

from msgspec.structs import replace

from server.core.chatwoot.agent_names import AGENT, KnownNames, Rename
from server.core.chatwoot.changes import Change
from server.core.chatwoot.payloads import parse_delivery
from server.core.state.entities import Assignee
from server.core.times import SECOND

AT = 1_795_834_500
NOW_US = (AT + 90) * SECOND


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
    assert known.learn(1, _told("Ada Okoye", AT, "deliveries"), NOW_US) == []
    late = _told("Ada", AT - 9)
    assert _names(known.corrected(1, late, NOW_US)) == ("Ada Okoye", "deliveries", "Ada Okoye")
    assert known.corrected(2, late, NOW_US) is late
    newer = _told("Ada O.", AT + 9)
    assert known.corrected(1, newer, NOW_US) is newer


def test_a_newer_name_is_a_rename_once() -> None:
    """Of the agent and the team, and of nobody twice."""
    known = KnownNames()
    known.learn(1, _told("Ada", AT), NOW_US)
    found = known.learn(1, _told("Ada Okoye", AT + 9), NOW_US)
    assert found == [Rename(1, AGENT, 5, "Ada", "Ada Okoye")]
    assert known.learn(1, _told("Ada Okoye", AT + 12), NOW_US) == []


def test_an_answer_of_chatwoots_decides() -> None:
    """Also for a minute after it, against a name that it did not have; then that is asked about."""
    known = KnownNames()
    known.learn(1, _told("Ada", AT), AT * SECOND)
    known.keep(1, AGENT, {5: "Ada Okoye"}, (AT + 5) * SECOND)
    assert _names(known.corrected(1, _told("Ada", AT + 4), NOW_US))[0] == "Ada Okoye"
    assert _names(known.corrected(1, _told("Ada", AT + 64), NOW_US))[0] == "Ada Okoye"
    assert known.learn(1, _told("Ada", AT + 64), NOW_US) == []
    assert _names(known.corrected(1, _told("Ada O.", AT + 6), NOW_US))[0] == "Ada O."
    assert _names(known.corrected(1, _told("Ada", AT + 66), NOW_US))[0] == "Ada"
    assert known.learn(1, _told("Ada", AT + 66), NOW_US) == [
        Rename(1, AGENT, 5, "Ada Okoye", "Ada")
    ]


def test_a_bot_with_an_agents_number_is_another() -> None:
    """It keeps its name, whatever the agent is called."""
    known = KnownNames()
    known.keep(1, AGENT, {5: "Ada"}, (AT + 5) * SECOND)
    change = _told("Helper", AT)
    bot = Assignee(5, "Helper", is_bot=True)
    change = replace(change, message=None, conversation=replace(change.conversation, assignee=bot))
    assert known.corrected(1, change, NOW_US) is change
    assert known.learn(1, change, NOW_US) == []


def test_made_up_names_take_bounded_memory_and_nobody_elses_names() -> None:
    """As many as somebody likes, and as long as names are kept."""
    known = KnownNames()
    known.learn(2, _told("Ada Okoye", AT), NOW_US)
    tracemalloc.start()
    try:
        for start in range(0, 60_000, 1_000):
            made_up = {n: f"{n:06}" + "😀" * 249 for n in range(start, start + 1_000)}
            known.keep(1, AGENT, made_up, NOW_US)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 40_000_000
    assert _names(known.corrected(2, _told("Ada", AT - 9), NOW_US))[0] == "Ada Okoye"


def test_a_name_received_after_the_question_stays() -> None:
    """The answer may have been made before it."""
    known = KnownNames()
    known.learn(1, _told("Ada", AT), AT * SECOND)
    known.learn(1, _told("Ada O.", AT + 6), (AT + 6) * SECOND)
    known.keep(1, AGENT, {5: "Ada Okoye"}, (AT + 5) * SECOND)
    assert _names(known.corrected(1, _told("Ada O.", AT + 9), NOW_US))[0] == "Ada O."
    assert known.learn(1, _told("Ada O.", AT + 9), NOW_US) == []


def test_a_time_of_the_future_is_no_newer_than_its_receipt() -> None:
    """Else a wrong clock's name would stay until then."""
    known = KnownNames()
    known.learn(1, _told("Somebody", AT + 10_000_000), AT * SECOND)
    newer = _told("Ada", AT + 9)
    assert known.corrected(1, newer, NOW_US) is newer
    assert known.learn(1, newer, NOW_US) == [Rename(1, AGENT, 5, "Somebody", "Ada")]
