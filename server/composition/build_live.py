"""Builds `live/`: from committed events to browsers."""

from collections.abc import Callable
from dataclasses import dataclass

from server.access.foreign_access import ForeignAccessLog
from server.composition.build_resources import Resources
from server.core.state.fan_out import FanOut
from server.db.engine.database import Database
from server.db.state import store
from server.live.broadcast import Broadcast
from server.live.bus import Bus
from server.live.conversation_owners import Asker, ConversationOwners
from server.live.feed import FeedLimits
from server.live.feeds import Feeds
from server.live.hub import Hub, OnFanOut
from server.live.presence import Presence
from server.live.presence_channel import PresenceChannel
from server.live.presence_receiver import PresenceReceiver
from server.live.session_revoker import SessionRevoker
from server.message_observer import MessageObserver
from server.operation.fanout_log import FanoutLog
from server.tasks import spawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The parts of `live/`, with the log of fan-outs."""

    bus: Bus
    hub: Hub
    feeds: Feeds
    presence: Presence
    broadcast: Broadcast
    fanouts: FanoutLog
    revoker: SessionRevoker


def build_live(
    resources: Resources, foreign_access: ForeignAccessLog, is_current: Callable[[], bool]
) -> Live:
    """`is_current`: whether it is known who may read; while it is not, no event leaves."""
    settings, database = resources.settings, resources.database
    observer = resources.observer
    fanouts = FanoutLog(database)
    hub = Hub(_fan_out_listener(fanouts, observer), is_current)
    bus = Bus(settings.broadcast_url)
    channel = PresenceChannel(bus)
    broadcast = Broadcast(hub, channel)
    presence = Presence(hub, channel, _owners(database, foreign_access))
    receiver = PresenceReceiver(channel, broadcast, presence)
    feeds = Feeds(
        database,
        bus,
        hub,
        FeedLimits(settings.feed_ring_events, settings.feed_ring_bytes),
        settings.head_check_seconds,
        on_presence=receiver.receive,
        on_subscribed=presence.ask_other_processes,
        on_traced=observer.on_accepted if observer.has_traces else None,
    )
    bus.on_up(feeds.check_soon)
    return Live(
        bus=bus,
        hub=hub,
        feeds=feeds,
        presence=presence,
        broadcast=broadcast,
        fanouts=fanouts,
        revoker=SessionRevoker(hub),
    )


def _owners(database: Database, foreign_access: ForeignAccessLog) -> ConversationOwners:
    """Whose a conversation is, by the database; questions about others' are recorded."""

    async def company_of(conversation_id: int) -> int | None:
        return await database.read(lambda c: store.read_company(c, conversation_id))

    def on_foreign(asker: Asker, conversation_id: int) -> None:
        spawn(
            foreign_access.record_frame(
                asker.company_id, asker.agent_id, asker.agent_name, conversation_id
            ),
            "foreign-access",
        )

    return ConversationOwners(company_of, on_foreign)


def _fan_out_listener(fanouts: FanoutLog, observer: MessageObserver) -> OnFanOut:
    """The log of fan-outs itself, where nobody follows single messages."""
    if not observer.is_on:
        return fanouts.record

    def on_fan_out(fan_out: FanOut) -> None:
        fanouts.record(fan_out)
        observer.on_fanned_out(fan_out)

    return on_fan_out
