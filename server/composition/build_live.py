"""Builds `live/`: from committed events to browsers."""

from collections.abc import Callable
from dataclasses import dataclass

from server import log
from server.access.foreign_access import Trespass
from server.composition.build_resources import Resources
from server.db.state import store
from server.live.bus import Bus
from server.live.feed import FeedLimits, Feeds
from server.live.hub import Hub, OnWalked
from server.live.presence import Presence, Viewer
from server.live.session_revoker import SessionRevoker
from server.operation.fanout_log import ReachKeeper
from server.tasks import spawn
from server.traces import FanOuts

_logger = log.get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    bus: Bus
    hub: Hub
    feeds: Feeds
    presence: Presence
    fanouts: ReachKeeper
    revoker: SessionRevoker


def build_live(resources: Resources, trespass: Trespass, is_current: Callable[[], bool]) -> Live:
    """`is_current`: whether it is known who may read; while it is not, no event leaves."""
    settings, database = resources.settings, resources.database
    traced = FanOuts(resources.traces) if resources.traces else None
    fanouts = ReachKeeper(database)
    hub = Hub(_fanout_listener(fanouts, traced), is_current)
    bus = Bus(settings.broadcast_url)
    limits = FeedLimits(settings.feed_ring_events, settings.feed_ring_bytes)
    feeds = Feeds(database, bus, hub, limits, settings.head_check_seconds)
    bus.on_up(feeds.check_soon)

    async def company_of(conversation_id: int) -> int | None:
        return await database.read(lambda c: store.read_company(c, conversation_id))

    def on_foreign(viewer: Viewer, conversation_id: int) -> None:
        spawn(
            trespass.note_frame(
                viewer.company_id, viewer.agent_id, viewer.agent_name, conversation_id
            ),
            "trespass",
        )

    presence = Presence(hub, bus, company_of, on_foreign)
    feeds.on_note, feeds.on_watch = presence.on_note, presence.watch
    if traced:
        feeds.on_traced = traced.expect
    return Live(
        bus=bus,
        hub=hub,
        feeds=feeds,
        presence=presence,
        fanouts=fanouts,
        revoker=SessionRevoker(hub),
    )


def _fanout_listener(fanouts: ReachKeeper, traced: FanOuts | None) -> OnWalked:
    """The log of fan-outs itself, where they are neither traced nor logged one by one."""
    if traced is None and not log.is_debug():
        return fanouts.note

    def note(
        company_id: int,
        first_seq: int,
        last_seq: int,
        began: float,
        ended: float,
        sockets: int,
    ) -> None:
        fanouts.note(company_id, first_seq, last_seq, began, ended, sockets)
        if traced:
            traced.note(company_id, first_seq, last_seq, began, ended, sockets)
        _logger.debug(
            "fan-out",
            company_id=company_id,
            first_seq=first_seq,
            last_seq=last_seq,
            sockets=sockets,
            ms=round((ended - began) * 1e3, 3),
        )

    return note
