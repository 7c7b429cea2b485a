"""Edits of one message, told by webhooks and by lists: a small Chatwoot, every order of arrival,
and what must be shown in the end.
"""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from server.core.chatwoot.changes import Change
from server.core.state.projection import WorkingSet
from tests.unit.states import (
    DISPLAY_ID,
    SOURCE,
    at,
    message_change,
)


@dataclass(frozen=True)
class Told:
    """One edit's webhook or one list. `number` is the edit whose text it has, `version` the
    conversation's then.
    """

    number: int
    version: int
    received: int  # of a list: when it was asked for
    taken: int
    is_list: bool = False

    @property
    def change(self) -> Change:
        asked_us = at(self.received) if self.is_list else 0
        return message_change(
            f"edit {self.number}", version=self.version + 1, is_update=True, asked_us=asked_us
        )


@st.composite
def histories(draw: st.DrawFn) -> list[Told]:
    """Edits, one a second; each moves the conversation's version or not. Lists in between. In the
    order in which they are taken in.
    """
    delays = st.integers(0, 8)
    told: list[Told] = []
    version = 0
    for now in range(1, draw(st.integers(2, 8)) + 1):
        version = now if draw(st.booleans()) else version
        received = now + draw(delays)
        told.append(Told(now, version, received, received + draw(delays)))
        if draw(st.booleans()):  # asked for now, answered later
            told.append(Told(now, version, now, now + draw(delays), is_list=True))
    return draw(st.permutations(told).map(lambda mixed: sorted(mixed, key=lambda one: one.taken)))


def _taken_in(history: list[Told]) -> list[int]:
    """The number of the edit that is shown after each of them."""
    working_set, shown = WorkingSet(), []
    working_set.apply(Told(0, 0, 0, 0).change, SOURCE, at(0))
    for one in history:
        working_set.apply(one.change, SOURCE, at(one.received))
        [entry] = working_set.entries[SOURCE.integration_id, DISPLAY_ID].messages
        shown.append(int(entry.row.content.split()[1]))
    return shown


@given(histories())
def test_a_list_asked_for_at_the_end_is_what_is_shown(history: list[Told]) -> None:
    """Whatever was received before it was asked for may be taken in before or after it: it shows
    the state after all of that.
    """
    last = max(one.number for one in history)
    version = max(one.version for one in history)
    end = max(one.received for one in history) + 1
    answer = Told(last, version, end, 0, is_list=True)
    for place in range(len(history) + 1):
        assert _taken_in([*history[:place], answer, *history[place:]])[-1] == last


@given(histories())
def test_without_lists_the_newest_version_is_shown(history: list[Told]) -> None:
    """In whatever order webhooks are taken in: the highest version, and of equal ones the one
    received last.
    """
    webhooks = [one for one in history if not one.is_list]
    newest = max(webhooks, key=lambda one: (one.version, one.received))
    shown = _taken_in(webhooks)[-1]
    assert shown in {
        one.number
        for one in webhooks
        if (one.version, one.received) == (newest.version, newest.received)
    }


@given(histories())
def test_a_webhook_older_than_the_list_never_overwrites_it(history: list[Told]) -> None:
    """Older by its version, or of the same version and received before the list was asked for."""
    shown, last_list = _taken_in(history), None
    for number, one in enumerate(history):
        before = shown[number - 1] if number else 0
        if (
            last_list is not None
            and not one.is_list
            and (one.version, one.received) < (last_list.version, last_list.received)
        ):
            assert shown[number] == before
        if one.is_list and shown[number] == one.number != before:
            last_list = one


def test_an_old_edit_received_late_holds_back_no_newer_one() -> None:
    """The first edit's webhook came last but was taken in first: of the two of the newer version,
    the later one counts all the same.
    """
    assert _taken_in([Told(1, 0, 9, 1), Told(2, 2, 5, 2), Told(3, 2, 7, 3)]) == [1, 2, 3]


def test_an_edit_after_the_list_is_shown_at_once() -> None:
    """Chatwoot since 4.12 does not move the conversation's version by an edit: of the same version,
    the later one counts.
    """
    assert _taken_in([Told(1, 5, 10, 10, is_list=True), Told(2, 5, 12, 12)]) == [1, 2]


@given(received=st.integers(1, 9), is_first=st.booleans())
def test_an_edit_counts_whenever_the_creation_was_received(received: int, is_first: bool) -> None:
    """Nothing can have changed before a message was created, so of one version the update is the
    newer one: also taken in first, and also received before the other.
    """
    created = message_change("as written", version=1)
    edit = message_change("as edited", version=1, is_update=True)
    both = [(created, at(5)), (edit, at(received))]
    working_set = WorkingSet()
    for change, received_us in reversed(both) if is_first else both:
        working_set.apply(change, SOURCE, received_us)
    [entry] = working_set.entries.values()
    assert [one.row.content for one in entry.messages] == ["as edited"]


def test_two_creations_with_other_texts_are_an_edit() -> None:
    """One may be built after an edit, in Chatwoot's queue; which it is nobody can say: it counts as
    seen when the stored one was.
    """
    working_set = WorkingSet()
    for content, received_us in (("as written", at(6)), ("as edited", at(7))):
        working_set.apply(message_change(content, version=1), SOURCE, received_us)
    [entry] = working_set.entries.values()
    assert [one.row.edited_us for one in entry.messages] == [at(6)]
