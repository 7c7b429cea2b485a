"""By which names Chatwoot calls its agents and teams. A rename moves no version of a conversation,
so a delivery that was built before it may come after it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from server.core.chatwoot.changes import Change
from server.core.chatwoot.future_times import within_present
from server.core.state.entities import Assignee, Conversation
from server.core.state.marks import Team
from server.core.times import SECOND

AGENT, TEAM = "agent", "team"
# of all names that are known, each with what it takes besides: some fifty thousand
_MAX_CHARACTERS, _BESIDES = 4_000_000, 60
# a name that an answer did not have is not asked about again so soon
_REFUTED_US = 60 * SECOND
Named = TypeVar("Named", Assignee, Team)


class Rename(msgspec.Struct, frozen=True):
    """An agent or a team (`kind`) that was called `former` and then `name`."""

    integration_id: int
    kind: str
    number: int
    former: str
    name: str


class CurrentNames(msgspec.Struct, frozen=True):
    """What those are called now that were called otherwise: by kind, number and that name; senders
    of messages, which have no number, by that name.
    """

    numbered: Mapping[tuple[str, int, str], str]
    senders: Mapping[str, str]


class _Known(msgspec.Struct, frozen=True):
    name: str
    as_of_us: int
    received_us: int
    is_asked: bool = False
    refuted: str | None = None  # another name that was told, and which the answer did not have

    @property
    def characters(self) -> int:
        """What it takes in memory."""
        return _BESIDES + len(self.name) + len(self.refuted or "")

    def is_newer_than(self, name: str | None, as_of_us: int) -> bool:
        return as_of_us < self.as_of_us + (_REFUTED_US if name == self.refuted else 0)


class KnownNames:
    """The names that this process has heard of, with the moment they were so; and those that
    Chatwoot was asked for. Where they are too many, the integration with the most forgets its own:
    whoever tells made-up names takes nobody else's.
    """

    def __init__(self) -> None:
        self._known: dict[int, dict[tuple[str, int], _Known]] = {}
        self._characters = Counter[int]()  # integration -> of its names
        self._all_characters = 0

    def corrected(self, integration_id: int, change: Change, received_us: int) -> Change:
        """The change with the names that are known to be newer than it."""
        as_of_us, state, message = _as_of(change, received_us), change.conversation, change.message
        assignee = self._present(integration_id, AGENT, state.assignee, as_of_us)
        team = state.marks.team if state.marks is not None else None
        new_team = self._present(integration_id, TEAM, team, as_of_us)
        if assignee is not state.assignee:
            state = replace(state, assignee=assignee)
        if new_team is not team and state.marks is not None:
            state = replace(state, marks=replace(state.marks, team=new_team))
        if message is not None and message.sender_id is not None:
            sender = Assignee(message.sender_id, message.sender_name)
            present = self._present(integration_id, AGENT, sender, as_of_us)
            if present is not None and present is not sender:
                message = replace(message, sender_name=present.name)
        if state is change.conversation and message is change.message:
            return change
        return replace(change, conversation=state, message=message)

    def learn(self, integration_id: int, change: Change, received_us: int) -> list[Rename]:
        """Keep the names of a change that was applied. Returns those that differ from what was
        known.
        """
        as_of_us, found = _as_of(change, received_us), list[Rename]()
        for kind, number, name in _names_in(change):
            known = self._find(integration_id, kind, number)
            if known is not None and known.name != name:
                if known.is_newer_than(name, as_of_us):
                    continue
                found.append(Rename(integration_id, kind, number, known.name, name))
            elif known is not None and known.as_of_us >= as_of_us:
                continue
            is_asked = known is not None and known.is_asked and known.name == name
            self._set(integration_id, kind, number, _Known(name, as_of_us, received_us, is_asked))
        return found

    def keep(self, integration_id: int, kind: str, names: Mapping[int, str], asked_us: int) -> None:
        """Keep what Chatwoot has answered to a question that was asked then. Another name that came
        after that may be newer than the answer: it stays, to be asked for.
        """
        for number, name in names.items():
            known = self._find(integration_id, kind, number)
            refuted = known.name if known is not None and known.name != name else None
            if known is not None and refuted is not None and known.received_us > asked_us:
                continue
            answered = _Known(name, asked_us, asked_us, is_asked=True, refuted=refuted)
            self._set(integration_id, kind, number, answered)

    def renames(self, before: Conversation, after: Conversation) -> list[Rename]:
        """What is called otherwise in a row than it was, but for what Chatwoot was asked about."""
        found, number = list[Rename](), after.integration_id or 0
        pairs = (
            (AGENT, before.assignee, after.assignee),
            (TEAM, before.marks.team, after.marks.team),
        )
        for kind, old, new in pairs:
            if old is new or old is None or new is None or old.id is None or old.name is None:
                continue
            if new.name is None or not (_is_named(old) and _is_named(new)):
                continue
            known = self._find(number, kind, old.id)
            is_asked = known is not None and known.is_asked and known.name == new.name
            if old.id == new.id and old.name != new.name and not is_asked:
                found.append(Rename(number, kind, old.id, old.name, new.name))
        return found

    def _find(self, integration_id: int, kind: str, number: int) -> _Known | None:
        return self._known.get(integration_id, {}).get((kind, number))

    def _set(self, integration_id: int, kind: str, number: int, known: _Known) -> None:
        own = self._known.setdefault(integration_id, {})
        before = own.get((kind, number))
        own[kind, number] = known
        more = known.characters - (before.characters if before is not None else 0)
        self._characters[integration_id] += more
        self._all_characters += more
        if self._all_characters > _MAX_CHARACTERS:
            most, characters = self._characters.most_common(1)[0]
            self._all_characters -= characters
            del self._known[most], self._characters[most]

    def _present(
        self, integration_id: int, kind: str, one: Named | None, as_of_us: int
    ) -> Named | None:
        if one is None or one.id is None or not _is_named(one):
            return one
        known = self._find(integration_id, kind, one.id)
        if known is None or known.name == one.name or not known.is_newer_than(one.name, as_of_us):
            return one
        return replace(one, name=known.name)


def with_names(row: Conversation, names: CurrentNames) -> Conversation:
    """The conversation with its assignee and its team as they are called now."""
    assignee = _called(AGENT, row.assignee, names)
    team = _called(TEAM, row.marks.team, names)
    return replace(row, assignee=assignee, marks=replace(row.marks, team=team))


def _called(kind: str, one: Named | None, names: CurrentNames) -> Named | None:
    if one is None or one.id is None or one.name is None or not _is_named(one):
        return one
    name = names.numbered.get((kind, one.id, one.name))
    return one if name is None else replace(one, name=name)


def _is_named(one: Assignee | Team | None) -> bool:
    """Bots are counted apart: a bot may have an agent's number."""
    return one is not None and not (isinstance(one, Assignee) and one.is_bot)


def _as_of(change: Change, received_us: int) -> int:
    """The newest moment that a change speaks of, which is none of the future; of an answer, when it
    was asked for.
    """
    change = within_present(change, received_us)
    state, message = change.conversation, change.message
    if asked_us := state.asked_us or (message.asked_us if message is not None else 0):
        return asked_us
    created_us = message.created_us if message is not None else 0
    return max(state.as_of_us, state.version_us, created_us)


def _names_in(change: Change) -> Iterator[tuple[str, int, str]]:
    state, message = change.conversation, change.message
    named = [(AGENT, state.assignee), (TEAM, state.marks.team if state.marks else None)]
    if message is not None:
        named.append((AGENT, Assignee(message.sender_id, message.sender_name)))
    for kind, one in named:
        if one is not None and one.id is not None and one.name is not None and _is_named(one):
            yield kind, one.id, one.name
