"""Builds what every room uses: the database, the spool, the ways to Chatwoot, sealed values."""

from dataclasses import dataclass

import httpx

from server import log
from server.chatwoot import outgoing_client
from server.chatwoot.files import Files
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.db.journal.spool import Spool
from server.integrations.chatwoot_clients import ChatwootClients
from server.message_observer import MessageObserver
from server.settings import Settings
from server.trace_observer import TraceObserver
from server.traces import Traces


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What is shared by all rooms."""

    settings: Settings
    database: Database
    spool: Spool
    vault: Vault
    http: httpx.AsyncClient  # to Chatwoot
    files: Files  # from where Chatwoot keeps them
    clients: ChatwootClients
    observer: MessageObserver  # of single messages, where traces are on or the log is at DEBUG


def build_resources(settings: Settings) -> Resources:
    """Opens nothing yet."""
    http = outgoing_client(
        allows_private=settings.chatwoot_allow_private,
        limits=httpx.Limits(max_connections=50, max_keepalive_connections=20),
        private_hosts=settings.private_hosts,
        proxy=settings.outgoing_proxy,
    )
    files = Files(
        allows_private=settings.chatwoot_allow_private,
        private_hosts=settings.file_hosts,
        most_bytes=settings.attachment_max_bytes,
        chatwoot_hosts=settings.private_hosts,
        proxy=settings.outgoing_proxy,
    )
    is_followed = settings.has_traces or log.is_debug()
    traces = Traces() if settings.has_traces else None
    database = Database.from_settings(settings)
    spool = Spool(settings.spool_path, settings.spool_max_bytes)
    vault = Vault(settings.secret_key, settings.old_secret_keys)
    return Resources(
        settings=settings,
        database=database,
        spool=spool,
        vault=vault,
        http=http,
        files=files,
        clients=ChatwootClients(settings, http),
        observer=TraceObserver(traces) if is_followed else MessageObserver(),
    )
