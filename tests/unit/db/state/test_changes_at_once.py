"""What the simulated Chatwoot tells of changes within a millisecond, in whatever order it comes:
the last state is what is shown.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.core.chatwoot.cable_frames import news_of
from server.core.chatwoot.changes import Change
from server.core.chatwoot.payloads import parse_delivery
from server.core.state.entities import Assignee, Conversation
from server.core.state.projection import WorkingSet
from server.core.times import SECOND
from server.lab.chatwoot_sim import ChatwootSim
from server.lab.chatwoot_sim import model as sim_model
from server.lab.chatwoot_sim.webhook_bodies import conversation_event
from server.lab.chatwoot_sim.webhooks import Event
from tests.unit.db.state.office import SOURCES, open_office
from tests.unit.states import BASE_US, at

Act = Callable[["Story"], None]
_STATUSES = ("open", "pending", "resolved", "snoozed")


class Story:
    """A simulated Chatwoot whose clock goes on by `step_us` whenever it is looked at, and what it
    tells: its webhooks' bodies, and those of its frames.
    """

    def __init__(self, step_us: int, *, has_frames: bool = False) -> None:
        self._ticks = itertools.count(BASE_US + 330, step_us)
        self.sim = ChatwootSim(clock=lambda: next(self._ticks) / SECOND)
        self.bodies: list[str] = []
        self.sim.webhooks.enqueue = self._hear_webhook  # type: ignore[method-assign]
        if has_frames:
            self.sim.cable.enqueue = self._hear_frame  # type: ignore[method-assign]
        self.contact = self.sim.add_contact("Sumaiya Akter")
        self.there = self.sim.start_conversation(self.contact, self.sim.inbox)

    def _hear_webhook(self, event: Event) -> None:
        if not event.name.startswith("contact_"):  # they are told of later, and tell no state
            self.bodies.append(json.dumps(event.build()))

    def _hear_frame(self, event: Event) -> None:
        if event.frame is None or event.inbox is None:
            return
        name = event.name.replace("conversation_", "conversation.").replace("message_", "message.")
        news = news_of({"event": name, "data": event.frame()}, event.account.id)
        if news is not None:
            self.bodies.append(news.body)

    @property
    def changes(self) -> list[Change]:
        return [parse_delivery(body, at(900)) for body in self.bodies]


def _state(row: Conversation) -> tuple[object, ...]:
    marks = row.marks
    return (
        *(row.chatwoot_status, row.status, row.labels, row.priority, row.assignee),
        *(marks.team.name if marks.team else None, marks.snoozed_until_us),
    )


def _state_there(there: sim_model.Conversation) -> tuple[object, ...]:
    who, until, team = there.assignee, there.snoozed_until, there.team
    return (
        *(there.status, "Closed" if there.status == "resolved" else "Open"),
        *(tuple(there.labels), there.priority),
        None if who is None else Assignee(who.id, who.name),
        None if team is None else team["name"],
        None if until is None else int(until * 1000) * 1000,
    )


def _taken_in(changes: Iterable[Change]) -> Conversation:
    working_set = WorkingSet()
    for change in changes:
        working_set.apply(change, SOURCES[1], at(900))
    (entry,) = working_set.entries.values()
    return entry.row


def _pending(story: Story) -> None:
    """Begun, written in and set to pending, as by a rule."""
    story.sim.customer_says(story.contact, "Hello", conversation=story.there)
    story.sim.set_labels(story.there, ["new"])
    story.sim.set_status(story.there, "pending")


def _snoozed(story: Story) -> None:
    """Handed on and put to sleep by one act of an agent's tool."""
    story.sim.assign_team(story.there, "Returns")
    story.sim.set_labels(story.there, ["vip"])
    story.sim.set_priority(story.there, "urgent")
    until = BASE_US / SECOND + 86_400.5
    story.sim.set_status(story.there, "snoozed", snoozed_until=until)


@pytest.mark.parametrize("act", [_pending, _snoozed])
@pytest.mark.parametrize("step_us", [1, 40])
async def test_every_order_of_changes_at_once_ends_in_the_last(act: Act, step_us: int) -> None:
    """Each change has a version of its own, to the microsecond: none is lost against another of the
    same millisecond.
    """
    story = Story(step_us)
    act(story)
    wanted = _state_there(story.there)
    for n, order in enumerate(itertools.permutations(story.changes)):
        assert _state(_taken_in(order)) == wanted
        if n % 500 == 0:
            for size in (1, 2, 5):
                assert await _status_shown(order, size) == story.there.status


async def _status_shown(order: Sequence[Change], size: int) -> Any:
    """To a client that had events only, after batches of so many."""
    async with open_office() as office:
        for n in range(0, len(order), size):
            await office.tell([(1, change) for change in order[n : n + size]], received_us=at(900))
        await office.check()
        (shown,) = office.clients[1].conversations.values()
        return shown["chatwootStatus"]


def _acts() -> st.SearchStrategy[Act]:
    def of(name: str, *values: Any) -> st.SearchStrategy[Act]:
        return st.sampled_from(values).map(
            lambda value: lambda story: getattr(story.sim, name)(story.there, value)
        )

    def snooze(hours: int) -> Act:
        until = BASE_US / SECOND + hours * 3600
        return lambda story: story.sim.set_status(story.there, "snoozed", snoozed_until=until)

    def assign(is_on: bool) -> Act:
        return lambda story: story.sim.assign(story.there, story.sim.admin if is_on else None)

    def write(text: str) -> Act:
        return lambda story: _write(story, text)

    return st.one_of(
        of("set_status", *_STATUSES),
        st.integers(1, 3).map(snooze),
        of("set_labels", [], ["vip"], ["vip", "ফেরত"]),
        of("set_priority", None, "low", "urgent"),
        of("assign_team", None, "Returns"),
        st.booleans().map(assign),
        of("agent_says", "On its way", "Done"),
        st.sampled_from(["Hello", "Where is it?"]).map(write),
    )


def _write(story: Story, text: str) -> None:
    story.sim.customer_says(story.contact, text, conversation=story.there)


@settings(max_examples=300)
@given(
    acts=st.lists(_acts(), min_size=2, max_size=7),
    step_us=st.integers(1, 400),
    has_frames=st.booleans(),
    data=st.data(),
)
def test_any_changes_at_once_end_in_the_last(
    acts: list[Act], step_us: int, has_frames: bool, data: st.DataObject
) -> None:
    """Whatever is done, told by webhooks alone or by the agents' socket as well, some twice."""
    story = Story(step_us, has_frames=has_frames)
    for act in acts:
        act(story)
    changes = story.changes
    order = data.draw(st.permutations(changes))
    again = data.draw(st.lists(st.sampled_from(changes), max_size=3))
    assert _state(_taken_in([*order, *again])) == _state_there(story.there)


def test_a_state_of_the_same_version_takes_no_failure_back() -> None:
    """Conversations have versions to the microsecond, messages to the millisecond: neither is newer
    for that.
    """
    story = Story(1)
    sent = story.sim.agent_says(story.there, "On its way")
    story.sim.mark_arrived(sent, "delivered")
    before = conversation_event("conversation_updated", story.there, story.sim.base_url)
    story.sim.mark_failed(sent, "no such number")
    working_set = WorkingSet()
    for body in (story.bodies[-1], json.dumps(before)):
        working_set.apply(parse_delivery(body, at(900)), SOURCES[1], at(900))
    (entry,) = working_set.entries.values()
    assert [one.row.delivery_state for one in entry.messages] == ["failed"]
