"""What colleagues see of each other: one entry an agent, changes that add up to the whole, and who
is listed in a large company.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.state.presence_state import (
    MAX_LISTED,
    MAX_LISTED_IDLE,
    SILENT_SECONDS,
    AgentPresence,
    PresenceMessage,
    RemoteProcess,
    TypingNews,
    difference,
    encode_presence,
    encode_presence_message,
    encode_typing,
    is_presence_message,
    listed,
    merge,
    message_of_typing,
    parse_presence_message,
    typing_of,
)

agents = st.builds(
    AgentPresence,
    id=st.integers(1, 5),
    name=st.just("Asha"),
    viewing=st.none() | st.integers(1, 3),
    typing=st.booleans(),
)
pictures = st.lists(agents, max_size=5).map(lambda seen: {one.id: one for one in seen})


def _people(count: int, viewing: int | None = None, first: int = 1) -> dict[int, AgentPresence]:
    return {n: AgentPresence(n, f"agent {n}", viewing) for n in range(first, first + count)}


@given(st.lists(pictures, max_size=6))
def test_changes_add_up_to_the_whole(steps: list[dict[int, AgentPresence]]) -> None:
    """Whoever applies every delta holds what a newcomer is told."""
    held: dict[int, AgentPresence] = {}
    before: dict[int, AgentPresence] = {}
    for picture in steps:
        after = listed(picture)
        changed, gone = difference(before, after)
        held = {agent_id: one for agent_id, one in held.items() if agent_id not in gone} | {
            one.id: one for one in changed
        }
        before = after
        assert held == after


@given(pictures, pictures, pictures)
def test_an_agent_with_tabs_in_several_processes_is_one(
    here: dict[int, AgentPresence], there: dict[int, AgentPresence], third: dict[int, AgentPresence]
) -> None:
    """Nobody is missing, nobody is doubled, and where they do more counts, whatever the order of
    the others.
    """
    merged = merge(here, [there, third])
    assert set(merged) == {*here, *there, *third}
    for agent_id, one in merged.items():
        all_of_them = [picture[agent_id] for picture in (here, there, third) if agent_id in picture]
        assert one in all_of_them
        assert (one.typing, one.viewing is not None) == max(
            (seen.typing, seen.viewing is not None) for seen in all_of_them
        )


def test_a_small_company_sees_everybody() -> None:
    """Also those who look at nothing."""
    assert len(listed(_people(MAX_LISTED_IDLE))) == MAX_LISTED_IDLE


def test_a_large_company_sees_who_looks_at_something() -> None:
    """The others are a number: a frame must not grow with everyone who has a tab open."""
    picture = _people(MAX_LISTED_IDLE) | _people(3, viewing=17, first=900)
    assert sorted(listed(picture)) == [900, 901, 902]
    assert len(listed(_people(MAX_LISTED + 50, viewing=17))) == MAX_LISTED


def test_notes_come_back_as_they_were() -> None:
    """And are told apart from batches of events."""
    for note in (
        PresenceMessage(
            "a1", (AgentPresence(3, "Asha", 17, True), AgentPresence(4, "Räh\n")), (5, 6)
        ),
        PresenceMessage("a1", is_whole=True),
        PresenceMessage("a1", asks=True),
        PresenceMessage("a1", customers={17: False, 18: True}),
    ):
        text = encode_presence_message(note)
        assert is_presence_message(text)
        assert parse_presence_message(text) == note
    assert not is_presence_message("1 7 e1 1 0\n{}")


@pytest.mark.parametrize("text", ["p1 ", "p1 []", "p1 {}", 'p1 {"process": 4}', "p1 nonsense"])
def test_what_is_no_note_is_refused(text: str) -> None:
    """ValueError, which the bus logs and drops."""
    with pytest.raises(ValueError):  # noqa: PT011 - whatever msgspec says
        parse_presence_message(text)


def test_another_process_is_what_it_says_until_it_is_silent() -> None:
    """A whole note replaces, others change; after a while without any it counts as dead."""
    other = RemoteProcess()
    other.accept(PresenceMessage("b", (AgentPresence(1, "A"), AgentPresence(2, "B"))), 100.0)
    other.accept(PresenceMessage("b", (AgentPresence(2, "B", 17),), (1,)), 101.0)
    assert other.agents == {2: AgentPresence(2, "B", 17)}
    other.accept(PresenceMessage("b", (AgentPresence(3, "C"),), is_whole=True), 102.0)
    assert other.agents == {3: AgentPresence(3, "C")}
    assert not other.is_silent(102.0 + SILENT_SECONDS)
    assert other.is_silent(102.1 + SILENT_SECONDS)


def test_frames_are_as_the_protocol_says() -> None:
    """Every field, also where it says nothing."""
    told = json.loads(
        encode_presence(
            12, [AgentPresence(3, "Asha", 17, True), AgentPresence(4, "Tomas")], (5,), whole=False
        )
    )
    assert told == {
        "type": "presence",
        "online": 12,
        "agents": [
            {"id": 3, "name": "Asha", "viewing": 17, "typing": True},
            {"id": 4, "name": "Tomas", "viewing": None, "typing": False},
        ],
        "gone": [5],
        "whole": False,
    }
    assert json.loads(encode_typing(17, None, on=True)) == {
        "type": "typing",
        "conversationId": 17,
        "who": "customer",
        "on": True,
    }


def test_an_agent_who_types_in_chatwoot_has_a_name() -> None:
    """On the bus beside customers, whom processes of before know alone."""
    assert json.loads(encode_typing(17, "Nadia", on=False)) == {
        "type": "typing",
        "conversationId": 17,
        "who": "agent",
        "name": "Nadia",
        "on": False,
    }
    typing: TypingNews = {(17, None): True, (17, "Nadia"): False, (18, "Nadia"): True}
    note = message_of_typing("p", typing)
    assert note.customers == {17: True}
    assert typing_of(parse_presence_message(encode_presence_message(note))) == typing
