"""Presence: gathers what the agents of a company do, and tells their colleagues at most once a
second.

What is told is encoded once for a company and written straight to the sockets that have room; a
socket that missed something is told the whole when it has room again. Nothing here is kept for a
socket but two small fields of its own: the picture is kept for an agent.
"""

import asyncio
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol

from server import log
from server.core.identifiers import is_id
from server.core.state.entities import Json
from server.core.state.presence_state import (
    TYPING_AGAIN_SECONDS,
    TYPING_SECONDS,
    Elsewhere,
    Note,
    Seen,
    TypingNews,
    difference,
    encode_note,
    encode_presence,
    encode_sync,
    encode_typing,
    listed,
    merge,
    note_of_typing,
    parse_note,
    typing_of,
)
from server.core.wire.websocket_frames import text_frame
from server.errors import Unavailable
from server.live.bus import Bus
from server.live.hub import Hub, for_each_cooperatively
from server.tasks import spawn

_logger = log.get(__name__)
_EVERY_SECONDS = 1.0
_HEARTBEAT_SECONDS = 15.0
# by then the bus follows a subscription; if not, the next heartbeat tells the same
_SUBSCRIBED_SECONDS = 0.2
_IDLE_SECONDS = 60.0  # a company nobody is in, nor asks for, is forgotten after this
_KNOWN_MOST = 20_000  # conversations whose company is remembered
_LOOK_UPS_MOST = 100

CompanyOf = Callable[[int], Awaitable[int | None]]
OnForeign = Callable[["Viewer", int], None]


class Viewer(Protocol):
    """A socket of an agent. `viewing` is this module's to set."""

    agent_id: int
    agent_name: str
    viewing: int | None
    is_over: bool

    @property
    def company_id(self) -> int: ...

    def inform(self, frame: bytes) -> None:
        """Write the whole picture, after which deltas follow; put off while the socket has no
        room.
        """


class _Company:
    """A company as this process sees it. `shown` is what its clients know, `told` what the other
    processes know of us.
    """

    def __init__(self, now: float) -> None:
        self.here: dict[int, Seen] = {}
        self.elsewhere: dict[str, Elsewhere] = {}
        self.shown: dict[int, Seen] = {}
        self.told: dict[int, Seen] = {}
        self.online = 0
        self.newcomers: list[Viewer] = []
        self.timer: asyncio.TimerHandle | None = None
        self.flushed_at = self.told_at = float("-inf")
        self.asked = False
        self.spreads = 0  # frames that have not reached everybody yet
        self.used_at = now

    def spreading(self) -> Callable[[], None]:
        """A frame begins its round; call the result at its end."""
        self.spreads += 1

        def done() -> None:
            self.spreads -= 1

        return done


class Presence:
    """Of all companies. All but `run` are plain calls that never wait."""

    def __init__(
        self,
        hub: Hub,
        bus: Bus,
        company_of: CompanyOf,
        on_foreign: OnForeign = lambda viewer, conversation_id: None,
    ) -> None:
        """`company_of` gives a conversation's company, or None; it may raise Unavailable.
        `on_foreign` is told, once for each agent and conversation, who named a conversation of
        another company.
        """
        self._hub = hub
        self._bus = bus
        self._company_of = company_of
        self._on_foreign = on_foreign
        self._process = uuid.uuid4().hex[:12]
        self._companies: dict[int, _Company] = {}
        # agent -> until, the socket that said so
        self._typing: dict[int, tuple[float, Viewer]] = {}
        self._known: OrderedDict[int, int] = OrderedDict()  # conversation -> company
        # (agent, conversation) that was told of already
        self._foreign: OrderedDict[tuple[int, int], None] = OrderedDict()
        # what to do once the conversation's company is known
        self._looking: dict[Viewer, tuple[int | None, Callable[[], None]]] = {}

    def online(self, company_id: int) -> set[int]:
        """The agents who are here, as far as the other processes have told."""
        company = self._company(company_id)
        return set(merge(company.here, [other.seen for other in company.elsewhere.values()]))

    # -- what sockets do
    # ---

    def join(self, viewer: Viewer) -> None:
        """A socket was welcomed: it is told the whole, its colleagues are told of it."""
        company = self._company(viewer.company_id)
        if viewer.agent_id not in company.here:
            company.here[viewer.agent_id] = Seen(viewer.agent_id, viewer.agent_name)
        company.newcomers.append(viewer)
        self._soon(viewer.company_id, company)

    def leave(self, viewer: Viewer) -> None:
        """A socket is gone, from the hub as well."""
        company = self._company(viewer.company_id)
        self._looking.pop(viewer, None)
        if viewer.agent_id in self._typing and self._typing[viewer.agent_id][1] is viewer:
            del self._typing[viewer.agent_id]
        if self._hub.members_of_agent(viewer.agent_id):
            self._look_again(viewer, company)
        elif company.here.pop(viewer.agent_id, None) is not None:
            self._soon(viewer.company_id, company)

    def inform(self, viewer: Viewer) -> None:
        """A socket has missed something and has room again."""
        company = self._company(viewer.company_id)
        company.newcomers.append(viewer)
        self._soon(viewer.company_id, company)

    def view(self, viewer: Viewer, conversation_id: int | None) -> None:
        """The agent looks at a conversation, or at none. One of another company is ignored."""
        self._checked(viewer, conversation_id, lambda: self._view(viewer, conversation_id))

    def type(self, viewer: Viewer, conversation_id: int, *, on: bool) -> None:
        """The agent types there, and so looks at it; it ends by itself."""
        self._checked(viewer, conversation_id, lambda: self._type(viewer, conversation_id, on=on))

    # -- what the bus and webhooks bring
    # ---

    def show_typing(self, company_id: int, typing: TypingNews) -> None:
        """What customers type, and agents in Chatwoot: to our own agents at once, to the other
        processes by the bus.
        """
        self._tell_of_typing(company_id, typing)
        self._publish(company_id, note_of_typing(self._process, typing))

    def show_sync(self, company_id: int, run: Json) -> None:
        """How far a sync is: to the company's administrators here at once, to those at other
        processes by the bus.
        """
        self._tell_administrators(company_id, run)
        self._publish(company_id, Note(self._process, sync=run))

    def watch(self, company_id: int) -> None:
        """The bus brings this company's notes from now on: once it does, the other processes are
        asked for theirs.
        """
        self._company(company_id)
        asks = Note(self._process, asks=True)
        asyncio.get_running_loop().call_later(_SUBSCRIBED_SECONDS, self._publish, company_id, asks)

    def on_note(self, company_id: int, text: str) -> None:
        """Raises ValueError for what is no note."""
        note = parse_note(text)
        if note.process == self._process:
            return
        if note.customers or note.writers:
            self._tell_of_typing(company_id, typing_of(note))
            return
        if note.sync is not None:
            self._tell_administrators(company_id, note.sync)
            return
        company = self._company(company_id)
        if note.asks:
            company.asked = True
        else:
            company.elsewhere.setdefault(note.process, Elsewhere()).take(note, time.monotonic())
        self._soon(company_id, company)

    async def run(self) -> None:
        """Once a second: end typing, say that we are alive, forget processes that are silent and
        companies nobody is in.
        """
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            self.look_round(time.monotonic())

    def look_round(self, now: float) -> None:
        """What time alone changes; `now` is monotonic seconds."""
        for agent_id, (until, viewer) in list(self._typing.items()):
            if now >= until:
                del self._typing[agent_id]
                self._look_again(viewer, self._company(viewer.company_id))
        for company_id, company in list(self._companies.items()):
            self._keep(company_id, company, now)

    def _keep(self, company_id: int, company: _Company, now: float) -> None:
        for process in [
            process for process, other in company.elsewhere.items() if other.is_silent(now)
        ]:
            del company.elsewhere[process]
            self._soon(company_id, company)
        if company.here and now - company.told_at >= _HEARTBEAT_SECONDS:
            self._tell_processes(company_id, company, now, is_whole=True)
        if company.here or company.elsewhere or self._hub.members(company_id):
            company.used_at = now
        elif (
            now - company.used_at > _IDLE_SECONDS and company.timer is None and not company.spreads
        ):
            del self._companies[company_id]

    # -- the picture
    # ---

    def _checked(
        self, viewer: Viewer, conversation_id: int | None, act: Callable[[], None]
    ) -> None:
        """Do it once it is known that the conversation is the viewer's company's; of what comes
        meanwhile only the last is done.
        """
        if viewer in self._looking:
            self._looking[viewer] = (conversation_id, act)
        elif conversation_id is None or self._known.get(conversation_id) == viewer.company_id:
            act()
        elif (
            is_id(conversation_id)
            and conversation_id not in self._known
            and len(self._looking) < _LOOK_UPS_MOST
        ):
            self._looking[viewer] = (conversation_id, act)
            spawn(self._look_up(viewer, conversation_id), f"presence-{conversation_id}")
        elif conversation_id in self._known:
            self._refuse(viewer, conversation_id)

    async def _look_up(self, viewer: Viewer, conversation_id: int) -> None:
        company_id: int | None = None
        try:
            company_id = await self._company_of(conversation_id)
        except Unavailable:
            pass  # who looks at what is worth no wait: the next look is checked again
        finally:
            wanted = self._looking.pop(viewer, None)
        if company_id is not None:
            self._known[conversation_id] = company_id
            if len(self._known) > _KNOWN_MOST:
                self._known.popitem(last=False)
        if wanted is None or viewer.is_over:
            return
        if wanted[0] != conversation_id:
            self._checked(viewer, *wanted)
        elif company_id == viewer.company_id:
            wanted[1]()
        elif company_id is not None:
            self._refuse(viewer, conversation_id)

    def _refuse(self, viewer: Viewer, conversation_id: int) -> None:
        key = (viewer.agent_id, conversation_id)
        if key not in self._foreign:
            self._foreign[key] = None
            if len(self._foreign) > _KNOWN_MOST:
                self._foreign.popitem(last=False)
            self._on_foreign(viewer, conversation_id)

    def _view(self, viewer: Viewer, conversation_id: int | None) -> None:
        viewer.viewing = conversation_id
        typing = self._typing.get(viewer.agent_id)
        if typing is not None and typing[1] is viewer:
            del self._typing[viewer.agent_id]  # whoever goes elsewhere has stopped
        self._look_again(viewer, self._company(viewer.company_id), conversation_id)

    def _type(self, viewer: Viewer, conversation_id: int, *, on: bool) -> None:
        now = time.monotonic()
        until, by = self._typing.get(viewer.agent_id, (0.0, viewer))
        if on:
            if (
                by is viewer
                and viewer.viewing == conversation_id
                and until - now > TYPING_SECONDS - TYPING_AGAIN_SECONDS
            ):
                return
            viewer.viewing = conversation_id
            self._typing[viewer.agent_id] = (now + TYPING_SECONDS, viewer)
        elif by is viewer:
            self._typing.pop(viewer.agent_id, None)
        self._look_again(viewer, self._company(viewer.company_id), viewer.viewing)

    def _look_again(self, viewer: Viewer, company: _Company, first: int | None = None) -> None:
        """The agent's entry, out of all their sockets here; `first` is where they have just
        looked.
        """
        before = company.here.get(viewer.agent_id)
        if before is None:
            return
        typing = self._typing.get(viewer.agent_id)
        viewing = typing[1].viewing if typing else first
        if viewing is None:
            sockets = [
                member.viewing
                for member in self._hub.members_of_agent(viewer.agent_id)
                if member.viewing is not None
            ]
            viewing = (
                before.viewing if before.viewing in sockets else sockets[-1] if sockets else None
            )
        after = Seen(before.id, before.name, viewing, typing is not None)
        if after != before:
            company.here[viewer.agent_id] = after
            self._soon(viewer.company_id, company)

    def _tell_of_typing(self, company_id: int, typing: TypingNews) -> None:
        """One write for each socket, however many type."""
        frames = b"".join(text_frame(encode_typing(*place, on=on)) for place, on in typing.items())
        self._hub.send_ephemeral(company_id, frames, _nothing)

    def _tell_administrators(self, company_id: int, run: Json) -> None:
        frame = text_frame(encode_sync(run))
        administrators = [member for member in self._hub.members(company_id) if member.is_admin]
        for_each_cooperatively(
            administrators, lambda member: member.send_ephemeral(frame), _nothing
        )

    # -- telling
    # ---

    def _company(self, company_id: int) -> _Company:
        company = self._companies.get(company_id)
        if company is None:
            company = self._companies[company_id] = _Company(time.monotonic())
        company.used_at = time.monotonic()
        return company

    def _soon(self, company_id: int, company: _Company) -> None:
        """Tell at once, or a second after the last time."""
        if company.timer is None:
            loop = asyncio.get_running_loop()
            wait = max(0.0, company.flushed_at + _EVERY_SECONDS - time.monotonic())
            company.timer = loop.call_later(wait, self._flush, company_id, company)

    def _flush(self, company_id: int, company: _Company) -> None:
        company.timer = None
        now = time.monotonic()
        company.flushed_at = now
        # a large company on a busy machine: the round before has not reached everybody
        if company.spreads:
            self._soon(company_id, company)
            return
        self._tell_processes(company_id, company, now, is_whole=company.asked)
        picture = merge(company.here, [other.seen for other in company.elsewhere.values()])
        shown, online = listed(picture), len(picture)
        changed, gone = difference(company.shown, shown)
        is_changed = bool(changed or gone or online != company.online)
        company.shown, company.online = shown, online
        if is_changed:
            self._hub.send_ephemeral(
                company_id,
                text_frame(encode_presence(online, changed, gone, whole=False)),
                company.spreading(),
            )
        if company.newcomers:
            newcomers, company.newcomers = company.newcomers, []
            frame = text_frame(encode_presence(online, shown.values(), (), whole=True))
            for_each_cooperatively(
                newcomers, lambda viewer: viewer.inform(frame), company.spreading()
            )

    def _tell_processes(
        self, company_id: int, company: _Company, now: float, *, is_whole: bool
    ) -> None:
        """What has changed here since we said it last, or everything."""
        company.asked = False
        if not self._bus.is_shared:
            return
        seen, gone = (
            (tuple(company.here.values()), ())
            if is_whole
            else difference(company.told, company.here)
        )
        if seen or gone or (is_whole and company.told):
            company.told, company.told_at = dict(company.here), now
            self._publish(company_id, Note(self._process, seen, gone, is_whole=is_whole))

    def _publish(self, company_id: int, note: Note) -> None:
        if self._bus.is_shared:
            self._bus.publish(company_id, encode_note(note))


def _nothing() -> None:
    return
