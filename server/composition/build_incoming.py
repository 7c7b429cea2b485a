"""Builds `incoming/`: from Chatwoot, and from the CRM's own writes, to state."""

from dataclasses import dataclass

from server.chatwoot.cable import CableNetwork
from server.composition.build_integrations import IntegrationsRoom
from server.composition.build_live import Live
from server.composition.build_resources import Resources
from server.incoming.agent_renames import AgentRenames
from server.incoming.agents_last_seen import AgentsLastSeen
from server.incoming.cable_leader import CableLeader
from server.incoming.cable_link import Hints
from server.incoming.crm_integrations import CrmIntegrations
from server.incoming.crm_rows import CrmRows
from server.incoming.crm_watch import CrmWatch
from server.incoming.dead_deliveries import FailedDeliveries
from server.incoming.full_sync import FullSync
from server.incoming.gone_contacts import GoneContacts
from server.incoming.gone_conversations import GoneConversations
from server.incoming.history_comparison import START_REQUESTS, HistoryComparison
from server.incoming.inbox_renames import InboxRenames
from server.incoming.ingest import Ingester
from server.incoming.integration_watch import ChangedAccounts, Watch
from server.incoming.live_sources import Sources
from server.incoming.losses import Losses
from server.incoming.reconcile import Reconcile
from server.incoming.recorder import Recorder
from server.incoming.sync_jobs import SyncJobs
from server.incoming.unstored_retries import UnstoredRetries
from server.integrations.directory import Directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """What comes by itself: webhooks and the socket of Chatwoot's agents."""

    ingester: Ingester
    recorder: Recorder
    agents_last_seen: AgentsLastSeen
    gone_contacts: GoneContacts
    agent_renames: AgentRenames
    changed_accounts: ChangedAccounts
    cables: CableLeader
    sources: Sources
    failed: FailedDeliveries


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparisons:
    """What Chatwoot is asked for."""

    sync: FullSync
    sync_runs: SyncJobs
    reconcile: Reconcile
    history_comparison: HistoryComparison
    unstored_retries: UnstoredRetries
    watch: Watch
    losses: Losses


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmWrites:
    """What other programs write into the shared tables."""

    rows: CrmRows
    watch: CrmWatch


def build_deliveries(
    resources: Resources, integrations: IntegrationsRoom, live: Live
) -> Deliveries:
    """Builds what receives deliveries and ingests them."""
    settings, database, clients = resources.settings, resources.database, resources.clients
    directory, publish = integrations.directory, live.feeds.publish
    changed_accounts = ChangedAccounts()
    agent_renames = AgentRenames(database, directory, clients.single_attempt_client, publish)
    ingester = Ingester(
        database,
        directory,
        publish,
        batch=settings.ingest_batch,
        attempts=settings.ingest_attempts,
        on_typing=live.broadcast.show_typing,
        arrivals=integrations.arrivals,
        observer=resources.observer,
        on_changed=changed_accounts.on_changed,
        renames=agent_renames,
    )
    recorder = Recorder(
        database,
        resources.spool,
        ingester.wake,
        resources.observer,
        may_judge=lambda: directory.is_loaded,
    )
    agents_last_seen = AgentsLastSeen(database, ingester, clients.single_attempt_client)
    gone_contacts = GoneContacts(database, clients.single_attempt_client, publish)
    hints = Hints(
        agents_last_seen.on_unread_changed, gone_contacts.on_deleted, changed_accounts.on_changed
    )
    cables = _cables(resources, directory, recorder, hints)
    return Deliveries(
        ingester=ingester,
        recorder=recorder,
        agents_last_seen=agents_last_seen,
        gone_contacts=gone_contacts,
        agent_renames=agent_renames,
        changed_accounts=changed_accounts,
        cables=cables,
        sources=Sources(directory, cables, ingester, integrations.arrivals),
        failed=FailedDeliveries(database, settings.ingest_attempts),
    )


def _cables(
    resources: Resources, directory: Directory, recorder: Recorder, hints: Hints
) -> CableLeader:
    settings = resources.settings
    network = CableNetwork(
        allows_private=settings.chatwoot_allow_private,
        private_hosts=settings.private_hosts,
        proxy=settings.outgoing_proxy,
        most_bytes=settings.webhook_max_bytes,
    )
    return CableLeader(
        resources.database,
        directory,
        network,
        resources.clients.single_attempt_client,
        recorder.append,
        is_on=settings.chatwoot_sockets,
        pause_seconds=settings.chatwoot_socket_wait_seconds,
        hints=hints,
    )


def build_comparisons(
    resources: Resources, integrations: IntegrationsRoom, live: Live, deliveries: Deliveries
) -> Comparisons:
    """Builds what asks Chatwoot: syncs, reconcile, the watch of integrations. They ingest by the
    ingester of `deliveries`.
    """
    settings, database, clients = resources.settings, resources.database, resources.clients
    directory, ingester = integrations.directory, deliveries.ingester
    sync = FullSync(database, directory, ingester, clients.client)
    per_hour = settings.history_requests_per_hour
    start_seconds = START_REQUESTS * 3_600.0 / per_hour if per_hour else 0.0
    return Comparisons(
        sync=sync,
        sync_runs=SyncJobs(database, directory, sync, live.broadcast.show_sync),
        reconcile=Reconcile(
            database, directory, ingester, clients.client, settings, integrations.arrivals
        ),
        history_comparison=HistoryComparison(
            database,
            directory,
            sync,
            clients.slow_client,
            is_on=per_hour > 0,
            start_seconds=min(60.0, start_seconds),
        ),
        unstored_retries=UnstoredRetries(ingester.unstored, directory, sync, clients.client),
        watch=_watch(resources, integrations, live, deliveries),
        losses=Losses(database, settings.webhook_lost_seconds),
    )


def _watch(
    resources: Resources, integrations: IntegrationsRoom, live: Live, deliveries: Deliveries
) -> Watch:
    settings, database, clients = resources.settings, resources.database, resources.clients
    gone = GoneConversations(
        database,
        clients.client,
        live.feeds.publish,
        settings.integration_watch_seconds,
        deliveries.agents_last_seen.apply_rows,
    )
    return Watch(
        database,
        resources.vault,
        integrations.directory,
        clients.single_attempt_client,
        integrations.service,
        gone,
        InboxRenames(database, live.feeds.publish),
        deliveries.changed_accounts,
        settings,
    )


def build_crm_writes(resources: Resources, integrations: IntegrationsRoom, live: Live) -> CrmWrites:
    """Builds what follows the CRM's own writes."""
    database, feeds = resources.database, live.feeds
    crm_integrations = CrmIntegrations(database, resources.vault, integrations.directory)
    return CrmWrites(
        rows=CrmRows(
            database,
            feeds.publish,
            check_heads=feeds.check_soon,
            on_integrations=crm_integrations.on_changed,
        ),
        watch=CrmWatch(
            database,
            resources.settings.database_url,
            watched=lambda: feeds.companies,
            check_heads=feeds.check_soon,
        ),
    )
