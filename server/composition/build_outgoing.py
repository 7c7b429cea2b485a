"""Builds `outgoing/` (from agents to Chatwoot) and `reading/` (what agents read and mark)."""

from dataclasses import dataclass

from server.chatwoot import UPLOAD_SECONDS
from server.composition.build_integrations import IntegrationsRoom
from server.composition.build_live import Live
from server.composition.build_resources import Resources
from server.outgoing.customer_typing import CustomerTyping
from server.outgoing.last_seen import LastSeen
from server.outgoing.reply_files import ReplyFiles
from server.outgoing.reply_intake import ReplyIntake
from server.outgoing.reply_sender import ReplySender
from server.reading.inbox import Inbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """The parts of `outgoing/`."""

    reply_intake: ReplyIntake
    reply_sender: ReplySender
    reply_files: ReplyFiles
    last_seen: LastSeen
    customer_typing: CustomerTyping


def build_outgoing(resources: Resources, integrations: IntegrationsRoom, live: Live) -> Outgoing:
    """Builds what accepts replies and sends them."""
    settings, database, clients = resources.settings, resources.database, resources.clients
    publish, directory = live.feeds.publish, integrations.directory
    reply_files = ReplyFiles(database)
    reply_sender = ReplySender(
        database,
        directory,
        publish,
        clients.client,
        integrations.own_tokens,
        reply_files,
        patience_seconds=settings.reply_patience_seconds,
        certain_seconds=settings.reply_certain_seconds,
        longest_seconds=2 * settings.chatwoot_timeout_seconds + UPLOAD_SECONDS,
        observer=resources.observer,
    )
    customer_typing = CustomerTyping(database, directory, clients.single_attempt_client)
    live.presence.on_typing = customer_typing.say
    return Outgoing(
        customer_typing=customer_typing,
        reply_intake=ReplyIntake(
            database, directory, publish, reply_files, on_new=reply_sender.wake
        ),
        reply_sender=reply_sender,
        reply_files=reply_files,
        last_seen=LastSeen(database, directory, clients.single_attempt_client, publish),
    )


def build_reading(
    resources: Resources, integrations: IntegrationsRoom, live: Live, outgoing: Outgoing
) -> Inbox:
    """Builds what agents read; read marks go on to `outgoing`."""
    return Inbox(
        resources.database,
        integrations.directory,
        live.feeds.publish,
        resources.clients.client,
        outgoing.last_seen.record_read,
        own_tokens=integrations.own_tokens,
    )
